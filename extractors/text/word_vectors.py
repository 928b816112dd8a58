"""Reads single words from files of word vectors, text or binary, and names a broken line."""

from __future__ import annotations

import gzip
import math
from collections.abc import Collection
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from storage.errors import WeightsError
from storage.foreign_files import reading

Vectors = dict[str, NDArray[np.float32]]
_PEEK_BYTES = 1 << 16


def read_word_vectors(path: Path, words: Collection[str], *, dim: int) -> Vectors:
    """Vectors of some words.

    Text files are read line by line and every number is checked, so memory holds no more than the words asked for
    (the 400,000 lines of glove.6B.300d.txt take some ten seconds). Binary files are read by gensim.

    Args:
        path: GloVe's text (no header), or word2vec's text or binary format; ``.gz`` is unpacked.
        words: that are wanted.
        dim: numbers a word.

    Returns:
        Those words that the file has.

    Raises:
        WeightsError: If the file cannot be read, a line is broken, or its vectors have another dimension.
    """
    with reading(path, "cannot be read", error=WeightsError):
        with _open(path) as file:
            peek = file.read(_PEEK_BYTES)
        header = _header(peek)
        if header is not None and header[1] != dim:
            raise _wrong_dim(path, 1, header[1], dim)
        if header is not None and _is_binary(peek, dim):
            return _read_binary(path, words)
        return _read_text(path, set(words), dim=dim, header=header)


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def _header(peek: bytes) -> tuple[int, int] | None:
    """Words and dimension, where the first line holds just these two numbers."""
    fields = peek.partition(b"\n")[0].split()
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        return int(fields[0]), int(fields[1])
    return None


def _is_binary(peek: bytes, dim: int) -> bool:
    """Whether what follows the header is no line of text with ``dim`` numbers."""
    body = peek.partition(b"\n")[2]
    if b"\0" in body:
        return True
    line = body.partition(b"\n")[0].decode("utf-8", errors="replace")
    return "\ufffd" in line and len(line.split()) != dim + 1


def _read_binary(path: Path, words: Collection[str]) -> Vectors:
    from gensim.models import KeyedVectors

    with reading(path, "not word2vec's binary format", error=WeightsError):
        vectors = KeyedVectors.load_word2vec_format(str(path), binary=True)
    return {word: np.asarray(vectors[word], dtype=np.float32) for word in words if word in vectors.key_to_index}


def _read_text(path: Path, words: set[str], *, dim: int, header: tuple[int, int] | None) -> Vectors:
    found: Vectors = {}
    number, first = 0, 1 if header is None else 2
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            if number >= first and line.strip():
                word, values = _parse_line(path, number, line, dim, opening=number == first)
                if word in words and word not in found:
                    found[word] = np.array(values, dtype=np.float32)
    if header is not None and number - 1 < header[0]:
        raise WeightsError(
            f"{path}: line {number}: the file ends after {number - 1} words of {header[0]}. Fetch it again"
        )
    if not number:
        raise WeightsError(f"{path}: is empty. Expected a word and {dim} numbers a line")
    return found


def _parse_line(path: Path, number: int, line: bytes, dim: int, *, opening: bool) -> tuple[str, list[float]]:
    """A word, which may hold spaces, and its numbers. The opening line tells the file's dimension."""
    parts = line.strip().rsplit(b" ", dim)
    try:
        word, values = parts[0].decode("utf-8"), [float(part) for part in parts[1:]]
    except UnicodeDecodeError:
        raise WeightsError(f"{path}: line {number}: the word is not UTF-8") from None
    except ValueError:
        values = []
    if len(values) == dim and all(map(math.isfinite, values)) and not (" " in word and _is_number(word.split()[-1])):
        return word, values
    count = sum(_is_number(part) for part in line.decode("utf-8", errors="replace").split()[1:])
    if opening and count not in (0, dim):
        raise _wrong_dim(path, number, count, dim)
    raise WeightsError(
        f"{path}: line {number}: expected a word and {dim} numbers, got {count} numbers in "
        f"{line[:60]!r}. Fetch it again"
    )


def _wrong_dim(path: Path, number: int, there: int, dim: int) -> WeightsError:
    return WeightsError(
        f"{path}: line {number}: vectors have {there} dimensions, expected {dim}. "
        f"Give another file, or --dim {there} if you mean this one"
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
