"""The interface of engines, and the description of a network that they take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn


class Engine(Protocol):
    """A network that is ready to run."""

    def __call__(self, batch: Tensor) -> tuple[Tensor, ...]:
        """Run the network.

        Args:
            batch: ``[units, ...]`` on any device.

        Returns:
            ``[units, ...]`` float32 for each output, on the engine's device.
        """
        ...


@dataclass(frozen=True)
class Network:
    """What an engine needs to know of a backbone.

    Attributes:
        name: of the backbone, for errors.
        build: makes the network on the CPU, in float32 and eval mode, with its weights loaded.
        compute: runs that network on a batch, in plain torch; normalisation and the like belong here.
        example: one unit, ``[1, ...]``; its shape and type matter, its values do not.
        batch_units: units in a usual batch.
        identity: tells this network and its weights from all others; empty if it shall not be cached.
        float32_parts: names in the built network that stay in float32 when it is cast to a half type.
    """

    name: str
    build: Callable[[], nn.Module]
    compute: Callable[[Any, Tensor], tuple[Tensor, ...]]
    example: Tensor
    batch_units: int
    identity: str = ""
    float32_parts: tuple[str, ...] = ()
