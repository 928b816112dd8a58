"""Subtitles as the readers of others take them: webvtt-py and pysrt."""

import html
import io

import pytest

from pipeline.parsing.formats.fields import clock
from pipeline.parsing.formats.subtitles import to_srt, to_vtt

webvtt = pytest.importorskip("webvtt", reason="needs webvtt-py: pip install 'avvp-pipeline[dev]'")
pysrt = pytest.importorskip("pysrt", reason="needs pysrt: pip install 'avvp-pipeline[dev]'")


def cues(text):
    return [(cue.start, cue.end, html.unescape(cue.raw_text)) for cue in webvtt.from_buffer(io.StringIO(text))]


def test_webvtt(video):
    assert cues(to_vtt(video, "audio")) == [
        ("00:00:00.000", "00:00:02.000", "Dog"),
        ("00:00:01.000", "00:00:03.000", "Speech"),
        ("00:00:07.000", "00:00:11.280", "Dog"),
    ]
    assert cues(to_vtt(video, "visual")) == [("00:00:00.000", "00:00:11.280", "Dog")]


def test_a_note_says_what_made_it(video, odd_video):
    note = to_vtt(video, "audio").split("\n\n")[1]
    assert note.startswith(
        "NOTE\nfile: holiday.mp4\nmodality: audio\nmodel: runs/leap (run)\nweights: clip sha256:abc\n"
    )
    assert 'settings: {"threshold": 0.5' in note
    assert note.endswith("note: The last second has no picture.")
    assert "random weights, the events mean nothing: yamnet" in to_vtt(odd_video, "audio")


def test_odd_names_stay_one_cue_each(odd_video):
    names = ['<b>&amp;"x"</b>', "two lines 3 00:00:01,000 --> 00:00:02,000", "bell\\x07\ufffd\\udcff"]
    found = cues(to_vtt(odd_video, "audio"))
    assert [name for *_, name in found] == [*names, names[0]]
    assert found[-1][:2] == ("111:06:40.000", "111:06:40.001")
    text = to_vtt(odd_video, "audio")
    assert text.count("-->") == 4
    text.encode("utf-8")
    assert [name for *_, name in cues(to_vtt(odd_video, "visual"))] == ["a --> b", "tab here", "Grüße 🐶 x"]


def test_subrip(video):
    found = pysrt.from_string(to_srt(video, "audio"))
    assert [(item.index, str(item.start), str(item.end), item.text) for item in found] == [
        (1, "00:00:00,000", "00:00:02,000", "Dog"),
        (2, "00:00:01,000", "00:00:03,000", "Speech"),
        (3, "00:00:07,000", "00:00:11,280", "Dog"),
    ]


def test_subrip_with_odd_names(odd_video):
    found = pysrt.from_string(to_srt(odd_video, "audio"))
    assert len(found) == 4
    assert found[0].text == '<b>&amp;"x"</b>'
    assert str(found[3].start) == "111:06:40,000"
    assert str(found[3].end) == "111:06:40,001"


def test_no_events(make_video):
    assert cues(to_vtt(make_video(), "audio")) == []
    assert to_srt(make_video(), "audio") == ""


@pytest.mark.parametrize(
    ("time_ms", "shown"), [(0, "00:00:00.000"), (59_999, "00:00:59.999"), (3_600_000, "01:00:00.000")]
)
def test_clock(time_ms, shown):
    assert clock(time_ms) == shown
