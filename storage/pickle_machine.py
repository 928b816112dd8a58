"""Interprets pickles without importing or calling anything that they name.

Python's ``pickle.Unpickler``, however restricted, still calls ``__setstate__``, sets attributes on what it finds, and
allocates what a pickle claims.
"""

from __future__ import annotations

import pickletools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, ClassVar

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: Mapping[str, Callable[[], Any]] = {"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_FILLED = {"APPEND": 1, "SETITEM": 2}
_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"}


class PickleMachine(ABC):
    """The stack and the memo of one pickle: plain values, containers, and what a subclass makes of names.

    Attributes:
        source: how its messages begin.
        refusal: end of the message about an operation that is not known.
        literals: operations that put their argument on the stack, beside those of every format.
        memoizing: operations that remember the value on top of the stack.
        silent: operations without an effect.
        combining: operations of a subclass's :meth:`combine`, and how many values each takes from the stack.
    """

    source: ClassVar[str] = ""
    refusal: ClassVar[str] = ""
    literals: ClassVar[frozenset[str]] = frozenset()
    memoizing: ClassVar[frozenset[str]] = frozenset({"BINPUT", "LONG_BINPUT"})
    silent: ClassVar[frozenset[str]] = frozenset({"PROTO", "STOP"})
    combining: ClassVar[Mapping[str, int]] = {}

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._marked: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self, stream: bytes | BytesIO) -> Any:
        """The value of a pickle; a stream is left behind it.

        Raises:
            ValueError: If it has an operation or a name that is not known.
            Exception: ``IndexError``, ``TypeError`` and others where it is damaged.
        """
        for opcode, argument, _ in pickletools.genops(stream):
            self._step(opcode.name, argument)
        return self.stack.pop()

    @abstractmethod
    def named(self, name: str) -> Any:
        """What stands for a global name, with dots."""

    @abstractmethod
    def combine(self, name: str, items: list[Any]) -> None:
        """An operation of :attr:`combining`, its values taken from the stack."""

    @abstractmethod
    def key(self, key: Any) -> Any:
        """A key of a dict, checked."""

    def _step(self, name: str, argument: Any) -> None:
        push = self.stack.append
        if name in _LITERALS or name in self.literals:
            push(argument)
        elif name in _CONSTANTS:
            push(_CONSTANTS[name])
        elif name in _EMPTY:
            push(_EMPTY[name]())
        elif name in self.memoizing:
            self._memo[len(self._memo) if name == "MEMOIZE" else argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            push(self._memo[argument])
        elif name == "MARK":
            self._marked.append(self.stack)
            self.stack = []
        elif name == "TUPLE":
            items = tuple(self._to_mark())
            self.stack.append(items)
        elif name in _TUPLES:
            push(tuple(self._top(_TUPLES[name])))
        elif name == "GLOBAL":
            push(self.named(".".join(argument.split(" ", 1))))
        elif name not in self.silent:
            self._combine(name)

    def _combine(self, name: str) -> None:
        """Operations that put values into other values."""
        if name in ("SETITEMS", "APPENDS"):
            items = self._to_mark()
        elif (count := {**_FILLED, **self.combining}.get(name)) is None:
            raise ValueError(f"{self.source}has the operation {name}, {self.refusal}")
        else:
            items = self._top(count)
        if name in self.combining:
            self.combine(name, items)
        elif name in ("APPEND", "APPENDS"):
            self.expect(self.stack[-1], list).extend(items)
        else:
            for key, value in zip(items[::2], items[1::2], strict=True):
                self.expect(self.stack[-1], dict)[self.key(key)] = value

    def _to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self._marked.pop()
        return items

    def _top(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise ValueError(f"{self.source}is damaged")
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    @classmethod
    def expect(cls, value: Any, kind: type) -> Any:
        """A value of this type and no subclass of it.

        Raises:
            ValueError: If it is of another.
        """
        if type(value) is not kind:
            raise ValueError(f"{cls.source}has a {type(value).__name__} where a {kind.__name__} should be")
        return value
