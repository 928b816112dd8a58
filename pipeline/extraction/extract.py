"""From a clip table to feature arrays in a store: the main job, as one function.

The command line, the Prefect tasks and notebooks all call :func:`extract`.
"""

from __future__ import annotations

import time

from pipeline.extraction.devices import fill_on_devices
from pipeline.extraction.fill import fill
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.reporting import ExtractReport, Reporter, Reporters
from storage.clips import ClipTable


def extract(
    table: ClipTable, store_url: str, options: ExtractOptions, *, reporter: Reporter | None = None
) -> ExtractReport:
    """Fill a store: plan, decode, run, commit. What is there already is left alone.

    Args:
        table: the clips, in row order.
        store_url: local path or fsspec URL; made if absent.
        options: what and how.
        reporter: told of the plan, every clip and every shard.

    Returns:
        What was done.

    Raises:
        InvalidInput: If an option cannot be used.
        SchemaMismatch: If the store holds other clips, or arrays made otherwise.
        WeightsError: If weights cannot be had.
    """
    started = time.monotonic()
    report = ExtractReport()
    everyone = Reporters(report, reporter or Reporter())
    if len(options.devices) == 1:
        fill(table, store_url, options, reporter=everyone)
    else:
        fill_on_devices(table, store_url, options, reporter=everyone)
    report.seconds = time.monotonic() - started
    return report
