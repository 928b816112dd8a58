"""The page as text: what it says, what it escapes, and that it needs nothing from outside."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from pipeline.parsing.page.parsed_page import media_url, parsed_page
from pipeline.parsing.page.sections import clock
from pipeline.parsing.parsed_video import MODALITIES, ModelFacts
from pipeline.parsing.truth import Truth

HOSTILE = (
    "</script><script>alert(1)</script>", "<!--<script>", "\"'><img src=x onerror=alert(2)>", "a\u2028b\u2029&amp;",
    "</style>", "\ud800", "\u202egnp.exe", "${alert(3)}`",
)  # fmt: skip


class Reader(HTMLParser):
    """Tags, attributes and texts of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.texts, self.inside = [], [], {}, ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]
        self.inside = dict(attributes).get("id") or tag

    def handle_data(self, data):
        self.texts[self.inside] = self.texts.get(self.inside, "") + data

    @property
    def data(self):
        return json.loads(self.texts["data"])


def page_of(video, **options):
    return parsed_page(video, **{"preview": None, "media": "clip.mp4", "truth": None, **options})


def test_what_the_page_says(make_video, preview):
    page = Reader(page_of(make_video(notes=["no sound in 1 of 10 s"]), preview=preview))
    assert page.texts["title"] == "clip.mp4: parsed"
    assert ("video", "src", "clip.mp4") in page.attributes
    assert "no sound in 1 of 10 s" in page.texts["li"]
    data = page.data
    assert data["classes"] == ["Speech", "Dog", "Cat", "Car"]
    assert data["probabilities"]["audio"][1][:4] == [1000, 1000, 8765, 8765]
    assert data["events"][0] == [1, "audio", 2.0, 5.0, 0.8765, 0.8765]
    assert data["thresholds"]["visual"] == [0.5] * 4
    assert [second for second, _ in data["thumbnails"]] == list(range(10))
    assert data["wave"]["peak"] == 0.5
    assert data["truth"] is None
    assert "trained run" in page.texts["span"]


def test_nothing_comes_from_outside(make_video, preview):
    page = page_of(make_video(), preview=preview)
    assert not re.search(r"(?i)https?://(?!www\.w3\.org/2000/svg)|@import|url\(|<link(?! rel=icon href='data:,')", page)
    policy = dict(pair[1:] for pair in Reader(page).attributes if pair[0] == "meta" and pair[1] == "content")
    assert policy
    assert "default-src 'none'" in page


def test_names_are_text_and_nothing_else(make_video, preview):
    model = ModelFacts(HOSTILE[2], "zero-shot", HOSTILE[0], {HOSTILE[0]: HOSTILE[2]}, {"visual": HOSTILE})
    video = replace(
        make_video(path=f"x{HOSTILE[2]}.mp4".replace("/", "")), classes=HOSTILE[:4], model=model, notes=HOSTILE,
        events=tuple(replace(event, label=HOSTILE[at]) for at, event in enumerate(make_video().events)),
        settings={HOSTILE[1]: HOSTILE}, libraries={HOSTILE[3]: HOSTILE[4]},
    )  # fmt: skip
    truth = Truth(HOSTILE[0], HOSTILE, note=HOSTILE[1])
    text = page_of(video, preview=preview, media="x%22%3E.mp4", truth=truth)
    page, plain = Reader(text), Reader(page_of(make_video(), preview=preview))
    text.encode("utf-8")
    assert page.tags.count("script") == 2
    assert {"img"} & set(page.tags) == set()
    assert set(page.tags) <= set(plain.tags) | {"ul", "li", "p"}
    assert not [pair for pair in page.attributes if pair[1].startswith("on")]
    assert page.data["classes"][0] == HOSTILE[0]
    assert page.texts["data"].isascii()
    assert "<" not in page.texts["data"]


def test_random_weights_cannot_be_missed(make_video):
    facts = ModelFacts("runs/x", "run", weights={"resnet152": "random:0", "leap": "sha256:aa"})
    text = page_of(make_video(model=facts))
    assert text.index("class=random") < text.index("<main>")
    assert "<b>resnet152</b> (random:0)" in text
    assert "class=bad>random:0" in text
    assert "class=random" not in page_of(make_video())


@pytest.mark.parametrize("modalities", [("visual",), ("audio",)])
def test_one_modality(make_video, modalities):
    page = Reader(page_of(make_video(modalities=modalities)))
    assert ("div", "class", f"screen {'picture' if 'visual' in modalities else 'sound'}") in page.attributes
    data = page.data
    assert list(data["probabilities"]) == list(modalities)
    assert (data["wave"], data["thumbnails"]) == (None, [])


def test_seconds_that_were_not_looked_at(make_video):
    video = make_video()
    video.probabilities["audio"][7] = np.nan
    video = replace(video, settings={"thresholds": {"audio": [0.5, float("nan"), 0.5, 0.5]}})
    data = Reader(page_of(video)).data
    assert data["probabilities"]["audio"][1][6:9] == [1000, None, 1000]
    assert data["thresholds"] == {"audio": [0.5, None, 0.5, 0.5]}


def test_what_the_model_cannot_know(make_video):
    facts = ModelFacts("t", "zero-shot", unknown={"visual": ("Speech",), "audio": ()})
    text = page_of(make_video(model=facts))
    assert "Cannot be seen by this model: <b>Speech</b>" in text
    assert "Cannot be heard" not in text
    assert "It knows 4 classes and nothing else" in text
    assert "nothing was trained on these classes" in text
    assert Reader(text).data["unknown"] == {"audio": [], "visual": [0]}


def test_truth_and_its_scores(make_video):
    grids = {name: np.zeros((10, 4), bool) for name in MODALITIES}
    grids["audio"][2:5, 1] = True
    names = ("seg_a", "seg_v", "seg_av", "seg_type", "seg_event", "ev_a", "ev_v", "ev_av", "ev_type", "ev_event")
    scores = {**{name: 10.0 + at for at, name in enumerate(names)}, "average": 44.4}
    truth = Truth("clip_0_10", ("Dog",), grids, np.ones(10, bool), scores)
    text = page_of(make_video(), truth=truth)
    assert Reader(text).data["truth"] == {"known": [[0, 10]], "audio": {"1": [[2, 5]]}, "visual": {}}
    assert "<td class=n>44.4" in text
    assert "annotated" in text
    weak = page_of(make_video(), truth=Truth("clip_0_10", ("Dog",), note="clip_0_10 has no seconds"))
    assert "truth: clip_0_10 has no seconds" in weak
    assert Reader(weak).data["truth"] is None


def test_no_event(make_video):
    text = page_of(replace(make_video(), events=()))
    assert "No event: no probability reaches its threshold." in text


def test_the_url_of_a_video(tmp_path):
    page = tmp_path / "out" / "page.html"
    assert media_url(tmp_path / "out" / "a b#1?%é.mp4", page) == "a%20b%231%3F%25%C3%A9.mp4"
    assert media_url(tmp_path / "in" / "javascript:x.mp4", page) == "../in/javascript%3Ax.mp4"
    assert media_url(f"{tmp_path}/out/\udcff.mp4", page) == "%FF.mp4"


def test_thresholds_of_other_classes(make_video):
    with pytest.raises(ValueError, match="1 thresholds of audio for 4 classes"):
        page_of(replace(make_video(), settings={"thresholds": {"audio": [0.5]}}))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (7, "0:07"), (9.98, "0:10"), (662.4, "11:02.4"), (3753, "1:02:33")]
)
def test_times(seconds, text):
    assert clock(seconds) == text
