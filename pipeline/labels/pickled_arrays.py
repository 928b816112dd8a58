"""Reads dictionaries of arrays and tensors from pickles. Nothing that a pickle names is imported or called.

Published pseudo labels are often dictionaries that were saved with ``numpy.savez`` or ``pickle.dump``, and loading
these the usual way runs whatever they name. Here the operations are interpreted: containers, numbers, texts, numpy's
arrays and torch's tensors are known, and everything else is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from io import BytesIO
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.pickle_machine import PickleMachine
from storage.text import visible

_STORAGES = {
    "Float": "f4", "Half": "f2", "Double": "f8", "Byte": "u1", "Char": "i1", "Short": "i2", "Int": "i4", "Long": "i8",
    "Bool": "b1",
}  # fmt: skip


class _Global(NamedTuple):
    """A name, looked up nowhere."""

    name: str


@dataclass(eq=False)
class _Dtype:
    code: str
    order: str = "<"


@dataclass(eq=False)
class PickledArray:
    """An array of a pickle.

    Attributes:
        values: its numbers; ``None`` if it holds objects.
        objects: what it holds otherwise, in order.
    """

    values: NDArray[Any] | None = None
    objects: tuple[Any, ...] = ()


def read_pickle(data: bytes) -> Any:
    """The value of a pickle: dicts, lists, tuples, texts, numbers and :class:`PickledArray`.

    Raises:
        ValueError: If it has an operation or a name that such a pickle does not need.
        Exception: ``IndexError``, ``TypeError`` and others where it is damaged.
    """
    return _Machine().run(BytesIO(data))


class _Machine(PickleMachine):
    refusal = "which a dictionary of arrays does not need"
    literals = frozenset({"BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"})
    memoizing = PickleMachine.memoizing | {"MEMOIZE"}
    silent = PickleMachine.silent | {"FRAME"}
    combining: ClassVar[dict[str, int]] = {"BUILD": 1, "REDUCE": 2, "BINPERSID": 1, "STACK_GLOBAL": 2}

    def named(self, name: str) -> _Global:
        return _Global(name)

    def combine(self, name: str, items: list[Any]) -> None:
        if name == "STACK_GLOBAL":
            self.stack.append(_Global(".".join(_expect(item, str) for item in items)))
        elif name == "BINPERSID":
            self.stack.append(_expect(items[0], tuple))
        elif name == "REDUCE":
            self.stack.append(_result(_expect(items[0], _Global).name, _expect(items[1], tuple)))
        else:
            _fill(self.stack[-1], _expect(items[0], tuple))

    def key(self, key: Any) -> Any:
        return _expect(key, str)


_expect = _Machine.expect


def _result(name: str, arguments: tuple[Any, ...]) -> Any:
    """What a function would give, for the few that are known."""
    if name in ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"):
        return PickledArray()
    if name == "numpy.dtype":
        return _Dtype(_expect(arguments[0], str))
    if name in ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer"):
        data, dtype, shape, order = arguments
        content = bytes(data) if type(data) is bytearray else _expect(data, bytes)
        return PickledArray(_array(content, dtype, shape, fortran=order == "F"))
    if name == "_codecs.encode" and arguments[1:] == ("latin1",):
        return _expect(arguments[0], str).encode("latin-1")
    if name in ("collections.OrderedDict", "__builtin__.bytes") and not arguments:
        return {} if name == "collections.OrderedDict" else b""
    if name == "torch.storage._load_from_bytes":
        return _storage(_expect(arguments[0], bytes))
    if name == "torch._utils._rebuild_tensor_v2":
        return PickledArray(_tensor(*arguments[:4]))
    raise ValueError(f"asks for {visible(name, limit=80)}; only dictionaries of arrays and tensors are read")


def _fill(target: Any, state: tuple[Any, ...]) -> None:
    if isinstance(target, _Dtype):
        target.order = {"|": "<", "=": "<"}.get(_expect(state[1], str), state[1])
        return
    array: PickledArray = _expect(target, PickledArray)
    _, shape, dtype, fortran, content = state
    if type(content) is list:
        if len(content) != _size(shape):
            raise ValueError("has an array of malformed size")
        array.objects = tuple(content)
    else:
        array.values = _array(_expect(content, bytes), dtype, shape, fortran=bool(fortran))


def _array(data: bytes, dtype: Any, shape: Any, *, fortran: bool) -> NDArray[Any]:
    kind: _Dtype = _expect(dtype, _Dtype)
    if kind.code not in _NUMBERS or kind.order not in ("<", ">"):
        raise ValueError(f"has an array of {visible(kind.code, limit=20)}; only numbers are read")
    made = np.dtype(kind.order + kind.code)
    if len(data) != _size(shape) * made.itemsize:
        raise ValueError("has an array of malformed size")
    return np.frombuffer(data, dtype=made).reshape(shape, order="F" if fortran else "C")


_NUMBERS = frozenset(_STORAGES.values()) | {"u2", "u4", "u8"}


def _size(shape: Any) -> int:
    if not all(type(length) is int and 0 <= length < 2**40 for length in _expect(shape, tuple)):
        raise ValueError("has an array of malformed size")
    return math.prod(shape)


def _storage(data: bytes) -> NDArray[Any]:
    """Numbers that a tensor stands on: five pickles (the fourth names their type), a count, and the bytes."""
    stream = BytesIO(data)
    parts = [_Machine().run(stream) for _ in range(5)]
    what, kind, *_ = _expect(parts[3], tuple)
    name = _expect(kind, _Global).name
    code = _STORAGES.get(name.removeprefix("torch.").removesuffix("Storage"))
    if what != "storage" or code is None:
        raise ValueError(f"has a tensor of {visible(name, limit=40)}; only numbers are read")
    count = int.from_bytes(stream.read(8), "little")
    rest = stream.read()
    if len(rest) != count * np.dtype(code).itemsize:
        raise ValueError("has a tensor of malformed size")
    return np.frombuffer(rest, dtype=f"<{code}")


def _tensor(storage: Any, offset: Any, size: Any, stride: Any) -> NDArray[Any]:
    numbers: NDArray[Any] = _expect(storage, np.ndarray)
    count = _size(size)
    if len(_expect(stride, tuple)) != len(size) or _size((offset, *stride)) < 0 or count > len(numbers):
        raise ValueError("has a tensor of malformed size")
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) if count else -1
    if last >= len(numbers):
        raise ValueError("has a tensor of malformed size")
    strides = tuple(step * numbers.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(numbers[offset:] if count else numbers[:0], size, strides).copy()
