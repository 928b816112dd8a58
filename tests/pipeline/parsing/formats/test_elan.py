"""ELAN documents as pympi reads them, and in the structure that ELAN's schema asks for."""

import itertools
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from pipeline.parsing.formats.elan import to_eaf
from pipeline.parsing.parsed_video import Event

Elan = pytest.importorskip("pympi.Elan", reason="needs pympi-ling: pip install 'avvp-pipeline[dev]'")

ORDER = ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "CONTROLLED_VOCABULARY"]
REQUIRED = {
    "ANNOTATION_DOCUMENT": {"DATE", "AUTHOR", "VERSION", "FORMAT"},
    "MEDIA_DESCRIPTOR": {"MEDIA_URL", "RELATIVE_MEDIA_URL", "MIME_TYPE"},
    "TIME_SLOT": {"TIME_SLOT_ID", "TIME_VALUE"},
    "TIER": {"TIER_ID", "LINGUISTIC_TYPE_REF"},
    "ALIGNABLE_ANNOTATION": {"ANNOTATION_ID", "TIME_SLOT_REF1", "TIME_SLOT_REF2"},
    "LINGUISTIC_TYPE": {"LINGUISTIC_TYPE_ID", "TIME_ALIGNABLE", "CONTROLLED_VOCABULARY_REF"},
    "CONTROLLED_VOCABULARY": {"CV_ID"},
}


@pytest.fixture
def read(tmp_path):
    def read(video, folder=tmp_path):
        path = tmp_path / "a.eaf"
        path.write_text(to_eaf(video, folder=folder), encoding="utf-8")
        return Elan.Eaf(path)

    return read


def test_a_tier_a_modality_and_more_where_events_overlap(video, read):
    found = read(video)
    assert {name: sorted(found.get_annotation_data_for_tier(name)) for name in found.get_tier_names()} == {
        "audio": [(0, 2000, "Dog"), (7000, 11280, "Dog")],
        "audio 2": [(1000, 3000, "Speech")],
        "visual": [(0, 11280, "Dog")],
    }
    ((_, entries, _),) = found.controlled_vocabularies.values()
    assert [values[0][0] for values, _ in entries.values()] == ["Speech", "Dog", "Frying_(food)"]
    assert found.linguistic_types["events"]["CONTROLLED_VOCABULARY_REF"] == "classes"


def test_annotations_of_a_tier_never_overlap(make_video, read):
    events = [Event("Dog", "visual", start / 3, start / 3 + 1 + start % 4, 0.5, 0.5) for start in range(40)]
    found = read(make_video(events))
    tiers = [sorted(found.get_annotation_data_for_tier(name)) for name in found.get_tier_names()]
    assert sum(map(len, tiers)) == 40
    for tier in tiers:
        assert all(one[1] <= other[0] for one, other in itertools.pairwise(tier))


def test_no_events_leave_a_tier_a_modality(make_video, read):
    found = read(make_video())
    assert list(found.get_tier_names()) == ["audio", "visual"]
    assert found.timeslots == {}


def test_the_media_is_linked_as_elan_writes_it(odd_video, read):
    (media,) = read(odd_video, Path("/tmp/out")).media_descriptors
    assert media["MEDIA_URL"] == "file:///tmp/vi deos/Größe #1 100% & <q>.mp4"
    assert media["RELATIVE_MEDIA_URL"] == "../vi deos/Größe #1 100% & <q>.mp4"
    assert media["MIME_TYPE"] == "video/mp4"


def test_media_beside_the_document(make_video, read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (media,) = read(make_video(path="holiday.unheard")).media_descriptors
    assert media["MEDIA_URL"] == f"file://{tmp_path}/holiday.unheard"
    assert media["RELATIVE_MEDIA_URL"] == "./holiday.unheard"
    assert media["MIME_TYPE"] == "unknown"


def test_odd_names(odd_video, read):
    found = read(odd_video)
    heard = sorted(found.get_annotation_data_for_tier("audio") + found.get_annotation_data_for_tier("audio 2"))
    assert [value for *_, value in heard][:3] == [
        '<b>&amp;"x"</b>',
        "two lines 3 00:00:01,000 --> 00:00:02,000",
        "bell\\x07\ufffd\\udcff",
    ]
    assert heard[-1][:2] == (400_000_000, 400_000_001)


def test_structure(video, odd_video):
    """What ELAN's schema asks for: the order of elements, their attributes, ids that are unique and references."""
    for text in (to_eaf(video, folder=Path("/tmp")), to_eaf(odd_video, folder=Path("/tmp"))):
        root = ET.fromstring(text)
        tags = list(dict.fromkeys(element.tag for element in root))
        assert tags == ORDER
        for element in root.iter():
            assert REQUIRED.get(element.tag, set()) <= set(element.keys())
        slots = [slot.get("TIME_SLOT_ID") for slot in root.iter("TIME_SLOT")]
        times = [int(slot.get("TIME_VALUE")) for slot in root.iter("TIME_SLOT")]
        assert times == sorted(times)
        ids = [note.get("ANNOTATION_ID") for note in root.iter("ALIGNABLE_ANNOTATION")]
        assert len(set(slots + ids)) == len(slots) + len(ids)
        used = [note.get(f"TIME_SLOT_REF{side}") for note in root.iter("ALIGNABLE_ANNOTATION") for side in (1, 2)]
        assert sorted(used) == sorted(slots)
