"""Makes foreign text safe to print, splits it into lines, compares names and counts things."""

from __future__ import annotations

import json
import re
import unicodedata

_LINE_END = re.compile(r"\r\n|\r|\n")
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode categories that a terminal acts on or cannot show: controls, directions, surrogates, separators."""

_VARYING = re.compile(r"0x[0-9a-fA-F]+|(?<![A-Za-z\d])\d+(\.\d+)?(?![A-Za-z\d])")
"""Numbers and addresses in a reason. Digits within a word such as h264 are not numbers."""

_PASSWORD = re.compile(
    r"(\b(?:s3a?|gc?s|az|abfss?)://)[^\s@:'\"]*:[^\s@'\"]*@"  # no ports there, and keys with slashes in them
    r"|(\b[A-Za-z][A-Za-z0-9+.-]*://)[^\s/@:'\"]*:[^\s/@'\"]*@"
)

_HARMLESS = "\u00ad\u200c\u200d"
"""Hidden characters that are kept: the soft hyphen, and the joiners that Persian words and emoji need."""


def without_passwords(text: str) -> str:
    """A text in which addresses such as ``https://name:password@host`` have no names and passwords."""
    return _PASSWORD.sub(r"\1\2***@", text)


def visible(text: object, *, limit: int | None = None, keep: str = "") -> str:
    r"""Text that is safe to print: control characters as escapes such as ``\x1b``, addresses without passwords.

    Args:
        text: from a file, a file name or a library; anything else is shown as ``str`` does.
        limit: longer texts are cut off with an ellipsis.
        keep: characters that stay, e.g. the newlines of a text of several lines.
    """
    shown = without_passwords(str(text))
    if limit is not None and len(shown) > limit:
        shown = shown[: limit - 1] + "…"
    if shown.isascii() and shown.isprintable():
        return shown
    return "".join(character if character in keep else _escaped(character) for character in shown)


def visible_json(text: str) -> str:
    r"""JSON that is safe to print and means the same: hidden characters become escapes such as ``\u001b``."""
    hidden = (character for character in set(text) - {"\n"} if _escaped(character) != character)
    return text.translate({ord(character): json.dumps(character)[1:-1] for character in hidden})


def _escaped(character: str) -> str:
    if character in _HARMLESS or unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode("unicode_escape").decode()


def lines_of(text: str) -> list[str]:
    r"""The lines of a text, as editors count them: only ``\n``, ``\r\n`` and ``\r`` end a line.

    ``str.splitlines`` also cuts at U+2028, U+0085, form feeds and others, which are text in a name or a JSON string.
    """
    lines = _LINE_END.split(text)
    return lines[:-1] if not lines[-1] else lines


def name_key(name: str) -> str:
    """The form in which names are compared: NFC, in which a composed and a decomposed é are equal.

    macOS writes file names decomposed; tables are mostly written composed.
    """
    return unicodedata.normalize("NFC", name)


def kind_of_reason(reason: str) -> str:
    """A reason with its numbers replaced by N, so that like failures are counted together."""
    return _VARYING.sub("N", reason)


def error_words(problem: BaseException) -> str:
    """An exception's type and the first line of its message."""
    first = next(iter(lines_of(str(problem).strip())), "")
    return f"{type(problem).__name__}: {first}" if first else type(problem).__name__


def count(number: int, thing: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")
