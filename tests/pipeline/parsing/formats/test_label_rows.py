"""Rows of labels: Audacity's and LLP's."""

import csv
import io
import re

import pytest

from pipeline.datasets.annotation_files import read_dense
from pipeline.datasets.dataset_description import DatasetDescription
from pipeline.parsing.formats.audacity import to_audacity
from pipeline.parsing.formats.llp_rows import to_tsv
from pipeline.parsing.parsed_video import Event
from storage.errors import InvalidInput

AUDACITY = re.compile(r"(\d+\.\d+)\t(\d+\.\d+)\t([^\t\r\n]*)\n")
"""A label: start, end and text with tabs between, in seconds with a point whatever the locale."""


@pytest.fixture
def speech():
    return DatasetDescription("toy", ("Speech",), 10, 10.0)


def labels(text):
    found = AUDACITY.findall(text)
    assert "".join(f"{start}\t{end}\t{name}\n" for start, end, name in found) == text
    return [(float(start), float(end), name) for start, end, name in found]


def rows(text):
    return list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))


def test_audacity(video, odd_video, make_video):
    assert labels(to_audacity(video, "audio")) == [(0, 2, "Dog"), (1, 3, "Speech"), (7, 11.28, "Dog")]
    odd = labels(to_audacity(odd_video, "audio"))
    assert odd[1][2] == "two lines 3 00:00:01,000 --> 00:00:02,000"
    assert odd[-1] == (400_000, 400_000.001, '<b>&amp;"x"</b>')
    assert labels(to_audacity(make_video(), "visual")) == []


def test_every_segment_that_an_event_touches_counts(video):
    assert rows(to_tsv(video, "audio", clip="BjCEufrlXm4_20_30")) == [
        {"filename": "BjCEufrlXm4_20_30", "onset": onset, "offset": offset, "event_labels": name}
        for onset, offset, name in (("0", "2", "Dog"), ("1", "3", "Speech"), ("7", "12", "Dog"))
    ]


def test_rows_are_on_the_grid_and_do_not_overlap(make_video, speech, tmp_path):
    events = [
        Event("Speech", "audio", 0.1 + 0.2, 2.0000000001, 0.5, 0.5),  # a sum that misses 0.3, an end that misses 2
        Event("Speech", "audio", 2.4, 2.5, 0.5, 0.5),  # begins in the next segment: one row
        Event("Speech", "audio", 4, 4.00001, 0.5, 0.5),
    ]
    text = to_tsv(make_video(events), "audio", clip="a")
    assert [(row["onset"], row["offset"]) for row in rows(text)] == [("0", "3"), ("4", "5")]
    path = tmp_path / "a.audio.tsv"
    path.write_text(text)
    assert [(row.first, row.last) for row in read_dense(path, speech)] == [(0, 3), (4, 5)]


def test_no_events_are_a_header_alone(make_video, speech, tmp_path):
    path = tmp_path / "a.visual.tsv"
    path.write_text(to_tsv(make_video(), "visual", clip="a"))
    assert path.read_text() == "filename\tonset\toffset\tevent_labels\n"
    assert read_dense(path, speech, may_be_empty=True) == []
    with pytest.raises(InvalidInput, match="has no events"):
        read_dense(path, speech)


@pytest.mark.parametrize("name", ["tab\there", "line\nend", " space", "", "bytes\udcff"])
def test_a_name_that_the_form_cannot_hold_is_refused(video, name):
    with pytest.raises(InvalidInput, match="LLP's form has no quotes") as told:
        to_tsv(video, "audio", clip=name)
    str(told.value).encode()
