"""Fills a backbone's batches with units of several clips and returns each clip's features."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from extractors.base import Extractor, Features, Units
from extractors.batch_runner import Outputs, Pending
from extractors.engines.device_errors import is_device_broken
from pipeline.extraction.health import broken
from storage.errors import BackboneBroken

Token = TypeVar("Token")


@dataclass(frozen=True)
class Failure:
    """Why a backbone gave no features for a clip.

    Attributes:
        reason: in words.
        out_of_memory: whether memory ran out, rather than the backbone's code failing.
    """

    reason: str
    out_of_memory: bool = False


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

    units: NDArray[Any]
    spans: list[tuple[_Clip[Token], int]]
    pending: Pending | Exception


class Batcher(Generic[Token]):
    """Batches of one backbone.

    Units are taken in the order they come, whatever that is: what runs the batches gives them one shape, in which a
    unit's bits are its own. Clips are given back in that order too, but for those without a valid unit, which are
    given back at once.

    Args:
        extractor: loaded.
        submit: hands a batch ``[units, ...]`` to the device and gives what waits for its outputs; may raise.
        batch_units: units a batch.
        in_flight: batches that may be under way before the oldest one is waited for.
        deliver: called once for every clip, with its features or its failure.

    Every method raises BackboneBroken when the device is broken; nothing may be asked of it then.
    """

    def __init__(
        self,
        extractor: Extractor,
        submit: Callable[[NDArray[Any]], Pending],
        *,
        batch_units: int,
        in_flight: int = 1,
        deliver: Callable[[Token, dict[str, Features] | Failure], None],
    ) -> None:
        self._extractor = extractor
        self._submit = submit
        self._batch_units = batch_units
        self._in_flight = in_flight
        self._deliver = deliver
        self._buffers: list[NDArray[Any]] = []
        self._filled = 0
        self._spans: list[tuple[_Clip[Token], int]] = []
        self._running: deque[_Batch[Token]] = deque()

    def add(self, token: Token, units: Units) -> None:
        """Take a clip's units; they are copied, so the caller may reuse the memory."""
        valid = units.valid.copy()  # the mask may lie in a buffer that is reused before this clip is done
        data = units.data[valid]
        if not len(data):
            self._deliver(token, self._extractor.empty())
            return
        if not self._buffers:
            shape = (self._batch_units, *data.shape[1:])
            self._buffers = [np.empty(shape, dtype=data.dtype) for _ in range(self._in_flight + 1)]
        clip = _Clip(token, valid, len(data))
        at = 0
        while at < len(data):
            take = min(len(data) - at, self._batch_units - self._filled)
            self._buffers[0][self._filled : self._filled + take] = data[at : at + take]
            self._spans.append((clip, take))
            self._filled += take
            at += take
            if self._filled == self._batch_units:
                self._launch()

    def flush(self) -> None:
        """Run what is in the buffer, full or not, and wait for all batches."""
        if self._filled:
            self._launch()
        while self._running:
            self._take_oldest()

    def _launch(self) -> None:
        """Hand the buffer to the device and go on with the one that was free the longest."""
        batch, spans = self._buffers[0][: self._filled], self._spans
        self._buffers.append(self._buffers.pop(0))
        self._filled, self._spans = 0, []
        pending: Pending | Exception
        try:
            pending = self._submit(batch)
        except Exception as problem:  # noqa: BLE001 - a backbone is anybody's code; the reason goes to the ledger
            pending = problem
        self._running.append(_Batch(batch, spans, pending))
        while len(self._running) >= max(self._in_flight, 1):
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
                    clip.parts.append(self._submit(batch[at : at + count]).result())
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
        for name, item in features.items():
            if not np.isfinite(item.values[item.valid]).all():
                return Failure(f"{name} gave values that are not finite")
        return features


def failure_of(extractor: Extractor, problem: Exception) -> Failure:
    """A failure in the words of the exception's first line.

    Raises:
        BackboneBroken: If it is no clip's failure, because the device is broken.
    """
    words = str(problem).strip().splitlines()
    text = f"{type(problem).__name__}: {words[0]}" if words else type(problem).__name__
    if isinstance(problem, BackboneBroken):
        raise problem
    if is_device_broken(problem):
        raise broken(extractor.name, text, "after this error the device computes nothing any more") from problem
    return Failure(text, out_of_memory=isinstance(problem, MemoryError))
