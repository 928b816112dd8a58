import json

import numpy as np
import pytest

from pipeline.cli.main import main
from pipeline.datasets.llp import load_annotations
from pipeline.reports.class_comparison import AVERAGE, bars_svg, class_scores, class_tables
from pipeline.reports.shared_videos import decided_together

SPEECH, DOG, CAT = 0, 3, 4


@pytest.fixture
def two_runs(predicted, truth):
    """One hears every Dog as long as its clip; the other is right."""
    audio = truth.audio.copy()
    audio[1, :, DOG] = True
    return [predicted("long.npz", audio, truth.visual), predicted("right.npz", truth.audio, truth.visual)]


@pytest.fixture
def found(two_runs, folder):
    return class_scores(decided_together(two_runs, load_annotations(folder), "test"))


def test_by_hand(found):
    assert list(found.scores) == ["event", "segment"]
    segment, event = found.scores["segment"]["audio"], found.scores["event"]["audio"]
    assert segment["long.npz"][DOG] == pytest.approx(100 * (8 / 14 + 1) / 2)  # 4 of 10 right, and a clip without fault
    assert event["long.npz"][DOG] == pytest.approx(50)  # 4 / 10 is no match
    assert event["long.npz"][-1] == pytest.approx(75)  # of Speech and Dog
    assert event["right.npz"][-1] == 100
    assert np.isnan(event["long.npz"][CAT])  # nowhere heard
    assert found.scores["event"]["visual"]["long.npz"][-1] == 100
    assert found.classes[-1] == AVERAGE
    assert (found.videos[SPEECH], found.videos[DOG], found.videos[CAT], found.videos[-1]) == (2, 2, 2, 4)


def test_tables_have_both_runs_their_difference_and_the_average(found):
    tables = dict(class_tables(found))
    lines = tables["event"].splitlines()
    assert lines[0] == ("| event level | videos | A long.npz | A right.npz | A Δ | V long.npz | V right.npz | V Δ |")
    assert "| Dog | 2 | 50.00 | 100.00 | +50.00 | 100.00 | 100.00 | +0.00 |" in lines
    assert "| Cat | 2 | - | - | - | 100.00 | 100.00 | +0.00 |" in lines
    assert lines[-1] == "| class average | 4 | 75.00 | 100.00 | +25.00 | 100.00 | 100.00 | +0.00 |"


def test_bars_say_what_the_second_run_gains(found, texts_of):
    svg = bars_svg(found)
    texts = texts_of(svg)
    assert {"long.npz", "right.npz", "audio, event-level F1 (%)", "class average", "+50.0"} <= set(texts)
    assert "nan" not in svg


def test_the_command_prints_draws_and_writes(two_runs, folder, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["compare", *map(str, two_runs), "--annotations", str(folder), "--classes", "--bars",
              str(tmp_path / "out/bars.svg"), "--json", str(tmp_path / "out/c.json")])  # fmt: skip
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "| segment level | videos |" in out
    assert "the bars: " in out
    assert (tmp_path / "out/bars.svg").read_text().startswith("<svg")
    body = json.loads((tmp_path / "out/c.json").read_text())
    assert body["videos"] == 4
    assert body["scores"]["right.npz"]["average"] == 100
    assert body["differences"]["right.npz"]["ev_a"]["estimate"] > 0
    classes = body["classes"]
    assert classes["event"]["audio"]["long.npz"][DOG] == 50
    assert classes["event"]["audio"]["long.npz"][CAT] is None
    assert classes["names"][DOG] == "Dog"


def test_three_runs_have_a_difference_each(two_runs, predicted, truth, folder, texts_of):
    third = predicted("none.npz", truth.audio & False, truth.visual)
    found = class_scores(decided_together([*two_runs, third], load_annotations(folder), "test"))
    head = dict(class_tables(found))["event"].splitlines()[0]
    assert "A Δ right.npz" in head
    assert "A Δ none.npz" in head
    assert not any(text.startswith("+") for text in texts_of(bars_svg(found)))
