"""Torch's flags of how products are computed. They are the whole process's, not a thread's."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any


class MathFlags:
    """Sets the flags while anything computes, and puts the process's own back after the last of it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._threads: list[int] = []
        self._precision = ""
        self._restore = contextlib.ExitStack()

    @contextlib.contextmanager
    def set(self, precision: str) -> Iterator[None]:
        """Compute in one precision. Threads that want the same do so at the same time, others wait.

        Raises:
            RuntimeError: If this thread is computing in another precision: it would wait for itself.
        """
        me = threading.get_ident()
        with self._changed:
            if me in self._threads and precision != self._precision:
                raise RuntimeError(f"{precision} was asked for within {self._precision}; leave that first")
            self._changed.wait_for(lambda: not self._threads or precision == self._precision)
            if not self._threads:
                self._precision, self._restore = precision, _set_flags(precision)
            self._threads.append(me)
        try:
            yield
        finally:
            with self._changed:
                self._threads.remove(me)
                if not self._threads:
                    self._restore.close()
                    self._changed.notify_all()


def _set_flags(precision: str) -> contextlib.ExitStack:
    """Set them; the stack puts them back."""
    import torch

    tf32 = precision == "tf32"
    stack = contextlib.ExitStack()
    stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    products: Any = torch.backends.cuda.matmul
    for name in ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction"):
        stack.callback(setattr, products, name, getattr(products, name))
        setattr(products, name, False)
    stack.enter_context(
        torch.backends.cudnn.flags(
            enabled=torch.backends.cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=tf32
        )
    )
    return stack
