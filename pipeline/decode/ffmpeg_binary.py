"""Finds ffmpeg: the one on the path, else the one that imageio-ffmpeg ships."""

from __future__ import annotations

import shutil
from functools import cache


@cache
def ffmpeg_path() -> str:
    """Path of the ffmpeg program."""
    found = shutil.which("ffmpeg")
    if found:
        return found
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())
