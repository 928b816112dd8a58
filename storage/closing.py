"""Context managers that are closed at the end of their block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Closing(ABC):
    """Something with ``close()``, which ``with`` calls however its block ends."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held. A second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
