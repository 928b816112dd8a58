"""What a flow of flows shows of its steps."""

import logging

import pytest
from prefect.states import Completed, Failed

from flows import bars, run_module, steps
from flows.llp import _end_of

LOG = logging.getLogger("test")


@pytest.fixture
def shown(monkeypatch):
    """Positions of the bar, and the table."""
    found = {"bar": [], "table": None}

    def move_to(self, done):
        self.done = done
        found["bar"].append(round(done, 2))

    monkeypatch.setattr(bars.ProgressBar, "move_to", move_to)
    monkeypatch.setattr(bars, "create_progress_artifact", lambda *_, **__: None)
    monkeypatch.setattr(steps, "create_table_artifact", lambda rows, **_: found.update(table=rows))
    return found


def test_a_bar_moves_with_the_children_and_a_table_tells_the_end(shown, monkeypatch, caplog):
    now = [0.0]
    monkeypatch.setattr(steps.time, "monotonic", lambda: now[0])
    caplog.set_level(logging.INFO)

    def extract():
        bar = bars.ClipBar(4, store="s", key="k", log=LOG, tell=steps.steps_above().part_done)
        for _ in range(4):
            now[0] += 6
            bar.clip_done(0)
        return Completed(message="4 clips done")

    def train():
        now[0] += 60
        run_module._tell_steps("epoch 1/4: loss 0.5  val 60.0")
        return Failed(name="Refused", message="no such recipe")

    plan = [("extract-llp", extract), ("train", train), ("evaluate", None)]
    ended = steps.Steps(plan, title="t", key="k", log=LOG).run()
    assert list(ended) == ["extract-llp", "train"]
    assert steps.steps_above() is None
    of_steps = shown["bar"][1::2][:4] + shown["bar"][-2:]  # between those of the clips
    assert of_steps == [0.25, 0.5, 0.75, 0.99, 1, 1.25], "a step's part, the step, and a part of the next"
    assert [record.getMessage() for record in caplog.records] == [
        "step 1 of 3: extract-llp",
        "extract-llp: 2 of 4 clips done",
        "extract-llp: 4 of 4 clips done",
        "extract-llp: 4 clips done",
        "step 2 of 3: train",
        "train: epoch 1/4: loss 0.5  val 60.0",
        "train: no such recipe",
    ]
    assert [tuple(row.values()) for row in shown["table"]] == [
        ("extract-llp", "Completed", "4 clips done"),
        ("train", "Refused", "no such recipe"),
        ("evaluate", "not begun", ""),
    ]


def test_a_flow_that_was_started_by_itself_tells_nobody():
    run_module._tell_steps("epoch 1/4: loss 0.5")


def test_the_parent_says_which_step_did_not_complete():
    ended = _end_of(Failed(name="Refused", message="no such recipe"), Completed(), step="train")
    assert (ended.name, ended.message) == ("Refused", "train: no such recipe")
