import json

import numpy as np
import pytest

from pipeline.cli.main import main
from pipeline.datasets.llp import load_annotations
from pipeline.reports.overlap_table import overlap_subsets, overlap_table
from pipeline.reports.shared_videos import decided_together


@pytest.fixture
def runs(predicted, truth):
    """One predicts nothing, the other is right."""
    nothing = np.zeros_like(truth.audio)
    return [predicted("none.npz", nothing, nothing), predicted("right.npz", truth.audio, truth.visual)]


def test_by_hand(runs, folder):
    found = decided_together(runs, load_annotations(folder), "test")
    overlapping, other = overlap_subsets(found)
    assert (overlapping.videos, other.videos) == (1, 3)  # video 2 hears Dog and Speech at once
    assert set(overlapping.scores["right.npz"].values()) == {100.0}
    assert set(overlapping.scores["none.npz"].values()) == {0.0}
    assert other.scores["none.npz"] == pytest.approx(
        {"ev_a": 100 / 3, "ev_v": 0, "ev_av": 200 / 3, "ev_type": 100 / 3, "ev_event": 0, "average": 400 / 15}
    )
    overlapping, other = overlap_subsets(found, reading="union_of_modalities")
    assert (overlapping.videos, other.videos) == (2, 2)  # and video 3 hears Dog while it sees Cat
    lines = overlap_table((overlapping, other)).splitlines()
    assert lines[0] == "| | A | V | AV | Type | Event | Avg |"
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "none.npz, 2 overlapping", "right.npz, 2 overlapping", "none.npz, 2 non-overlapping",
        "right.npz, 2 non-overlapping",
    ]  # fmt: skip


@pytest.mark.parametrize(("asked", "words"), [([], "1 overlapping"), (["union"], "2 overlapping"),
                                              (["every"], "overlapping (visual)")])  # fmt: skip
def test_both_commands_print_it(runs, folder, tmp_path, capsys, asked, words):
    more = ["--annotations", str(folder), "--json", str(tmp_path / "o.json"), "--overlap", *asked]
    if asked == ["every"]:  # no video of these overlaps in what is seen
        words = "overlapping (audio)"
    for command in (["compare", *map(str, runs)], ["evaluate", "--predictions", str(runs[1])]):
        with pytest.raises(SystemExit) as ended:
            main([*command, *more])
        assert ended.value.code == 0
        assert words in capsys.readouterr().out
    assert json.loads((tmp_path / "o.json").read_text())["scores"]


def test_compare_writes_it(runs, folder, tmp_path):
    with pytest.raises(SystemExit):
        main(
            ["compare", *map(str, runs), "--annotations", str(folder), "--overlap", "--json", str(tmp_path / "o.json")]
        )
    body = json.loads((tmp_path / "o.json").read_text())["overlap"]
    assert body["reading"] == "either_modality"
    assert body["overlapping"]["videos"] == 1
    assert body["overlapping"]["scores"]["right.npz"]["average"] == 100


def test_a_subset_without_videos_is_left_out(predicted, truth, folder, tmp_path):
    (folder / "AVVP_eval_audio.csv").write_text(f"filename\tonset\toffset\tevent_labels\n{truth.ids[0]}\t0\t9\tDog\n")
    labels = load_annotations(folder)
    run = predicted("p.npz", truth.audio & False, truth.visual)
    found = decided_together([run], labels, "test")
    overlapping, other = overlap_subsets(found)
    assert (overlapping.videos, overlapping.scores, other.videos) == (0, {}, 4)
    assert overlap_table((overlapping, other)).count("\n") == 3
