"""What the JSON of a parsed file says of the output beside it: which files were written, and from what."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.parsing.formats.fields import SIGN
from pipeline.parsing.formats.json_reading import read_json
from pipeline.parsing.parsed_video import ParsedVideo
from storage.errors import InvalidInput
from storage.text import visible

OUTPUT = "output"
"""The key of the record among the settings."""
_SIGNED = (".html", ".eaf")


@dataclass(frozen=True)
class OutputRecord:
    """The output of an earlier run.

    Attributes:
        video: what its JSON says; its settings are those of the parsing alone.
        files: names of the files that belong to it, the JSON excepted, and the digest of each as it was written.
        truth: identity of the annotations in the page; empty without.
    """

    video: ParsedVideo
    files: Mapping[str, str] = field(default_factory=dict)
    truth: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """What the decisions depend on."""
        return {name: value for name, value in self.video.settings.items() if name != OUTPUT}


def digest(text: str) -> str:
    """Of a file's content."""
    return _digest(text.encode())


def read_record(path: Path) -> OutputRecord | None:
    """The record in a JSON file; ``None`` if there is no such file.

    Raises:
        InvalidInput: If it is not such a JSON: it may be somebody's only copy.
    """
    if not path.is_file():
        return None
    try:
        video = read_json(path)
    except InvalidInput:
        raise _not_ours(path, "is not from avvp parse") from None
    said = video.settings.get(OUTPUT, {})
    files, truth = (said.get(key) for key in ("files", "truth")) if isinstance(said, Mapping) else (None, None)
    return OutputRecord(video, dict(files) if isinstance(files, Mapping) else {}, str(truth or ""))


def check_replaceable(paths: Iterable[Path], record: OutputRecord | None) -> None:
    """Check that files which are about to be written replace nothing that people made.

    Raises:
        InvalidInput: If one was edited since it was written, or is a page or an ELAN document of another program.
    """
    for path in paths:
        if not path.is_file():
            continue
        written = None if record is None else record.files.get(path.name)
        if written is not None and _digest(path.read_bytes()) != written:
            raise _not_ours(path, "was edited since avvp parse wrote it")
        if written is None and path.suffix in _SIGNED and SIGN.encode() not in path.read_bytes():
            raise _not_ours(path, "is not from avvp parse")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _not_ours(path: Path, why: str) -> InvalidInput:
    return InvalidInput(f"{visible(path)}: {why}, so it is not replaced. Move it away, or give another --output-dir")
