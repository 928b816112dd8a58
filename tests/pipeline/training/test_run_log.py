"""What a run says of itself: on a terminal and in a log."""

import io
import json

import pytest
from rich.console import Console

from pipeline.training.checkpoint import Progress
from pipeline.training.loop import EpochReport, StepReport
from pipeline.training.run_log import RunLog


def report(epoch, score, *, best, kept):
    val = {} if score is None else {"val": {"score": score}}
    entry = {"epoch": epoch, "learning_rate": 0.1, "loss": 1 / epoch, "terms": {"a": 0.5}, **val}
    return EpochReport(epoch, entry, best, kept)


@pytest.fixture
def told(tmp_path):
    """A function: what a log prints of epochs."""

    def tell(reports, *, progress, terminal=False, first=0):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=500, color_system=None, highlight=False)
        headline = "score {score}".format_map
        with RunLog(tmp_path, console, first=first, epochs=3, headline=headline) as log:
            for one in reports:
                for step in (1, 2):
                    log.step(StepReport(one.epoch, step, 2, 0.25))
                if terminal:
                    log._bar.refresh()
                log.epoch(one)
            log.ended(progress)
        return console.file.getvalue()

    return tell


def test_a_log_is_a_line_an_epoch_and_a_tie_is_not_better(told, tmp_path):
    reports = [report(1, 0.0, best=True, kept=True), report(2, 0.0, best=False, kept=True),
               report(3, -1.0, best=False, kept=False)]  # fmt: skip
    progress = Progress(3, 2, 0.0, [one.entry for one in reports])
    lines = told(reports, progress=progress).splitlines()
    assert [line.partition("  (")[0] for line in lines[:3]] == [
        "epoch 1/3: loss 1.0000  val score 0.0  best",
        "epoch 2/3: loss 0.5000  val score 0.0  equals the best, kept",
        "epoch 3/3: loss 0.3333  val score -1.0",
    ]
    text = " ".join(lines[3:])
    assert "trained 3 epochs in " in text
    assert "best is of epoch 2 (val score 0.0)" in text
    times = [json.loads(line) for line in (tmp_path / "times.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in times] == [1, 2, 3]


def test_a_terminal_shows_the_steps_of_an_epoch(told):
    one = report(1, 3.0, best=True, kept=True)
    text = told([one], progress=Progress(1, 1, 3.0, [one.entry]), terminal=True)
    assert "epoch 1/3 " in text
    assert "2/2" in text
    assert "scores of val" in text
    assert "epoch 1/3: loss 1.0000  val score 3.0  best" in text


def test_without_val_the_last_epoch_is_kept_and_not_called_best(told):
    one = report(1, None, best=True, kept=True)
    text = told([one], progress=Progress(1, 1, 1.0, [one.entry]))
    assert "best  (" not in text
    assert "the last one: there is no val" in " ".join(text.split())


def test_a_run_that_is_complete_says_so(told):
    one = report(3, 3.0, best=True, kept=True)
    text = told([], progress=Progress(3, 1, 3.0, [one.entry]), first=3)
    assert "nothing left to train after epoch 3;" in text
