"""A parsed video at a glance."""

from html.parser import HTMLParser

from pipeline.parsing.formats.summary import summary_html, summary_text


class Texts(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def parsed(text):
    reader = Texts()
    reader.feed(text)
    return reader


def test_text(video):
    assert summary_text(video).split("\n") == [
        "holiday.mp4: 11.28 s, 4 events, by runs/leap (run)",
        "  note: The last second has no picture.",
        "  00:00:00.000 to 00:00:02.000  audio   0.87  Dog",
        "  00:00:00.000 to 00:00:11.280  visual  0.70  Dog",
        "  00:00:01.000 to 00:00:03.000  audio   0.70  Speech",
        "  00:00:07.000 to 00:00:11.280  audio   0.81  Dog",
    ]
    assert summary_text(video, limit=3).endswith("Speech\n  and 1 more")


def test_html(video):
    found = parsed(summary_html(video))
    assert found.tags.count("tr") == 5
    assert found.texts[:2] == ["holiday.mp4: 11.28 s, 4 events, by runs/leap (run)", "The last second has no picture."]
    assert found.texts[-6:] == ["Dog", "audio", "00:00:07.000", "00:00:11.280", "0.81", "0.90"]
    assert "Random" not in summary_html(video)


def test_random_weights_are_told_and_names_escaped(odd_video):
    found = parsed(summary_html(odd_video))
    assert set(found.tags) == {"div", "p", "b", "table", "thead", "tbody", "tr", "th", "td"}
    assert "Random weights (yamnet): these events mean nothing" in found.texts
    assert '<b>&amp;"x"</b>' in found.texts
    assert "Random weights (yamnet)" in summary_text(odd_video)
    assert "\x07" not in summary_text(odd_video)


def test_no_events(make_video):
    assert summary_text(make_video()) == "holiday.mp4: 11.28 s, 0 events, by runs/leap (run)"
    assert "table" not in parsed(summary_html(make_video())).tags
