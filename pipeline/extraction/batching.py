"""Fills a backbone's batches with units of several clips and returns each clip's features."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from extractors.base import Extractor, Features, Units
from extractors.batch_runner import BatchRunner, Outputs, Pending
from extractors.engines.device_errors import is_device_broken
from extractors.failure import Failure
from pipeline.extraction.health import broken
from storage.errors import BackboneBroken
from storage.schema import FeatureSpec
from storage.text import error_words

Token = TypeVar("Token")


@dataclass
class _Clip(Generic[Token]):
    """A clip whose units are on their way."""

    token: Token
    valid: NDArray[np.bool_]
    remaining: int
    parts: list[Outputs] = field(default_factory=list)
    failure: Failure | None = None


@dataclass(frozen=True)
class _Batch(Generic[Token]):
    """A batch under way, its units still at hand."""

    units: NDArray[Any]  # in a buffer that the runner does not give out again before the batch is done
    spans: list[tuple[_Clip[Token], int]]
    pending: Pending | Exception


class Batcher(Generic[Token]):
    """Batches of one backbone.

    Units are taken in the order they come, whatever that is: what runs the batches gives them one shape, in which a
    unit's bits are its own. Clips are given back in that order too, but for those without a valid unit, which are
    given back at once.

    Args:
        extractor: loaded.
        runner: of the batches.
        deliver: called once for every clip, with its features or its failure.

    Every method raises BackboneBroken when the device is broken; nothing may be asked of it then.
    """

    def __init__(
        self,
        extractor: Extractor,
        runner: BatchRunner,
        *,
        deliver: Callable[[Token, dict[str, Features] | Failure], None],
    ) -> None:
        self._extractor = extractor
        self._runner = runner
        self._deliver = deliver
        self._specs = extractor.specs
        self._buffer: NDArray[Any] | None = None
        self._unit: tuple[Any, tuple[int, ...]] | None = None
        self._filled = 0
        self._spans: list[tuple[_Clip[Token], int]] = []
        self._running: deque[_Batch[Token]] = deque()

    def add(self, token: Token, units: Units) -> None:
        """Take a clip's units; they are copied, so the caller may reuse the memory."""
        valid = units.valid.copy()  # the mask may lie in a buffer that is reused before this clip is done
        data = units.data if valid.all() else units.data[valid]
        if not len(data):
            self._deliver(token, self._extractor.empty())
            return
        unit = (data.dtype, data.shape[1:])
        self._unit = self._unit or unit
        if unit != self._unit:
            got, expected = (f"{dtype} {list(shape)}" for dtype, shape in (unit, self._unit))
            self._deliver(token, Failure(f"units() gave {got} a unit, {expected} before"))
            return
        clip = _Clip(token, valid, len(data))
        at = 0
        while at < len(data):
            if self._buffer is None:
                self._buffer = self._runner.buffer(data.shape[1:], data.dtype)
            take = min(len(data) - at, len(self._buffer) - self._filled)
            self._buffer[self._filled : self._filled + take] = data[at : at + take]
            self._spans.append((clip, take))
            self._filled += take
            at += take
            if self._filled == len(self._buffer):
                self._launch(self._buffer)

    def flush(self) -> None:
        """Run what is in the buffer, full or not, and wait for all batches."""
        if self._buffer is not None and self._filled:
            self._launch(self._buffer)
        while self._running:
            self._take_oldest()

    def _launch(self, buffer: NDArray[Any]) -> None:
        """Hand the buffer to the device; the next unit begins another one."""
        count, spans = self._filled, self._spans
        self._buffer, self._filled, self._spans = None, 0, []
        pending: Pending | Exception
        try:
            pending = self._runner.submit_buffer(buffer, count)
        except Exception as problem:  # noqa: BLE001 - a backbone is anybody's code; the reason goes to the ledger
            pending = problem
        self._running.append(_Batch(buffer[:count], spans, pending))
        while len(self._running) >= self._runner.in_flight:
            self._take_oldest()

    def _take_oldest(self) -> None:
        done = self._running.popleft()
        try:
            if isinstance(done.pending, Exception):
                raise done.pending
            outputs = done.pending.result()
        except Exception as problem:  # noqa: BLE001 - as above
            self._run_alone(done.units, done.spans, failure_of(self._extractor, problem))
            return
        self._scatter(outputs, done.spans)

    def _scatter(self, outputs: Outputs, spans: list[tuple[_Clip[Token], int]]) -> None:
        at = 0
        for clip, count in spans:
            clip.parts.append(tuple(output[at : at + count] for output in outputs))
            at += count
            self._settle(clip, count)

    def _run_alone(self, batch: NDArray[Any], spans: list[tuple[_Clip[Token], int]], failure: Failure) -> None:
        """Run each clip's units by themselves, so that one bad clip does not take its neighbours with it."""
        at = 0
        for clip, count in spans:
            try:
                if len(spans) > 1:
                    clip.parts.append(self._runner.submit(batch[at : at + count]).result())
                else:
                    clip.failure = failure
            except Exception as alone:  # noqa: BLE001 - as above
                clip.failure = failure_of(self._extractor, alone)
            at += count
            self._settle(clip, count)

    def _settle(self, clip: _Clip[Token], count: int) -> None:
        clip.remaining -= count
        if clip.remaining:
            return
        self._deliver(clip.token, clip.failure or self._assembled(clip))

    def _assembled(self, clip: _Clip[Token]) -> dict[str, Features] | Failure:
        try:
            features = self._extractor.assemble(
                [np.concatenate(column) for column in zip(*clip.parts, strict=True)], clip.valid
            )
        except Exception as problem:  # noqa: BLE001 - as above
            return failure_of(self._extractor, problem)
        wrong = next(filter(None, (_misfit(features.get(spec.name), spec) for spec in self._specs)), "")
        return Failure(wrong) if wrong else features


def _misfit(features: Features | None, spec: FeatureSpec) -> str:
    """What is wrong with a row of an array; empty where nothing is."""
    if features is None:
        return f"assemble() gave no {spec.name}"
    values, valid = features.values, features.valid
    if values.shape != (spec.steps, spec.dim) or valid.shape != (spec.steps,):
        got, expected = f"{list(values.shape)}, valid {list(valid.shape)}", f"{[spec.steps, spec.dim]}, valid"
        return f"assemble() gave {spec.name} {got}, expected {expected} {[spec.steps]}"
    if not np.isfinite(values).all(axis=1)[valid].all():  # no copy of the values of every clip
        return f"{spec.name} gave values that are not finite"
    if not np.isnan(values[~valid]).all():
        return f"assemble() gave {spec.name} values at steps that are not valid, expected NaN"
    return ""


def failure_of(extractor: Extractor, problem: Exception) -> Failure:
    """A failure in the words of the exception's first line.

    Raises:
        BackboneBroken: If it is no clip's failure, because the device is broken.
    """
    text = error_words(problem)
    if isinstance(problem, BackboneBroken):
        raise problem
    if is_device_broken(problem):
        raise broken(extractor.name, text, "after this error the device computes nothing any more") from problem
    return Failure(text, out_of_memory=isinstance(problem, MemoryError))
