"""VGGish: a 128-dimensional embedding for each second of sound.

Source: Hershey et al., CNN architectures for large-scale audio classification, ICASSP 2017,
https://arxiv.org/abs/1609.09430. Layer names and weights are those of the public PyTorch port,
https://github.com/harritaylor/torchvggish, which were converted from the TensorFlow release.

The features that AVVP papers use are the raw embeddings after the last ReLU (``vggish``). AudioSet's own release
goes on with a PCA (``vggish:pca``) and eight bits (``vggish:pca-quantized``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from extractors.audio.waveform import check_windows, sound_spec, steps_valid, waveform_on_grid
from extractors.base import Frames, Units, Waveform
from extractors.network_extractor import NetworkExtractor
from extractors.views import AudioView
from extractors.weights.inventory import WeightsFile, published_file
from extractors.weights.loading import ResolvedWeights, WeightsSource, apply_weights, resolve
from extractors.windows import Windows
from storage.errors import WeightsError
from storage.foreign_files import reading
from storage.schema import FeatureSpec, Modality

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

SAMPLE_RATE_HZ = 16_000
WINDOW_SECONDS = 0.96
DIM = 128
PCA_LIMIT = 2.0
"""Eight bits cover [-2, 2] after the PCA."""

WEIGHTS = WeightsSource(
    url="https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",
    filename="vggish-10086976.pth",
    sha256="10086976",
    megabytes=288.6,
)
PCA_WEIGHTS = WeightsSource(
    url="https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish_pca_params-970ea276.pth",
    filename="vggish_pca_params-970ea276.pth",
    sha256="970ea276",
)
_CONVOLUTIONS = (64, 0, 128, 0, 256, 256, 0, 512, 512, 0)
"""Channels of each 3x3 convolution; 0 stands for a 2x2 max pool."""


class Vggish(NetworkExtractor):
    """VGGish embeddings, one a second.

    Each unit is one second's log-mel example, ``[1, 96, 64]`` float32. A second that the clip does not fill is
    padded with zeros; one that it covers by less than half is not run. ``vggish@0.96s/0.48s`` moves on by 0.48 s, as
    AudioSet's and YouTube-8M's features do.

    Raises:
        UnknownBackbone: If the variant is none of ``""``, ``pca`` and ``pca-quantized``.
    """

    modality: ClassVar[Modality] = "audio"
    variants: ClassVar[tuple[str, ...]] = ("pca", "pca-quantized")
    cpu_batch: ClassVar[int] = 10
    gpu_batch: ClassVar[int] = 512
    float32_parts: ClassVar[tuple[str, ...]] = ("pproc",)

    def use_windows(self, windows: Windows) -> None:
        """See :meth:`Extractor.use_windows`: 0.96 s each, as long as the network's input."""
        check_windows(windows, name=self.name, clip_seconds=self.clip_seconds, only=WINDOW_SECONDS)
        self.windows = windows

    @property
    def unit_shape(self) -> tuple[int, ...]:
        """A log-mel example."""
        return (1, 96, 64)

    @property
    def view(self) -> AudioView:
        """Mono at 16 kHz."""
        return AudioView(SAMPLE_RATE_HZ)

    @property
    def specs(self) -> tuple[FeatureSpec, ...]:
        """One array, ``[segments, 128]``."""
        what = {
            "": "VGGish embedding of each second after the last ReLU, no PCA",
            "pca": "VGGish embedding of each second after AudioSet's PCA, not clipped",
            "pca-quantized": "VGGish embedding of each second after AudioSet's PCA, whole numbers from 0 to 255",
        }[self.variant]
        return (sound_spec(self, dim=DIM, description=what),)

    @property
    def weights_source(self) -> WeightsSource:
        """The port's release; the PCA variants fetch :data:`PCA_WEIGHTS` as well."""
        return WEIGHTS

    @property
    def weights_files(self) -> tuple[WeightsFile, ...]:
        """The network's, and the PCA's where it is applied."""
        pca = (published_file(PCA_WEIGHTS),) if self.variant else ()
        return (*super().weights_files, *pca)

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """The view, the log-mel, and what follows the network."""
        frames = "96 of 98 frames of each second" if self.windows is None else "96 frames a window"
        facts: dict[str, Any] = {**self.view.to_json(), "log_mel": f"vggish, {frames}"}
        if self.variant:
            facts["pca"] = PCA_WEIGHTS.filename
        if self.variant == "pca-quantized":
            facts["quantized"] = "8 bits over [-2, 2], rounded"
        return facts

    def build_loaded(self, weights: ResolvedWeights) -> nn.Module:
        """See :meth:`NetworkExtractor.build_loaded`.

        Random weights fill the PCA too. A file given by its path must hold the PCA as the port's whole model does,
        under ``pproc.pca_eigen_vectors`` and ``pproc.pca_means``, if a PCA variant is asked for.
        """
        from extractors.engines import runtime

        published = weights.kind == "pretrained"
        with runtime.skipped_initialisation():
            network = build_network(with_pca=bool(self.variant) and not published)
        apply_weights(network, weights, ignore=() if self.variant else ("pproc.",))
        if self.variant and published:
            network["pproc"] = read_pca(cast("Path", resolve("pretrained", PCA_WEIGHTS).path))
        return network

    def units(self, clip: Frames | Waveform) -> Units:
        """Cut a clip into log-mel examples, ``[steps, 1, 96, 64]`` float32."""
        from extractors.audio.vggish_log_mel import examples_of

        sound = waveform_on_grid(clip, name=self.name, sample_rate_hz=SAMPLE_RATE_HZ, seconds=self.clip_seconds)
        examples = examples_of(sound.samples, self.windows, clip_seconds=self.clip_seconds)
        return Units(examples, steps_valid(self, sound))

    def compute(self, network: Any, batch: Tensor) -> tuple[Tensor, ...]:
        """Embed examples. The PCA stays in float32.

        Args:
            network: from :meth:`build_loaded`.
            batch: ``[units, 1, 96, 64]`` float32.

        Returns:
            ``[units, 128]`` float32: not negative for ``vggish``, whitened for ``vggish:pca``, whole numbers from
            0 to 255 for ``vggish:pca-quantized``.
        """
        from extractors.engines.casting import for_network

        maps = network["features"](for_network(network, batch))
        embedding = network["embeddings"](flatten_maps(maps)).float()
        if self.variant:
            embedding = whiten(embedding, network["pproc"])
        return (quantize(embedding) if self.variant == "pca-quantized" else embedding,)


def flatten_maps(maps: Tensor) -> Tensor:
    """Flatten feature maps in TensorFlow's order, which the first linear layer was trained for.

    Args:
        maps: ``[units, channels, height, width]``.

    Returns:
        ``[units, height * width * channels]``: the channels of one place lie side by side.
    """
    return maps.permute(0, 2, 3, 1).flatten(1)


def whiten(embedding: Tensor, pca: Any) -> Tensor:
    """Project embeddings on AudioSet's principal components. Not clipped.

    Args:
        embedding: ``[units, 128]``.
        pca: ``pca_eigen_vectors [128, 128]``, a component a row, and ``pca_means [128, 1]``.

    Returns:
        ``[units, 128]``.
    """
    return (embedding - pca["pca_means"].T) @ pca["pca_eigen_vectors"].T  # type: ignore[no-any-return]


def quantize(whitened: Tensor) -> Tensor:
    """Clip to [-2, 2] and map to 0 ... 255, as the port does: rounded, halves to even.

    TensorFlow's release cuts the fraction off instead (``astype(uint8)``), so about half of its entries are
    smaller by one. The values are kept as float32.

    Args:
        whitened: any shape, after the PCA.

    Returns:
        The same shape, float32 whole numbers.
    """
    clipped = whitened.clamp(-PCA_LIMIT, PCA_LIMIT)
    return ((clipped + PCA_LIMIT) * (255.0 / (2 * PCA_LIMIT))).round()


def build_network(*, with_pca: bool = False) -> nn.ModuleDict:
    """The layers under the port's names: ``features``, ``embeddings`` and, if asked for, ``pproc``. Not yet filled."""
    import torch
    from torch import nn

    layers: list[nn.Module] = []
    channels = 1
    for width in _CONVOLUTIONS:
        if width:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    dense: list[nn.Module] = []
    for wide, narrow in ((512 * 6 * 4, 4096), (4096, 4096), (4096, DIM)):
        dense += [nn.Linear(wide, narrow), nn.ReLU(inplace=True)]
    network = nn.ModuleDict({"features": nn.Sequential(*layers), "embeddings": nn.Sequential(*dense)})
    if with_pca:
        network["pproc"] = _pca_parameters(torch.empty(DIM, DIM), torch.empty(DIM, 1))
    return network


def _pca_parameters(eigen_vectors: Tensor, means: Tensor) -> nn.ParameterDict:
    from torch import nn

    return nn.ParameterDict(
        {"pca_eigen_vectors": nn.Parameter(eigen_vectors), "pca_means": nn.Parameter(means.reshape(-1, 1))}
    )


def read_pca(path: Path) -> nn.ParameterDict:
    """Read the port's PCA file.

    Args:
        path: ``vggish_pca_params-970ea276.pth``: ``pca_eigen_vectors [128, 128]`` and ``pca_means [128]``, as numpy
            arrays or tensors. No code in the file is run.

    Raises:
        WeightsError: If it is something else.
    """
    import torch

    # numpy 2 has another name for the function that makes an array; files written by numpy 1 ask for the old one.
    make_array = np.empty(0).__reduce__()[0]
    arrays: list[Any] = [
        *((make_array, f"{package}.multiarray._reconstruct") for package in ("numpy.core", "numpy._core")),
        np.ndarray,
        np.dtype,
        type(np.dtype("f4")),
        type(np.dtype("f8")),
    ]
    complaint = "not VGGish's PCA (pca_eigen_vectors, pca_means)"
    with reading(path, complaint, error=WeightsError), torch.serialization.safe_globals(arrays):
        found = torch.load(path, map_location="cpu", weights_only=True)
        vectors, means = (torch.as_tensor(found[name]).float() for name in ("pca_eigen_vectors", "pca_means"))
    if vectors.shape != (DIM, DIM) or means.numel() != DIM:
        raise WeightsError(
            f"{path}: the PCA is {list(vectors.shape)} and {list(means.shape)}, expected [128, 128], [128]"
        )
    return _pca_parameters(vectors, means)
