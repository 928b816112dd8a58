"""Pictures for the dashboard: SVG in a ``data:`` URL, so that no file is served."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping

_ROW = 26
_LEFT = 190
_BAR = 400
_TOP = 44


def bar_svg(title: str, percent: Mapping[str, float]) -> str:
    """Horizontal bars from 0 to 100.

    Args:
        title: above.
        percent: of each bar, by label.
    """
    height = _TOP + _ROW * len(percent) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _BAR + 80} {height}" '
        f'font-family="system-ui,sans-serif" font-size="14">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="12" y="26" font-size="16" font-weight="600" fill="#1a1a1a">{html.escape(title)}</text>',
    ]
    for number, (label, value) in enumerate(percent.items()):
        top = _TOP + _ROW * number
        width = _BAR * min(max(value, 0.0), 100.0) / 100
        parts += [
            f'<text x="{_LEFT - 10}" y="{top + 16}" text-anchor="end" fill="#1a1a1a">{html.escape(label)}</text>',
            f'<rect x="{_LEFT}" y="{top + 3}" width="{_BAR}" height="18" fill="#eceff3"/>',
            f'<rect x="{_LEFT}" y="{top + 3}" width="{width:.1f}" height="18" fill="#2f6fb3"/>',
            f'<text x="{_LEFT + _BAR + 10}" y="{top + 16}" fill="#1a1a1a">{value:.1f}</text>',
        ]
    return "".join([*parts, "</svg>"])


def bar_picture(title: str, percent: Mapping[str, float]) -> str:
    """:func:`bar_svg` as a ``data:`` address."""
    return "data:image/svg+xml;base64," + base64.b64encode(bar_svg(title, percent).encode()).decode()
