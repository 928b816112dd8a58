"""Running ffmpeg with several outputs, each read through a pipe; nothing touches the disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Sequence

from pipeline.decode.media import MediaProblem, death, shorten
from storage.schema import Status

_WORDS_BYTES = 1 << 16
_PAUSE_SECONDS = 0.003
"""ffmpeg writes a hundred times a second of sound; let it fill its pipes meanwhile instead of waking up for each."""
_ATTEMPTS = 3
"""How often ffmpeg is run when a signal ends it: the kernel kills what is at hand when memory runs out."""
_PIPE_BYTES = 1 << 20
"""The largest that Linux gives by default: fewer turns between ffmpeg and us."""


def read_outputs(
    command: Callable[[Sequence[str]], list[str]], limits: Sequence[int], timeout_seconds: float
) -> tuple[list[bytes], str, int]:
    """Run ffmpeg with one pipe for each output; again where a signal ends it, for sound cut there would pass as whole.

    Args:
        command: the call, given the names of the outputs.
        limits: bytes of each output; ffmpeg is stopped when all have been read.
        timeout_seconds: over all attempts, after which it is killed.

    Returns:
        The bytes of each output, what ffmpeg said, its exit code (0 if it was stopped because all was read).

    Raises:
        MediaProblem: ``TIMEOUT``, over all attempts; what ``death`` says if each of them died.
    """
    deadline = time.monotonic() + timeout_seconds
    codes: list[int] = []
    while len(codes) < _ATTEMPTS:
        try:
            taken, words, code = _run(command, limits, deadline)
        except TimeoutError as late:
            raise MediaProblem(Status.TIMEOUT, f"ffmpeg gave no sound within {timeout_seconds:g} s") from late
        if code >= 0:
            return taken, words, code
        codes.append(code)
    raise death("ffmpeg", codes)


def _run(
    command: Callable[[Sequence[str]], list[str]], limits: Sequence[int], deadline: float
) -> tuple[list[bytes], str, int]:
    """One attempt.

    No code runs between fork and exec, so that Python needs not copy its page tables: that took as long as decoding a
    clip's sound. If this process is killed, ffmpeg ends at its next write into the closed pipes.

    Raises:
        TimeoutError: If it has not ended by ``deadline``, on the monotonic clock.
    """
    pipes = [_pipe() for _ in limits]
    try:
        with subprocess.Popen(
            command([f"pipe:{writer}" for _, writer in pipes]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=[writer for _, writer in pipes],
        ) as process:
            for _, writer in pipes:
                os.close(writer)
            try:
                return _drain(process, [reader for reader, _ in pipes], limits, deadline)
            except subprocess.TimeoutExpired as late:  # it closed its pipes and stayed
                raise TimeoutError from late
            finally:
                process.kill()
    finally:
        for pair in pipes:
            for end in pair:
                with contextlib.suppress(OSError):
                    os.close(end)


def _pipe() -> tuple[int, int]:
    """Reading and writing end of a large pipe, where the system has such."""
    reader, writer = os.pipe()
    resize = getattr(fcntl, "F_SETPIPE_SZ", None)
    if resize is not None:
        with contextlib.suppress(OSError):  # more than this user may have
            fcntl.fcntl(writer, resize, _PIPE_BYTES)
    return reader, writer


def _drain(
    process: subprocess.Popen[bytes], readers: Sequence[int], limits: Sequence[int], deadline: float
) -> tuple[list[bytes], str, int]:
    messages = process.stderr
    if messages is None:
        raise ValueError("the process has no pipe for its messages")
    taken = [bytearray() for _ in readers]
    words = bytearray()
    full: set[int] = set()
    with selectors.DefaultSelector() as selector:
        for number, reader in enumerate(readers):
            selector.register(reader, selectors.EVENT_READ, number)
        selector.register(messages, selectors.EVENT_READ, None)
        while selector.get_map() and len(full) < len(readers):
            left = deadline - time.monotonic()
            ready = selector.select(max(left, 0.0)) if left > 0 else []
            if not ready:
                raise TimeoutError
            time.sleep(_PAUSE_SECONDS)
            for key, _ in ready:
                data = os.read(key.fd, _PIPE_BYTES)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.data is None:
                    words += data[: max(_WORDS_BYTES - len(words), 0)]
                else:
                    taken[key.data] += data[: max(limits[key.data] - len(taken[key.data]), 0)]
                    if len(taken[key.data]) >= limits[key.data]:
                        full.add(key.data)
    stopped_early = len(full) == len(readers)
    if stopped_early:
        process.kill()
    code = process.wait(timeout=max(deadline - time.monotonic(), 1.0))
    return [bytes(part) for part in taken], _own_words(bytes(words)), 0 if stopped_early else code


def _own_words(text: bytes) -> str:
    """Messages of ffmpeg without addresses, each once."""
    lines = []
    for line in text.decode(errors="replace").splitlines():
        source, at, rest = line.strip().partition(" @ 0x")
        message = f"{source.lstrip('[')}: {rest.partition('] ')[2]}" if at else line.strip()
        if message and message not in lines:
            lines.append(message)
    return shorten("; ".join(lines[:3]))
