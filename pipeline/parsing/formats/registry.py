"""The output formats by name: what files each makes, and how they are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.parsing.formats.audacity import to_audacity
from pipeline.parsing.formats.elan import to_eaf
from pipeline.parsing.formats.json_file import to_json
from pipeline.parsing.formats.label_studio import to_config, to_tasks
from pipeline.parsing.formats.llp_rows import to_tsv
from pipeline.parsing.formats.subtitles import to_srt, to_vtt
from pipeline.parsing.formats.whole_files import write_text
from pipeline.parsing.parsed_video import MODALITIES, Modality, ParsedVideo
from pipeline.toml_tables import did_you_mean
from storage.errors import InvalidInput
from storage.text import visible

ALL = "all"
"""Stands for every format."""


@dataclass(frozen=True)
class Target:
    """Where the files of a parsed video lie, and what they hold.

    Attributes:
        folder: of the files.
        stem: begins their names.
        probabilities: whether formats that can hold them get the probabilities of each step.
    """

    folder: Path
    stem: str
    probabilities: bool = False


Render = Callable[[ParsedVideo, Target], str]


@dataclass(frozen=True)
class Format:
    """An output format.

    Attributes:
        name: as ``--format`` takes it.
        read_by: programs that open its files, for people.
        files: what follows the stem in a file's name -> makes its text.
    """

    name: str
    read_by: str
    files: Mapping[str, Render]

    def paths(self, *, folder: Path, stem: str) -> tuple[Path, ...]:
        """The files that it makes."""
        return tuple(folder / f"{stem}{ending}" for ending in self.files)


def _each(render: Callable[[ParsedVideo, Modality], str], suffix: str) -> dict[str, Render]:
    """A file a modality."""

    def of(modality: Modality) -> Render:
        return lambda video, _: render(video, modality)

    return {f".{modality}.{suffix}": of(modality) for modality in MODALITIES}


def _tsv(modality: Modality) -> Render:
    return lambda video, target: to_tsv(video, modality, clip=target.stem)


FORMATS: Mapping[str, Format] = {
    entry.name: entry
    for entry in (
        Format(
            "json", "programs", {".json": lambda video, to: to_json(video, probabilities=to.probabilities)}
        ),
        Format("vtt", "browsers, VLC, mpv", _each(to_vtt, "vtt")),
        Format("srt", "video players and editors", _each(to_srt, "srt")),
        Format("tsv", "avvp evaluate", {f".{modality}.tsv": _tsv(modality) for modality in MODALITIES}),
        Format("audacity", "Audacity", _each(to_audacity, "txt")),
        Format("eaf", "ELAN", {".eaf": lambda video, to: to_eaf(video, folder=to.folder)}),
        Format(
            "labelstudio",
            "Label Studio",
            {
                ".labelstudio.json": lambda video, _: to_tasks(video),
                ".labelstudio.xml": lambda video, _: to_config(video),
            },
        ),
    )
}  # fmt: skip
"""Formats by name, in the order in which they are listed."""


def parse_formats(text: str, *, more: Iterable[str] = ()) -> tuple[str, ...]:
    """Names of formats from ``--format``, each once.

    Args:
        text: names with commas between, or ``all``.
        more: names of formats that are written elsewhere.

    Raises:
        InvalidInput: If a name is unknown, or there is none.
    """
    choices = (*FORMATS, *more)
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in (*choices, ALL):
            near = did_you_mean(name, (*choices, ALL))
            raise InvalidInput(f"format {visible(name)!r} is unknown.{near} Choices: {', '.join(choices)}, {ALL}")
    if not names:
        raise InvalidInput(f"--format {visible(text)!r}: expected names. Choices: {', '.join(choices)}, {ALL}")
    return tuple(dict.fromkeys(choices if ALL in names else names))


def write(
    video: ParsedVideo, *, folder: Path, stem: str, formats: Iterable[str], probabilities: bool = False
) -> list[Path]:
    """Write a parsed video in some formats. Each file appears whole or not at all.

    Args:
        video: the parsed video.
        folder: of the files; made if it is missing.
        stem: begins their names, and is the video's name in rows of ``tsv``.
        formats: names in :data:`FORMATS`.
        probabilities: put the probabilities of each step into formats that can hold them.

    Returns:
        The files, in the order of ``formats``.

    Raises:
        InvalidInput: If a name cannot be said in a format, or a file cannot be written.
    """
    texts = render_texts(video, folder=folder, stem=stem, formats=formats, probabilities=probabilities)
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)


def render_texts(
    video: ParsedVideo, *, folder: Path, stem: str, formats: Iterable[str], probabilities: bool = False
) -> dict[Path, str]:
    """The files that :func:`write` writes, and their texts."""
    target = Target(folder, stem, probabilities)
    return {
        folder / f"{stem}{ending}": render(video, target)
        for name in formats
        for ending, render in FORMATS[name].files.items()
    }
