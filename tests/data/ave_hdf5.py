"""Writes a folder of AVE's published shapes with a few clips: python tests/data/ave_hdf5.py FOLDER."""

import sys
from pathlib import Path

import h5py
import numpy as np

from pipeline.datasets.dataset_description import load_description

CLASSES = load_description("ave").classes
BACKGROUND = len(CLASSES) - 1
SPLITS = ("train", "val", "test")


def plan(count, seed=0):
    """Class, first and last second of each row; row 1 is of the same video as row 0."""
    draw = np.random.default_rng(seed)
    spans = [sorted(draw.choice(11, 2, replace=False).tolist()) for _ in range(count)]
    return [(at % 7, first, last) for at, (first, last) in enumerate(spans)]


def video(at):
    return f"vid{max(at, 1):04d}_-x"[:11].ljust(11, "y")


def annotations(events):
    lines = [f"{CLASSES[label]}&{video(at)}&good&{first}&{last}" for at, (label, first, last) in enumerate(events)]
    return "\n".join(["Category&VideoID&Quality&StartTime&EndTime", *lines]) + "\n"


def labels_of(events):
    found = np.zeros((len(events), 10, len(CLASSES)))
    for at, (label, first, last) in enumerate(events):
        found[at, :, BACKGROUND] = 1
        found[at, first:last] = np.arange(len(CLASSES)) == label
    return found


def put(folder, name, values, key="avadataset", **options):
    with h5py.File(folder / name, "w") as file:
        file.create_dataset(key, data=values, **options)


def write_ave_folder(folder, *, count=14, noisy=3, text=True, chunks=None):
    """All published files; float64 as published. Gives the audio and visual arrays and the split of each row."""
    folder.mkdir(parents=True, exist_ok=True)
    draw, events = np.random.default_rng(1), plan(count)
    audio, visual = draw.random((count + noisy, 10, 128)), draw.random((count + noisy, 10, 7, 7, 512))
    for name, values in (("audio", audio), ("visual", visual)):
        put(folder, f"{name}_feature.h5", values[:count], chunks=chunks and (chunks, *values.shape[1:]))
        if noisy:
            put(folder, f"{name}_feature_noisy.h5", values[count:])
    put(folder, "labels.h5", labels_of(events))
    put(folder, "mil_labels.h5", np.eye(len(CLASSES))[[label for label, _, _ in events]])
    if noisy:
        put(folder, "labels_noisy.h5", np.eye(len(CLASSES))[[BACKGROUND] * noisy])
    order = draw.permutation(count)
    parts = dict(zip(SPLITS, np.split(order, [count - 6, count - 3]), strict=True))
    for split, rows in parts.items():
        put(folder, f"{split}_order.h5", rows, key="order")
    if text:
        (folder / "Annotations.txt").write_text(annotations(events))
    return audio, visual, {int(row): split for split, rows in parts.items() for row in rows}


if __name__ == "__main__":
    write_ave_folder(Path(sys.argv[1]))
