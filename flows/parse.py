"""``parse``: ``avvp parse`` with its lines in the run's log, and what became of each file as a table."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed

from flows.notices import tell_of_failure
from flows.outcomes import WITH_FAILURES, refuses_in_one_line
from flows.parameters import Names, Several, Text, several
from flows.run_module import run_module
from flows.run_names import named_by
from pipeline.terminal.exit_codes import SOME_CLIPS_FAILED
from storage.text import count


@flow(
    name="parse",
    flow_run_name=named_by("{inputs}"),
    on_failure=[tell_of_failure],
    on_crashed=[tell_of_failure],
)
@refuses_in_one_line
def parse(
    inputs: Names,
    model: Text | None = None,
    out: Text | None = None,
    formats: Several = "json,html",
    keep: Text | None = None,
    weights: Several = [],  # noqa: B006 - Prefect shows it in its form
    device: Text = "auto",
    options: Several = [],  # noqa: B006
) -> State[Any]:
    """Say what happens in videos, when, and whether it is heard or seen. What is done is not done again.

    Args:
        inputs: A file, a folder or a pattern such as talks/*.mp4, or several of them.
        model: A run's folder, an imported checkpoint, clip+clap or yamnet+efficientnet_lite0. Empty: the best at hand.
        out: Folder for the output. Empty: beside each file.
        formats: json, html, vtt, srt, tsv, audacity, eaf, labelstudio, or all.
        keep: Keep the features: a store for one file, or a folder with one a file.
        weights: Of the backbones: pretrained, random:SEED or a file; NAME=... for one of them.
        device: auto, cpu or cuda:N.
        options: Further options of avvp parse, e.g. --threshold=0.4.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        arguments = ["parse", "--format", ",".join(several(formats)), "--device", device, "--report", str(report)]
        arguments += several(options)
        for flag, value in (("--model", model), ("--out", out), ("--keep", keep)):
            arguments += [flag, value] if value else []
        arguments += [part for value in several(weights) for part in ("--weights", value)]
        arguments += ["--", *several(inputs)]  # a file's name may begin with a dash
        run_module("pipeline.cli", arguments, log=get_run_logger(), also_done=SOME_CLIPS_FAILED)
        found = json.loads(report.read_text(encoding="utf-8"))
    rows = file_rows(found)
    create_table_artifact(rows, key="parsed-files", description=f"{count(len(rows), 'file')}: events and failures")
    failed = len(found["failed"])
    name, message = (WITH_FAILURES, f"{failed} of {len(rows)} files failed") if failed else ("Completed", "")
    return Completed(name=name, message=message or f"{count(len(rows), 'file')} parsed")


def file_rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a file, failures first."""
    rows = [_row(path, "failed", reason=reason) for path, reason in found["failed"].items()]
    rows += [_row(path, "parsed", events=str(number)) for path, number in found["parsed"].items()]
    return rows + [_row(path, "done before") for path in found["done"]]


def _row(path: str, state: str, *, events: str = "", reason: str = "") -> dict[str, Any]:
    return {"file": path, "state": state, "events": events, "reason": reason}
