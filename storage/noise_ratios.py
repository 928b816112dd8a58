"""Noise ratios in a store: ``noise_ratios/<name>``, a number for each class and modality."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from storage.errors import InvalidInput
from storage.labels import LabelStore
from storage.layout.label_schema import LabelProvenance, NoiseRatios

NOISE_RATIOS = "noise_ratios"


def read_noise_ratios(labels: LabelStore, name: str, *, classes: Sequence[str] | None = None) -> NoiseRatios:
    """Noise ratios of a store.

    Args:
        labels: of the store.
        name: of the group.
        classes: what the reader takes the classes to be.

    Raises:
        StoreError: If the store has none of that name.
        SchemaMismatch: If its classes are others.
    """
    remedy = f"avvp pseudo-labels noise --store {labels.url} --name {name}"
    attributes, path = labels.attributes_of(NOISE_RATIOS, name, remedy), f"{NOISE_RATIOS}/{name}"
    stored = labels.classes_of(path, classes)
    audio, visual = (labels.read_array(f"{path}/{part}_ratio") for part in ("audio", "visual"))
    return NoiseRatios(name, LabelProvenance.from_json(attributes["provenance"]), stored, audio, visual)


def write_noise_ratios(labels: LabelStore, ratios: NoiseRatios, *, rebuild: bool = False) -> bool:
    """Write noise ratios.

    Args:
        labels: of the store.
        ratios: to write.
        rebuild: replace a group that differs.

    Returns:
        Whether anything was written: false if the same group exists.

    Raises:
        InvalidInput: If there is not one number from 0 to 1 for each class and modality.
        SchemaMismatch: If the existing group differs and may not be replaced, or other labels of this store are for
            other classes.
    """
    arrays = {"audio_ratio": ratios.audio, "visual_ratio": ratios.visual}
    for part, values in arrays.items():
        if values.shape != (len(ratios.classes),) or not ((values >= 0) & (values <= 1)).all():
            raise InvalidInput(
                f"{NOISE_RATIOS}/{ratios.name}: {part} must be {len(ratios.classes)} numbers from 0 to 1, "
                f"got the shape {list(values.shape)}"
            )
    body = {part: np.asarray(values, dtype=np.float32) for part, values in arrays.items()}
    body["classes"] = np.array(ratios.classes, dtype=object)
    attributes = {"provenance": ratios.provenance.to_json()}
    return labels.write_group(f"{NOISE_RATIOS}/{ratios.name}", body, attributes, rebuild=rebuild)
