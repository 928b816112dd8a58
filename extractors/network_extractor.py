"""Base class of backbones that are one torch network, run by an engine."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from extractors.base import Extractor
from extractors.weights.loading import ResolvedWeights

if TYPE_CHECKING:
    from torch import Tensor, nn


class NetworkExtractor(Extractor):
    """A backbone that runs one network on its units. A subclass builds it and says how it is run."""

    unit_dtype: ClassVar[str] = "float32"
    float32_parts: ClassVar[tuple[str, ...]] = ()
    """Parts of the network, by name, that stay in float32 whatever the precision: those of the input and the output."""

    @property
    @abstractmethod
    def unit_shape(self) -> tuple[int, ...]:
        """Shape of one unit."""

    @abstractmethod
    def build_loaded(self, weights: ResolvedWeights) -> nn.Module:
        """The network on the CPU, in float32, with its weights.

        Raises:
            WeightsError: If keys are missing or unexpected, by name.
        """

    @abstractmethod
    def compute(self, network: Any, batch: Tensor) -> tuple[Tensor, ...]:
        """From a batch of units to the outputs, in torch.

        Normalise in float32, give the network ``casting.for_network(network, ...)``, and go on in float32 after it.

        Args:
            network: from :meth:`build_loaded`; batch norms may have been folded into convolutions since, and all but
                :attr:`float32_parts` been cast to a half type.
            batch: ``[units, ...]`` on the network's device.

        Returns:
            ``[units, ...]`` for each output.
        """

    def load(
        self, weights: ResolvedWeights, *, device: str = "cpu", precision: str = "float32", engine: str = "torch"
    ) -> None:
        """See :meth:`Extractor.load`. Float32 is true float32 on every device."""
        import torch

        from extractors.engines import runtime
        from extractors.engines.network import Network
        from extractors.engines.selection import start_engine

        device = runtime.pick_device(device)
        self.precision = runtime.check_precision(precision, device)
        noise = torch.Generator().manual_seed(0)
        example = torch.randint(256, (1, *self.unit_shape), generator=noise).to(getattr(torch, self.unit_dtype))
        self._engine = start_engine(
            engine,
            Network(
                self.name,
                build=lambda: self.build_loaded(weights),
                compute=self.compute,
                example=example,
                batch_units=self.cpu_batch,
                # Random numbers are quickly made again, and too large to be kept for that.
                identity="" if weights.kind == "random" else f"{weights.identity}, code {self.code_identity}",
                float32_parts=self.float32_parts,
            ),
            device=device,
            precision=precision,
        )

    def forward(self, batch: Tensor) -> tuple[Tensor, ...]:
        """See :meth:`Extractor.forward`."""
        return self._engine(batch)
