"""Compiled loops of :mod:`extractors.fused_attention`: heads whose keys and values fit a core's second cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numba import njit
from numba.np.numpy_support import carray

from extractors import openmp
from extractors.attention_microkernel import softmax_row
from extractors.openmp import FAST, FIRST_WORD, floats_at, take_some, team
from extractors.product_kernels import group_rows, height, multiply_tile
from extractors.product_microkernel import DEPTH, HEIGHTS
from extractors.scratch_memory import scratch_memory
from extractors.vector_code import LANES

if TYPE_CHECKING:
    from torch import Tensor

_HIGH, _WIDE = HEIGHTS[-1], 2 * LANES
_MOST_BYTES = 320 << 10
"""Of keys and values of a head."""
_LEAST_TOKENS = 128
"""With fewer, torch's kernel is as quick. Measured on two cores."""
_WORDS = FIRST_WORD + 12
"""Numbers that a thread is given, see :func:`attend_part`."""
_NOTHING, _NONE = np.float32(-1e30), np.float32(-np.inf)


def suits(query: Tensor, key: Tensor, value: Tensor, heads: int) -> bool:
    """Whether attention can run this way here, and quicker. The number of pictures makes no difference."""
    channels, tokens = query.shape[-1] // heads, key.shape[1]
    return (
        LANES > 0
        and channels % _WIDE == 0
        and tokens >= _LEAST_TOKENS
        and 8 * _padded(tokens) * channels <= _MOST_BYTES
        and all(part.dtype == torch.float32 and part.device.type == "cpu" for part in (query, key, value))
        and openmp.library() is not None
    )


def attend_heads(query: Tensor, key: Tensor, value: Tensor, *, heads: int) -> Tensor:
    """Attention that :func:`suits`, of scores over the root of a head's channels.

    Args:
        query: ``[pictures, queries, heads * channels]``.
        key: ``[pictures, tokens, heads * channels]``; may be a part of wider rows.
        value: as ``key``.
        heads: that share the channels.

    Returns:
        ``[pictures, queries, heads * channels]``.

    Raises:
        ValueError: If shapes do not fit each other, or do not suit.
    """
    query = query.contiguous()
    key, value = (part if _rows_lie_evenly(part) else part.contiguous() for part in (key, value))
    pictures, queries, width = query.shape
    if key.shape != value.shape or key.shape[::2] != (pictures, width) or not suits(query, key, value, heads):
        raise ValueError(f"query, key, value {[list(part.shape) for part in (query, key, value)]}, {heads} heads")
    out, tokens, channels = torch.empty_like(query), key.shape[1], width // heads
    scratch = scratch_memory("attention", 4 * torch.get_num_threads() * _room(_padded(tokens), channels))
    openmp.run(
        attend_part,
        openmp.address_of(query),
        key.data_ptr(),
        value.data_ptr(),
        openmp.address_of(out),
        scratch.data_ptr(),
        pictures,
        queries,
        tokens,
        heads,
        channels,
        key.stride(1),
        value.stride(1),
    )
    return out


def _rows_lie_evenly(part: Tensor) -> bool:
    return part.stride(2) == 1 and part.stride(0) == part.shape[1] * part.stride(1)


@njit(**FAST)
def _padded(tokens: int) -> int:
    """Tokens, filled up to whole groups."""
    return (tokens + DEPTH - 1) // DEPTH * DEPTH


@njit(**FAST)
def _room(padded: int, channels: int) -> int:
    """Floats that a thread needs: keys, values; of a tile of rows: queries, scores, their powers, mixed values."""
    return 2 * padded * channels + _HIGH * 2 * (channels + padded)


@njit(**FAST)
def _lay_out_keys(source: int, stride: int, tokens: int, padded: int, channels: int, target: int) -> None:
    """Keys as columns: panels of two vectors of keys, the last maybe of one; zeros for what is missing."""
    columns = carray(floats_at(target), (padded * channels,))
    last = (padded - 1) // _WIDE * _WIDE
    columns[last * channels :] = 0
    for token in range(tokens):
        panel = token // _WIDE * _WIDE
        width = min(_WIDE, padded - panel)
        key = carray(floats_at(source + 4 * token * stride), (channels,))
        at = panel * channels + token - panel
        for channel in range(channels):
            columns[at + channel * width] = key[channel]


@njit(**FAST)
def _lay_out_values(source: int, stride: int, tokens: int, padded: int, channels: int, target: int) -> None:
    """Values as columns: panels of two vectors of channels; zeros for what is missing."""
    for panel in range(0, channels, _WIDE):
        for token in range(padded):
            there = carray(floats_at(target + 4 * (panel * padded + token * _WIDE)), (_WIDE,))
            if token < tokens:
                value = carray(floats_at(source + 4 * (token * stride + panel)), (_WIDE,))
                for channel in range(_WIDE):
                    there[channel] = value[channel]
            else:
                there[:] = 0


@njit(**FAST)
def _attend_rows(
    query: int, out: int, width: int, first: int, there: int, padded: int, channels: int, keys: int, values: int,
    bias: int, zeros: int, scratch: int, sums: Any,
) -> None:  # fmt: skip
    """A tile of queries of one head."""
    high, scale = height(there), np.float32(1 / np.sqrt(channels))
    scores = scratch + 4 * _HIGH * channels
    powers = scores + 4 * _HIGH * padded
    mixed = powers + 4 * _HIGH * padded
    group_rows(query, width, first, first + there, 0, channels, scratch)
    for column in range(0, padded, _WIDE):
        multiply_tile(
            scratch, keys + 4 * column * channels, high, padded - column >= _WIDE, channels // DEPTH,
            bias + 4 * column, scores + 4 * column, 4 * padded, 0, _NONE,
        )  # fmt: skip
    for row in range(high):
        sums[row] = softmax_row(
            scores + 4 * row * padded, padded // DEPTH, scale, powers + 4 * DEPTH * row, 4 * DEPTH * high
        )
    for column in range(0, channels, _WIDE):
        multiply_tile(
            powers, values + 4 * column * padded, high, True, padded // DEPTH, zeros, mixed + 4 * column,
            4 * channels, 0, _NONE,
        )  # fmt: skip
    for row in range(there):
        found = carray(floats_at(mixed + 4 * row * channels), (channels,))
        result = carray(floats_at(out + 4 * (first + row) * width), (channels,))
        part = np.float32(1) / sums[row]
        for channel in range(channels):
            result[channel] = found[channel] * part


def attend_part(address: Any) -> None:
    """One thread's heads.

    After those of :func:`extractors.openmp.team`, the numbers are the addresses of queries, keys, values, the result
    and scratch memory; how many pictures, queries, tokens, heads and channels of a head; and floats from one row of
    keys to the next, and from one of values.
    """
    work = carray(address, (_WORDS,))
    query, key, value, out = work[3], work[4], work[5], work[6]
    pictures, queries, tokens, heads, channels = work[8], work[9], work[10], work[11], work[12]
    key_stride, value_stride, width, padded = work[13], work[14], heads * channels, _padded(tokens)
    thread, _ = team(work)
    keys = work[7] + 4 * _room(padded, channels) * thread
    values = keys + 4 * padded * channels
    bias, zeros, sums = np.zeros(padded, np.float32), np.zeros(_WIDE, np.float32), np.empty(_HIGH, np.float32)
    bias[tokens:] = _NOTHING
    first, last = take_some(work, pictures * heads)
    while first < last:
        for head in range(first, last):
            picture, begin = head // heads, 4 * (head % heads) * channels
            _lay_out_keys(key + 4 * picture * tokens * key_stride + begin, key_stride, tokens, padded, channels, keys)
            _lay_out_values(
                value + 4 * picture * tokens * value_stride + begin, value_stride, tokens, padded, channels, values
            )
            place = 4 * picture * queries * width + begin
            for top in range(0, queries, _HIGH):
                _attend_rows(
                    query + place, out + place, width, top, min(queries - top, _HIGH), padded, channels, keys, values,
                    bias.ctypes.data, zeros.ctypes.data, values + 4 * padded * channels, sums,
                )  # fmt: skip
        first, last = take_some(work, pictures * heads)
