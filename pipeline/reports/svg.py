"""Pieces of SVG pictures: texts, rectangles, pictures within them, and the page around them."""

from __future__ import annotations

import base64
import html
import struct
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

COLOURS = ("#222222", "#d1495b", "#00798c", "#edae49", "#5b5f97", "#66a182")
"""Of the truth, or the first run, and of those that follow."""
GREY, PALE = "#666", "#ddd"

Anchor = Literal["start", "middle", "end"]


def text(
    x: float, y: float, words: str, *, size: int = 12, anchor: Anchor = "start", colour: str = "#222",
    bold: bool = False, turned: int = 0,
) -> str:  # fmt: skip
    """A line of text; its baseline is at ``y``.

    Args:
        x: of its anchor.
        y: likewise.
        words: any text; control characters are left out, which XML does not have.
        size: of the font in pixels.
        anchor: which end of the text is at ``x``.
        colour: of the letters.
        bold: whether it is.
        turned: degrees, clockwise, around the anchor.
    """
    turn = f" transform='rotate({turned} {x:.1f} {y:.1f})'" if turned else ""
    weight = " font-weight='600'" if bold else ""
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' fill='{colour}'{weight}{turn}>"
        f"{_escaped(words)}</text>"
    )


def rectangle(x: float, y: float, width: float, height: float, colour: str, *, title: str = "") -> str:
    """A filled rectangle, with a text for the pointer that rests on it."""
    inner = f"><title>{_escaped(title)}</title></rect>" if title else "/>"
    return f"<rect x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}' fill='{colour}'{inner}"


def line(x1: float, y1: float, x2: float, y2: float, *, colour: str = PALE) -> str:
    """A thin line."""
    return f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{colour}'/>"


def image(x: float, y: float, width: float, height: float, pixels: NDArray[np.uint8]) -> str:
    """A picture ``[height, width, 3]`` uint8 RGB within the page; its pixels keep their edges where it is enlarged."""
    data = base64.b64encode(png(pixels)).decode()
    return (
        f"<image x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}' preserveAspectRatio='none' "
        f"style='image-rendering:pixelated' href='data:image/png;base64,{data}'/>"
    )


def page(width: float, height: float, body: str) -> str:
    """The whole picture, white behind ``body``."""
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:.0f} {height:.0f}' width='{width:.0f}' "
        f"height='{height:.0f}' font-family='system-ui,sans-serif'><rect width='100%' height='100%' fill='white'/>"
        f"{body}</svg>\n"
    )


def write_svg(target: Path, picture: str) -> None:
    """Write a picture; its folder is made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(picture, encoding="utf-8")


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of ``[height, width, 3]`` uint8 RGB.

    Source: Portable Network Graphics (PNG) Specification, https://www.w3.org/TR/png-3/, sections 5 and 11.
    """
    height, width = pixels.shape[:2]
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)  # each begins with its filter: none
    rows[:, 1:] = pixels.reshape(height, 3 * width)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in parts)


def _escaped(words: str) -> str:
    return html.escape("".join(letter for letter in words if letter.isprintable()))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
