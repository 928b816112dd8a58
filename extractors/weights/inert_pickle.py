"""A pickle interpreter for TorchScript archives that builds plain values and calls nothing.

It knows the operations that torch's C++ pickler writes, and refuses any other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from storage.pickle_machine import PickleMachine
from storage.text import visible

if TYPE_CHECKING:
    import torch

_DTYPES = {
    "Float": "float32", "Half": "float16", "Double": "float64", "BFloat16": "bfloat16", "Byte": "uint8",
    "Char": "int8", "Short": "int16", "Int": "int32", "Long": "int64", "Bool": "bool",
    "ComplexFloat": "complex64", "ComplexDouble": "complex128",
}  # fmt: skip
_STORAGES = {f"torch.{name}Storage": dtype for name, dtype in _DTYPES.items()}
_REBUILD, _ORDERED_DICT, _DEVICE = "torch._utils._rebuild_tensor_v2", "collections.OrderedDict", "torch.device"
_TYPED = "torch.jit._pickle."
"""Functions of this module take a list or dict and its type, and give it back."""


@dataclass(frozen=True)
class _Global:
    """A name, looked up nowhere."""

    name: str


@dataclass(eq=False)
class Instance:
    """An object of a class of the archive.

    Attributes:
        kind: its class, with dots.
        state: its attributes, or whatever its class makes of itself.
    """

    kind: str
    state: Any = None


class _Storage(NamedTuple):
    key: str
    dtype: str
    elements: int


class TensorPlan(NamedTuple):
    """A tensor that is not read yet.

    Attributes:
        key: name of its storage.
        dtype: of the storage and the tensor.
        elements: numbers in the storage, as the pickle says.
        offset: of the first number.
        size: of each axis.
        stride: of each axis, in numbers.
    """

    key: str
    dtype: str
    elements: int
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def torch_dtype(self) -> torch.dtype:
        """The type of its numbers."""
        import torch

        return getattr(torch, self.dtype)  # type: ignore[no-any-return]

    @property
    def end(self) -> int:
        """Numbers of the storage up to its last one."""
        if not math.prod(self.size):
            return 0
        return self.offset + 1 + sum((size - 1) * stride for size, stride in zip(self.size, self.stride, strict=True))


def unpickle(data: bytes) -> Any:
    """Interpret a pickle.

    Raises:
        ValueError: If it has an operation or a global name that no TorchScript archive of modules needs.
        Exception: ``IndexError``, ``TypeError`` and others where it is damaged.
    """
    return _Machine().run(data)


class _Machine(PickleMachine):
    source = "data.pkl "
    refusal = "which TorchScript never writes"
    combining: ClassVar[dict[str, int]] = {"BUILD": 1, "NEWOBJ": 2, "REDUCE": 2, "BINPERSID": 1}

    def named(self, name: str) -> _Global:
        return _Global(_known(name))

    def combine(self, name: str, items: list[Any]) -> None:
        if name == "BINPERSID":
            self.stack.append(_storage(items[0]))
        elif name == "NEWOBJ":
            self.stack.append(_instance(items[0]))
        elif name == "REDUCE":
            self.stack.append(_result(items[0], items[1]))
        else:
            _expect(self.stack[-1], Instance).state = items[0]

    def key(self, key: Any) -> Any:
        """Hashing deeply nested tuples would overflow the stack."""
        if not isinstance(key, (str, int, float, TensorPlan)):
            raise ValueError(f"data.pkl has a {type(key).__name__} as a key")
        return key


_expect = _Machine.expect


def _known(name: str) -> str:
    if name in (_REBUILD, _ORDERED_DICT, _DEVICE, *_STORAGES) or name.startswith(("__torch__.", _TYPED)):
        return name
    raise ValueError(f"data.pkl asks for {visible(name, limit=80)}; only tensors and plain values are read")


def _storage(reference: Any) -> _Storage:
    what, kind, key, _, elements = _expect(reference, tuple)
    if what != "storage" or not _whole(elements) or not isinstance(key, str):
        raise ValueError("data.pkl has a malformed storage")
    return _Storage(key, _STORAGES[_expect(kind, _Global).name], elements)


def _instance(kind: Any) -> Instance:
    name: str = _expect(kind, _Global).name
    if not name.startswith("__torch__."):
        raise ValueError(f"data.pkl makes an object of {visible(name, limit=80)}")
    return Instance(name)


def _result(function: Any, arguments: Any) -> Any:
    """What a function of torch's would give, for the few that are known."""
    name: str = _expect(function, _Global).name
    if name == _REBUILD:
        return _plan(*_expect(arguments, tuple)[:4])
    if name.startswith(_TYPED):
        return arguments[0]
    if name == _ORDERED_DICT and not arguments:
        return {}
    if name == _DEVICE:
        return None
    if name.startswith("__torch__."):
        return Instance(name)
    raise ValueError(f"data.pkl calls {visible(name, limit=80)}")


def _plan(storage: Any, offset: Any, size: Any, stride: Any) -> TensorPlan:
    numbers = (offset, *_expect(size, tuple), *_expect(stride, tuple))
    if not all(map(_whole, numbers)) or len(size) != len(stride):
        raise ValueError("data.pkl has a tensor of malformed size")
    known: _Storage = _expect(storage, _Storage)
    return TensorPlan(known.key, known.dtype, known.elements, offset, size, stride)


def _whole(number: Any) -> bool:
    return type(number) is int and 0 <= number < 2**62
