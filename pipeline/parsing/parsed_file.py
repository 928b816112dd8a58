"""A parsed video for Python: the result, and its output formats as methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Self

from pipeline.datasets.clip_preview import Preview, read_preview
from pipeline.datasets.llp import Annotations
from pipeline.parsing.formats import registry
from pipeline.parsing.formats.json_file import to_json
from pipeline.parsing.formats.subtitles import to_srt, to_vtt
from pipeline.parsing.formats.summary import summary_html, summary_text
from pipeline.parsing.formats.whole_files import remove, write_text
from pipeline.parsing.output_record import OUTPUT, digest
from pipeline.parsing.page.parsed_page import media_url, parsed_page
from pipeline.parsing.parsed_video import Modality, ParsedVideo
from pipeline.parsing.truth import Truth, truth_of
from storage.store import FeatureStore

PAGE = "html"
RECORD = "json"
"""Always written by ``avvp parse``: a second run knows by it what is done."""


@dataclass(frozen=True, eq=False, repr=False)
class ParsedFile(ParsedVideo):
    """A :class:`~pipeline.parsing.parsed_video.ParsedVideo` that writes itself.

    Attributes:
        preview: small pictures and the sound's envelope for the page; ``None`` where they were not kept.
        truth: annotations for the page, if there are any.
    """

    preview: Preview | None = None
    truth: Truth | None = None

    @classmethod
    def of(cls, video: ParsedVideo, *, preview: Preview | None = None, truth: Truth | None = None) -> Self:
        """The same video with its output formats."""
        known = {item.name: getattr(video, item.name) for item in fields(ParsedVideo)}
        return cls(**known, preview=preview, truth=truth)

    @classmethod
    def from_store(cls, video: ParsedVideo, store: FeatureStore, *, annotations: Annotations | None) -> Self:
        """The same video with what its page shows.

        Args:
            video: parsed.
            store: of its tiles, with their previews.
            annotations: of a dataset, to draw beside the events where the file is one of its clips.
        """
        truth = None if annotations is None else truth_of(video, annotations)
        return cls.of(video, preview=read_preview(store, range(store.info.clips)), truth=truth)

    def to_json(self, *, probabilities: bool = False) -> str:
        """The JSON of ``avvp parse``; with the probabilities of each step if asked for."""
        return to_json(self, probabilities=probabilities)

    def to_vtt(self, modality: Modality) -> str:
        """WebVTT of what is heard (``audio``) or seen (``visual``)."""
        return to_vtt(self, modality)

    def to_srt(self, modality: Modality) -> str:
        """SubRip of what is heard (``audio``) or seen (``visual``)."""
        return to_srt(self, modality)

    def to_html(self, *, page: str | PathLike[str] | None = None) -> str:
        """The page, which plays the file. ``page`` is where it will lie; beside the file if not given."""
        where = Path(page) if page is not None else self.path.with_suffix(".html")
        return parsed_page(self, preview=self.preview, media=media_url(self.path, where), truth=self.truth)

    def save(
        self, folder: str | PathLike[str], formats: Sequence[str] = ("json", PAGE), *, stem: str | None = None,
        probabilities: bool = False, earlier: Mapping[str, str] = MappingProxyType({}),
    ) -> list[Path]:  # fmt: skip
        """Write files as ``avvp parse`` does.

        The JSON goes first and comes last: it says that the others are there, and of these settings.

        Args:
            folder: made if absent.
            formats: names as ``avvp parse --format`` takes them.
            stem: begins the names; the file's own if not given.
            probabilities: whether the JSON holds the probabilities of each step.
            earlier: digests of files that an earlier run wrote from the same settings, by name.

        Returns:
            The files; the JSON is the last one that is written.

        Raises:
            InvalidInput: If a format is unknown or a file cannot be written.
        """
        names = registry.parse_formats(formats if isinstance(formats, str) else ",".join(formats), more=(PAGE,))
        place, stem = Path(folder), stem or self.path.stem
        texts = {place / f"{stem}.{PAGE}": self.to_html(page=place / f"{stem}.{PAGE}")} if PAGE in names else {}
        others = [name for name in names if name not in (PAGE, RECORD)]
        texts |= registry.render_texts(self, folder=place, stem=stem, formats=others)
        record = place / f"{stem}.{RECORD}"
        if RECORD in names:
            files = {**earlier, **{path.name: digest(text) for path, text in texts.items()}}
            truth = "" if self.truth is None else self.truth.identity
            noted = replace(self, settings={**self.settings, OUTPUT: {"files": files, "truth": truth}})
            texts[record] = noted.to_json(probabilities=probabilities)
            remove(record)
        for path, text in texts.items():
            write_text(path, text)
        return list(texts)

    def __repr__(self) -> str:
        """A few lines: the file, the model, its first events."""
        return summary_text(self)

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        return summary_html(self)
