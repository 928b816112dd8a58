"""From parsed videos to an annotations folder that our own reader takes."""

import numpy as np
import pytest

from pipeline.datasets.dataset_description import DatasetDescription
from pipeline.datasets.llp import load_annotations
from pipeline.parsing.formats.llp_folder import gather
from pipeline.parsing.formats.registry import write
from pipeline.parsing.parsed_video import Event
from storage.errors import InvalidInput

CLIPS = ("BjCEufrlXm4_20_30", "talk one", "Größe 1,5")


@pytest.fixture
def parsed(make_video, tmp_path):
    """Write the rows of three videos, and of one in which nothing happens; the last is in a folder below."""
    folder = tmp_path / "parsed"
    events = {
        CLIPS[0]: [Event("Dog", "audio", 0, 2, 0.9, 0.9), Event("Dog", "visual", 0, 9.98, 0.9, 0.9)],
        CLIPS[1]: [Event("Speech", "audio", 3, 4, 0.9, 0.9), Event("Dog", "audio", 3, 10, 0.9, 0.9)],
        "nothing": [],
    }
    for stem, found in events.items():
        write(make_video(found, classes=("Speech", "Dog")), folder=folder, stem=stem, formats=["tsv"])
    last = make_video([Event("Speech", "visual", 9, 10, 0.9, 0.9)], classes=("Speech", "Dog"))
    write(last, folder=folder / "below", stem=CLIPS[2], formats=["tsv"])
    return folder


def test_the_reader_gives_the_events_back(parsed, tmp_path):
    out = tmp_path / "annotations"
    report = gather(parsed, out)
    assert sorted(path.name for path in report.files) == sorted(entry.name for entry in out.iterdir())
    assert sorted(report.clips) == sorted(CLIPS)
    assert [name.rpartition("/")[2] for name in report.empty] == ["nothing"]
    found = load_annotations(out, strict=True)
    assert found.has_ground_truth.all()
    assert set(found.splits) == {"test"}
    at = {clip: found.ids.index(clip) for clip in CLIPS}
    speech, dog = (found.dataset.class_index(name) for name in ("Speech", "Dog"))
    audio, visual = np.zeros_like(found.audio), np.zeros_like(found.visual)
    audio[at[CLIPS[0]], :2, dog] = visual[at[CLIPS[0]], :, dog] = True
    audio[at[CLIPS[1]], 3, speech] = audio[at[CLIPS[1]], 3:, dog] = True
    visual[at[CLIPS[2]], 9, speech] = True
    assert np.array_equal(found.audio, audio)
    assert np.array_equal(found.visual, visual)
    assert np.array_equal(found.weak, (audio | visual).any(axis=1))


def test_a_corrected_file_replaces_its_clip_and_the_others_stay(parsed, tmp_path):
    out = tmp_path / "annotations"
    gather(parsed, out)
    corrected = tmp_path / "corrected"
    corrected.mkdir()
    (corrected / "a.audio.tsv").write_text(f"filename\tonset\toffset\tevent_labels\n{CLIPS[0]}\t0\t1\tCat\n")
    (corrected / "a.visual.tsv").write_text("filename\tonset\toffset\tevent_labels\n")
    for modality in ("audio", "visual"):
        (corrected / f"{CLIPS[1]}.{modality}.tsv").write_text("filename\tonset\toffset\tevent_labels\n")
    assert len(gather(corrected, out).empty) == 1
    found = load_annotations(out, strict=True)
    assert sorted(found.ids) == sorted((CLIPS[0], CLIPS[2]))  # nothing is left of the other one
    row = found.ids.index(CLIPS[0])
    assert found.audio[row].sum() == 1
    assert found.visual[row].sum() == 0
    assert found.weak[row].nonzero()[0].tolist() == [found.dataset.class_index("Cat")]


def test_a_training_split_has_weak_labels_only(parsed, tmp_path):
    out = tmp_path / "annotations"
    assert [path.name for path in gather(parsed, out, split="train").files] == ["AVVP_train.csv"]
    found = load_annotations(out, strict=True)
    assert found.weak.sum() == 4
    assert not found.judged


def test_clips_longer_than_the_dataset_s_are_named_as_defects(make_video, tmp_path):
    video = make_video([Event("Dog", name, 8, 11.28, 0.9, 0.9) for name in ("audio", "visual")])
    write(video, folder=tmp_path / "parsed", stem="long", formats=["tsv"])
    gather(tmp_path / "parsed", tmp_path / "out")
    assert {defect.kind for defect in load_annotations(tmp_path / "out").defects} == {"beyond_clip"}


def test_what_cannot_be_gathered_is_one_line(parsed, make_video, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InvalidInput, match=r"split 'tets' is none of llp\. Did you mean test\? Choices: train, val"):
        gather(parsed, out, split="tets")
    with pytest.raises(InvalidInput, match=r"no \.audio\.tsv or \.visual\.tsv here"):
        gather(tmp_path / "nowhere", out)
    bare = DatasetDescription("bare", ("Dog",), 10, 10.0)
    with pytest.raises(InvalidInput, match="Choices: none"):
        gather(parsed, out, dataset=bare)
    write(make_video(), folder=tmp_path / "empty", stem="a", formats=["tsv"])
    with pytest.raises(InvalidInput, match="none of its 1 files has an event"):
        gather(tmp_path / "empty", out)
    write(make_video([Event("Dog", "audio", 0, 1, 1, 1)]), folder=tmp_path / "heard", stem="a", formats=["tsv"])
    with pytest.raises(InvalidInput, match=r"AVVP_eval_visual\.csv: would have no event"):
        gather(tmp_path / "heard", out)
    (parsed / "below" / f"{CLIPS[1]}.audio.tsv").write_text((parsed / f"{CLIPS[1]}.audio.tsv").read_text())
    (parsed / "below" / f"{CLIPS[1]}.visual.tsv").write_text((parsed / f"{CLIPS[1]}.visual.tsv").read_text())
    with pytest.raises(InvalidInput, match="talk one is in two files"):
        gather(parsed, out)
    (parsed / f"{CLIPS[0]}.visual.tsv").unlink()
    with pytest.raises(InvalidInput, match=r"BjCEufrlXm4_20_30\.visual\.tsv: cannot be read: No such file"):
        gather(parsed, out)
    assert not out.exists()


def test_official_rows_come_through(shared_dir, make_video, tmp_path):
    """Events made of LLP's own annotations give its arrays again."""
    official = load_annotations(shared_dir / "llp").split("test")
    chosen = [row for row in range(len(official)) if official.audio[row].any() or official.visual[row].any()][:40]
    for row in chosen:
        events = [
            Event(official.dataset.classes[label], modality, float(second), second + 1.0, 0.9, 0.9)
            for modality, truth in (("audio", official.audio), ("visual", official.visual))
            for second, label in np.argwhere(truth[row])
        ]
        video = make_video(events, classes=official.dataset.classes)
        write(video, folder=tmp_path / "parsed", stem=official.ids[row], formats=["tsv"])
    gather(tmp_path / "parsed", tmp_path / "out")
    found = load_annotations(tmp_path / "out", strict=True)
    order = [found.ids.index(official.ids[row]) for row in chosen]
    assert len(order) == 40
    assert np.array_equal(found.audio[order], official.audio[chosen])
    assert np.array_equal(found.visual[order], official.visual[chosen])
