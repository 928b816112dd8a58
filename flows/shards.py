"""Prefect tasks of an extraction, one a shard, on a task runner."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.concurrency.sync import concurrency
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.task_runners import TaskRunner

from flows.bars import ClipBar, Log, bar_of, shown_bar
from flows.buckets import bucket_access, name_in_use
from flows.dashboard import ShardReporter, named, show_store
from flows.fillers import closing_fillers, part_of, shard_filler
from flows.log_lines import readable_logs
from flows.outcomes import extraction_outcome, one_line
from flows.parameters import ExtractRequest, Placement
from flows.retries import RETRIES, back_off, retry_if_it_may_pass
from flows.runners import check_limit, holding, make_runner, number_of_this_process
from flows.steps import steps_above
from flows.tables import key_of
from flows.window import in_window
from pipeline.extraction.shards import ShardReport, ShardWork, clip_failures, prepare_shards
from storage.store import FeatureStore
from storage.text import count

WINDOW = 256
"""Tasks that are submitted and have not ended: SQLite does not stand a burst of a thousand."""


@task(
    name="fill-shard",
    task_run_name="shard {shard}",
    retries=RETRIES,
    retry_delay_seconds=back_off(),
    retry_jitter_factor=0.3,
    retry_condition_fn=retry_if_it_may_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def fill_shard(
    request: ExtractRequest,
    shard: int,
    run: str,
    limit: str | None = None,
    processes: int = 1,
    credentials: str | None = None,
) -> ShardReport:
    """Do what is missing of one shard. The store's ledger says what that is, so it may be called again.

    Args:
        request: the extraction.
        shard: its number.
        run: the flow run; its workers stay up from task to task.
        limit: a Prefect concurrency limit to hold a slot of; it must exist.
        processes: of a cluster made for the run, which share this machine's devices.
        credentials: for buckets, see :mod:`flows.buckets`.
    """
    readable_logs()
    log = get_run_logger()
    if processes > 1:
        request = replace(request, options=part_of(request.options, number_of_this_process(), processes))
    slot: AbstractContextManager[None] = concurrency(limit, strict=True) if limit else nullcontext()
    with bucket_access(credentials), slot, shard_filler(request, run) as filler:
        reporter = ShardReporter(log, shard, bar_of(run))
        report = filler.fill(shard, reporter=reporter)
    reporter.tell_failures()
    return report


@dataclass
class ShardResults:
    """What the tasks came to.

    Attributes:
        reports: of the shards that are done.
        problems: why the others are not.
    """

    reports: list[ShardReport] = field(default_factory=list)
    problems: dict[int, str] = field(default_factory=dict)


def run_shards(request: ExtractRequest, work: ShardWork, placement: Placement, *, log: Log) -> ShardResults:
    """A task a shard, wherever they are to run, until all have ended."""
    results = ShardResults()
    run = str(flow_run.id)
    above = steps_above()
    bar = ClipBar(
        work.clips, store=request.store, key=f"{key_of(request.store)}-progress", log=log,
        tell=above.part_done if above else None,
    )  # fmt: skip
    devices = len(request.options.devices)
    # Workers are stopped before the runner waits for its threads, which wait for them.
    with make_runner(placement, devices=devices) as runner, closing_fillers(run), shown_bar(run, bar):
        for shard, future in in_window(partial(_submit, runner, request, placement), work.shards, most=WINDOW):
            try:
                report = future.result()
            except Exception as problem:  # noqa: BLE001 - whatever a task raised is told with the shard's number
                results.problems[shard] = one_line(problem)
                log.error("shard %d: %s", shard, results.problems[shard])
            else:
                results.reports.append(report)
                bar.shard_done(shard, report.read)
    if not results.problems:
        bar.all_done()
    return results


def _submit(runner: TaskRunner[Any], request: ExtractRequest, placement: Placement, shard: int) -> PrefectFuture[Any]:
    processes = placement.processes if placement.makes_cluster else 1
    asked = {"request": request, "run": str(flow_run.id), "limit": placement.limit, "processes": processes}
    asked["credentials"] = name_in_use()
    with holding(placement):
        return cast("PrefectFuture[Any]", runner.submit(fill_shard, {**asked, "shard": shard}))


def run_extraction(request: ExtractRequest, placement: Placement) -> State[Any]:
    """The body of every extraction flow: check, prepare, a task a shard, and what came of it.

    Raises:
        AvvpError: If the parameters cannot be used; no work has begun then.
    """
    log = get_run_logger()
    make_runner(placement, devices=len(request.options.devices))
    check_limit(placement.limit)
    table = request.table()
    for note in table.notes:
        log.info("%s", note)
    work = prepare_shards(table, request.store, request.options)
    log.info(
        "%s: %s to read in %d of %d shards",
        request.store, count(work.clips, "clip"), len(work.shards), work.total_shards,
    )  # fmt: skip
    if work.changed:
        log.warning(
            "%s had changed on disk and are read again: %s", count(len(work.changed), "clip"), named(work.changed)
        )
    results = run_shards(request, work, placement, log=log) if work.shards else ShardResults()
    for line in dict.fromkeys(line for report in results.reports for line in report.ended):
        log.warning("%s", line)
    store = FeatureStore.open(request.store)
    show_store(store, log=log)
    return extraction_outcome(clip_failures(store, request.options.backbones), results.problems)
