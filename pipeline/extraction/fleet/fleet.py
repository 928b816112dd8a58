"""Hands shards to the worker processes of some devices, and sees to those that die.

A worker that ends before its time is told of at once, with its device, how it ended and where it was. Its shards go to
the others, or to itself: it is started again, twice at most. A shard that was under way is done alone from then on, on
another device if there is one; once it has ended three workers it is given up, and the others go on.
"""

from __future__ import annotations

import atexit
import pickle
import signal
import threading
from collections import deque
from dataclasses import replace
from multiprocessing.connection import Pipe, wait
from queue import SimpleQueue

from extractors import registry
from extractors.engines.runtime import pick_device
from pipeline.extraction.fleet.device import Device
from pipeline.extraction.fleet.device_worker import Start
from pipeline.extraction.fleet.errands import Errand, Event
from pipeline.extraction.health import STOPPED
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.worker_count import default_workers
from storage.clips import ClipTable
from storage.closing import Closing
from storage.errors import BackboneBroken

_IDLE_SECONDS = 120.0


class Fleet(Closing):
    """A long-lived worker process for each device of a run. A context manager; any thread may hand shards in.

    Workers start when there is work for them. They end with this process, with :meth:`close`, or when nothing has been
    handed in for two minutes: a run that is over shall not hold a GPU's memory.

    Args:
        table: the clips, in row order.
        store_url: a store that has all arrays.
        options: decode workers and memory are shared out evenly over its devices, one of which may be named twice.
        at_once: shards in a worker's hands, so that it decodes the next one while it finishes the first.

    Raises:
        InvalidInput: If a device is not there.
    """

    def __init__(self, table: ClipTable, store_url: str, options: ExtractOptions, *, at_once: int = 2) -> None:
        self._at_once = at_once
        backbones = dict(registry.BACKBONES)
        self._devices = [
            Device(label, pickle.dumps(Start(table, store_url, own, backbones)))
            for label, own in zip(_labels([*map(pick_device, options.devices)]), _shared_out(options), strict=True)
        ]
        self._lock = threading.Lock()  # of the next four, which other threads change
        self._new: list[Errand] = []
        self._wake_out, self._wake_in = Pipe(duplex=False)
        self._is_woken = self._closing = self._closed = False
        self._waiting: deque[Errand] = deque()
        self._thread = threading.Thread(target=self._run, name="avvp-fleet", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    @property
    def lost(self) -> dict[str, str]:
        """Devices that are not used any more, and how their workers ended."""
        return {device.label: device.history for device in self._devices if device.is_lost}

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers that are up now."""
        return [process.pid for device in self._devices if (process := device.process) is not None]

    def hand_in(self, shard: int, told: SimpleQueue[Event]) -> None:
        """Have a shard done.

        Args:
            shard: its number.
            told: gets all events; the last one is ``finished`` or ``failed``.
        """
        errand = Errand(shard, told)
        with self._lock:
            if self._closed:
                errand.fail(_stopped())
                return
            self._new.append(errand)
            self._wake()

    def close(self) -> None:
        """Stop the workers now; shards that are not done fail."""
        atexit.unregister(self.close)
        with self._lock:
            self._closing = True
            if not self._closed:
                self._wake()
        self._thread.join()

    def _wake(self) -> None:
        if not self._is_woken:
            self._is_woken = True
            self._wake_in.send_bytes(b"")

    def _run(self) -> None:
        """The fleet's thread; workers end with it."""
        # Workers inherit the mask: Ctrl-C is the parent's affair.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        problem: BaseException = _stopped()
        try:
            while not self._closing:
                self._hand_out()
                self._listen()
        except BaseException as bug:  # noqa: BLE001 - not swallowed: whoever waits for a shard raises it
            problem = bug
        finally:
            with self._lock:
                self._closed = True
                left = [*self._waiting, *self._new]
            for errand in [*left, *(errand for device in self._devices for errand in device.errands.values())]:
                errand.fail(problem)
            self._stop_workers()
            self._wake_in.close()
            self._wake_out.close()

    def _stop_workers(self) -> None:
        for device in self._devices:
            device.ask_to_end()
        for device in self._devices:
            device.end()

    def _hand_out(self) -> None:
        """Give shards to the workers that have room."""
        with self._lock:
            self._waiting += self._new
            self._new.clear()
        while (found := self._next()) is not None:
            device, errand = found
            self._waiting.remove(errand)
            if not device.take(errand):
                self._bury(device)
        if all(device.is_lost for device in self._devices):
            self._fail_waiting()

    def _next(self) -> tuple[Device, Errand] | None:
        """The first shard that a worker has room for; the one that has the least to do gets it."""
        living = [device for device in self._devices if not device.is_lost]
        if not any(device.has_room(self._at_once) for device in living):
            return None
        for errand in self._waiting:
            able = [item for item in living if item.may_take(errand, self._at_once, has_others=len(living) > 1)]
            if able:
                return min(able, key=lambda device: len(device.errands)), errand
        return None

    def _fail_waiting(self) -> None:
        ends = "; ".join(f"{label}: {history}" for label, history in self.lost.items())
        for errand in self._waiting:
            errand.fail(BackboneBroken(f"{ends}{STOPPED}"))
        self._waiting.clear()

    def _listen(self) -> None:
        """Pass on what workers say, until there may be something to hand out."""
        up = [(process.pipe, device) for device in self._devices if (process := device.process) is not None]
        is_idle = not self._waiting and not any(device.errands for _, device in up)
        ready = wait([self._wake_out, *(pipe for pipe, _ in up)], _IDLE_SECONDS if is_idle and up else None)
        if not ready:
            self._stop_workers()
        if self._wake_out in ready:
            with self._lock:
                self._wake_out.recv_bytes()
                self._is_woken = False
        for pipe, device in up:
            if pipe in ready and not device.listen():
                self._bury(device)

    def _bury(self, device: Device) -> None:
        """A worker has ended before its time: others go on with what it had in hand."""
        for errand in reversed(device.bury()):
            if errand.is_poison:
                errand.give_up()
            else:
                errand.requeue()
                self._waiting.appendleft(errand)


def _stopped() -> BackboneBroken:
    return BackboneBroken("the workers were stopped before this shard was done; what was committed is safe")


def _labels(devices: list[str]) -> list[str]:
    """Names of devices; those that are named twice are numbered."""
    return [
        device if devices.count(device) == 1 else f"{device} #{devices[: number + 1].count(device)}"
        for number, device in enumerate(devices)
    ]


def _shared_out(options: ExtractOptions) -> list[ExtractOptions]:
    """What each device's worker does: its part of the decode workers and of the memory."""
    count = len(options.devices)
    workers = default_workers(devices=count) if options.workers is None else max(1, options.workers // count)
    memory = None if options.memory_bytes is None else str(options.memory_bytes // count)
    return [
        replace(options, device=device, workers=workers, memory=memory, rebuild=False, shards=None, part=None)
        for device in options.devices
    ]
