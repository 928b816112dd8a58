"""Killing processes of a test's run."""

import contextlib

import psutil


def kill(processes):
    """Kill what is still there: ffmpeg comes and goes, and children end with their parent."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
