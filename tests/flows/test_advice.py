"""Messages in the words of the one who reads them: parameters, and no markup."""

import logging

import pytest
from rich.text import Text

from flows.deployments import FLOWS
from flows.log_lines import readable_logs, unmarked
from flows.outcomes import EXTRACTION
from pipeline.option_names import as_parameters, parameters_of


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("or use --weights random:0", "or use weights random:0"),
        ("add --rebuild (it replaces this array only)", "add rebuild=true (it replaces this array only)"),
        ("at most 9 are decoded (see --memory)", "at most 9 are decoded (see memory)"),
        ("--memory '2X': expected a number", "memory '2X': expected a number"),
        ("Give --backbone vggish, or --deadline 5", "Give backbones vggish, or deadline_seconds 5"),
        ("Make them: avvp extract --weights X --clips …", "Make them: avvp extract --weights X --clips …"),
        ("run avvp weights download a.pth. Or use --weights X", "run avvp weights download a.pth. Or use weights X"),
        ('pip install "avvp-pipeline[x]", or use --engine a', 'pip install "avvp-pipeline[x]", or use engine a'),
        ("Make it: prefect gcl create gpu --limit 1", "Make it: prefect gcl create gpu --limit 1"),
        ("no option --pooling; e--weights", "no option --pooling; e--weights"),
    ],
)  # fmt: skip
def test_options_become_parameters_but_not_in_commands(message, expected):
    assert as_parameters(message, EXTRACTION) == expected


def test_each_flow_has_names_of_its_own():
    train = next(entry for entry in FLOWS if entry.name == "train").load()
    known = parameters_of(train.fn)
    assert (
        as_parameters("add --set train.epochs=5 or --weights X", known) == "add changes train.epochs=5 or --weights X"
    )
    labels = parameters_of(next(entry for entry in FLOWS if entry.name == "build-labels").load().fn)
    assert as_parameters("Replace it: add --rebuild", labels) == "Replace it: add rebuild=true"


@pytest.mark.parametrize(
    "text",
    ["pip install 'avvp-pipeline[dask]'", "x[/b].zarr: no", "[/]", "[bold]x[/bold]", "[link=x]y", "[@click=f]"],
)  # fmt: skip
def test_a_terminal_that_reads_markup_shows_the_whole_text(text):
    shown = Text.from_markup(unmarked(text)).plain
    assert shown.replace("[ ", "[") == text


def test_other_brackets_are_left_alone():
    for text in ('["a", "b"]', "[3, 4]", "shape [80, 2048]", "[", "]", "[ dask]", "a[b", "[TODO]"):
        assert unmarked(text) == text
        assert Text.from_markup(text).plain == text


def test_lines_of_runs_lose_their_markup():
    readable_logs()
    readable_logs()
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        log = logging.getLogger(name)
        record = log.makeRecord(log.name, logging.INFO, "file", 1, "%s: %d%% of [/b]", ("x", 5), None)
        assert log.filter(record)
        assert record.getMessage() == "x: 5% of [ /b]"


def test_a_run_that_fails_on_purpose_logs_no_traceback():
    from prefect.exceptions import FailedRun

    readable_logs()
    log = logging.getLogger("prefect.flow_runs")
    failed = (FailedRun, FailedRun("no such folder"), None)
    assert not log.filter(log.makeRecord(log.name, logging.ERROR, "file", 1, "unexpected", (), failed))
