"""Gathers LLP's dense rows of many files into an annotations folder, to score or train on corrected events."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.datasets.annotation_files import DENSE_COLUMNS, WEAK_COLUMNS, DenseRow, read_dense, read_weak
from pipeline.datasets.dataset_description import DatasetDescription, load_description
from pipeline.parsing.formats.whole_files import write_text
from pipeline.parsing.parsed_video import MODALITIES
from pipeline.toml_tables import did_you_mean
from storage.errors import InvalidInput
from storage.text import visible


@dataclass(frozen=True)
class Gathered:
    """What went into an annotations folder.

    Attributes:
        files: that were written.
        clips: with events, in row order.
        empty: files without any event, by their names: weak labels cannot say that nothing happens.
    """

    files: tuple[Path, ...]
    clips: tuple[str, ...]
    empty: tuple[str, ...]


def gather(
    source: Path, target: Path, *, split: str = "test", dataset: DatasetDescription | str | Path = "llp"
) -> Gathered:
    """Write the label files of one split from ``*.audio.tsv`` and ``*.visual.tsv``.

    A clip's weak labels are the classes of its rows. Clips that the folder has already are replaced, or removed where
    nothing is left of them; others stay, so that a second call can add another split.

    Args:
        source: folder with the files, in it or below.
        target: annotations folder, as ``--annotations`` takes it.
        split: of the clips; dense rows are written where the dataset has dense labels for it.
        dataset: a description, or what :func:`load_description` takes.

    Raises:
        InvalidInput: If there are no such files, one of a pair is missing, a line is bad, a clip is in two files, or
            no file has an event of a modality.
    """
    known = dataset if isinstance(dataset, DatasetDescription) else load_description(dataset)
    if split not in known.weak_files:
        near, choices = did_you_mean(split, known.weak_files), ", ".join(known.weak_files) or "none"
        raise InvalidInput(f"split {visible(split)!r} is none of {known.name}.{near} Choices: {choices}")
    parsed = _read_all(source, known)
    rows = {modality: [row for pair in parsed.values() for row in pair[modality]] for modality in MODALITIES}
    classes: dict[str, set[int]] = {}
    for row in itertools.chain.from_iterable(rows.values()):
        classes.setdefault(row.clip, set()).add(row.label)
    empty = tuple(stem for stem, pair in parsed.items() if not any(pair.values()))
    gone = {*classes, *(Path(stem).name for stem in empty)}
    weak_file = target / known.weak_files[split]
    texts = {weak_file: _weak_text(weak_file, known, split, classes, gone)}
    if split in known.dense_splits:
        for name, found in ((known.audio_file, rows["audio"]), (known.visual_file, rows["visual"])):
            texts[target / name] = _dense_text(target / name, known, found, gone)
    for path, text in texts.items():
        write_text(path, text)
    return Gathered(tuple(texts), tuple(classes), empty)


def _read_all(source: Path, dataset: DatasetDescription) -> dict[str, dict[str, list[DenseRow]]]:
    """Rows by file, as its path without suffixes, and modality."""
    stems = {
        str(path).removesuffix(f".{modality}.tsv")
        for modality in MODALITIES
        for path in source.rglob(f"*.{modality}.tsv")
    }
    if not stems:
        raise InvalidInput(f"{visible(source)}: no .audio.tsv or .visual.tsv here. Make some: avvp parse --format tsv")
    parsed: dict[str, dict[str, list[DenseRow]]] = {}
    origin: dict[str, str] = {}
    for stem in sorted(stems):
        parsed[stem] = {
            modality: read_dense(Path(f"{stem}.{modality}.tsv"), dataset, may_be_empty=True) for modality in MODALITIES
        }
        for row in itertools.chain.from_iterable(parsed[stem].values()):
            if origin.setdefault(row.clip, stem) != stem:
                both = f"{visible(origin[row.clip])} and {visible(stem)}"
                raise InvalidInput(f"{visible(source)}: {visible(row.clip)} is in two files, {both}. Rename one")
    if not origin:
        raise InvalidInput(f"{visible(source)}: none of its {len(stems)} files has an event; nothing can be scored")
    return parsed


def _weak_text(
    path: Path, dataset: DatasetDescription, split: str, classes: Mapping[str, Collection[int]], gone: Collection[str]
) -> str:
    """The weak label file: what it has of other clips, then these."""
    before = read_weak(path, dataset, split=split) if path.is_file() else []
    labels = {row.clip: row.classes for row in before if row.clip not in gone}
    labels |= {clip: tuple(sorted(found)) for clip, found in classes.items()}
    lines = [f"{clip}\t{','.join(dataset.classes[label] for label in found)}" for clip, found in labels.items()]
    return "\n".join(["\t".join(WEAK_COLUMNS), *lines]) + "\n"


def _dense_text(path: Path, dataset: DatasetDescription, rows: Sequence[DenseRow], gone: Collection[str]) -> str:
    """A dense label file: what it has of other clips, then these rows."""
    before = read_dense(path, dataset) if path.is_file() else []
    kept = [row for row in before if row.clip not in gone]
    if not (kept or rows):
        raise InvalidInput(f"{visible(path)}: would have no event, and evaluation refuses such a file. Add clips")
    lines = []
    for row in (*kept, *rows):
        onset, offset = (f"{edge * dataset.segment_seconds:.10g}" for edge in (row.first, row.last))
        lines.append(f"{row.clip}\t{onset}\t{offset}\t{dataset.classes[row.label]}")
    return "\n".join(["\t".join(DENSE_COLUMNS), *lines]) + "\n"
