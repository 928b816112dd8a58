"""Reads the tensors of a TorchScript archive, such as OpenAI's CLIP files, without running anything in it.

``torch.jit.load`` executes the ``__setstate__`` methods that an archive brings along. Here its pickle is interpreted
operation by operation: tensors, plain values, and objects whose attributes are looked at; nothing is called. Its code
is read as text, for the names of parameters and buffers alone.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from extractors.weights.inert_pickle import Instance, TensorPlan, unpickle
from storage.errors import WeightsError
from storage.text import visible

if TYPE_CHECKING:
    from torch import Tensor

_MOST_PICKLE_BYTES = 16 << 20
_MOST_TEXT_BYTES = 256 << 20
"""Of all code that is looked at; that of CLIP ViT-L/14 is below 10 MB."""

_BLOCK_BYTES = 16 << 20
_MOST_DEPTH = 100
_MOST_MODULES = 100_000
_REMEDY = "Save it again as torch.save(model.state_dict(), FILE) or as .safetensors"


class _Declared(NamedTuple):
    """What a class in the archive says of its attributes."""

    is_module: bool
    has_setstate: bool
    tensors: tuple[str, ...]


def is_torchscript(path: Path) -> bool:
    """Whether a zip file is a TorchScript archive; torch's own files have no ``constants.pkl``."""
    with zipfile.ZipFile(path) as archive:
        return any(name.split("/", 1)[-1] == "constants.pkl" for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """The parameters and buffers of an archive by dotted name, as ``torch.jit.load(path).state_dict()`` has them.

    Tensors that share storage in the file share it here.

    Raises:
        WeightsError: If a module can only be restored by running its code, or sizes do not fit.
        Exception: Whatever ``zipfile`` raises over a damaged archive; see :func:`storage.foreign_files.reading`.
    """
    with zipfile.ZipFile(path) as archive:
        return _Archive(path, archive).state_dict()


@dataclass
class _Archive:
    """An open archive and what was read of it."""

    path: Path
    zip: zipfile.ZipFile
    storages: dict[str, Tensor] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    text_bytes: int = 0
    storage_bytes: int = 0
    modules: int = 0

    def __post_init__(self) -> None:
        roots = [name.removesuffix("/data.pkl") for name in self.zip.namelist() if re.fullmatch("[^/]+/data.pkl", name)]
        if len(roots) != 1:
            raise self._refusal(f"has {len(roots)} files FOLDER/data.pkl; expected one")
        self.root = roots[0]
        if f"{self.root}/byteorder" in self.zip.NameToInfo and self._text("byteorder", at_most=16) != b"little":
            raise self._refusal("was written on a big-endian machine")

    def state_dict(self) -> dict[str, Tensor]:
        top = unpickle(self._text("data.pkl", at_most=_MOST_PICKLE_BYTES))
        if not isinstance(top, Instance):
            raise self._refusal(f"holds a {type(top).__name__}; expected a module")
        return {name: self._tensor(name, plan) for name, plan in self._walk(top, prefix="", depth=0)}

    def _walk(self, module: Instance, *, prefix: str, depth: int) -> Iterator[tuple[str, TensorPlan]]:
        """A module's parameters and buffers, then those of the modules in it."""
        self.modules += 1
        if depth > _MOST_DEPTH or self.modules > _MOST_MODULES:
            raise self._refusal(f"nests modules deeper than {_MOST_DEPTH}, or has over {_MOST_MODULES:,}")
        declared = self._declared(module.kind)
        if (declared is not None and declared.has_setstate) or not isinstance(module.state, dict):
            where = visible(prefix.removesuffix(".") or "its module", limit=80)
            kind = visible(module.kind, limit=80)
            raise self._refusal(f"has {where} ({kind}) in a form that only its own code can restore, which is not run")
        for name, value in module.state.items():
            if isinstance(value, TensorPlan) and (declared is None or name in declared.tensors):
                yield f"{prefix}{name}", value
        for name, value in module.state.items():
            if isinstance(value, Instance) and ((known := self._declared(value.kind)) is None or known.is_module):
                yield from self._walk(value, prefix=f"{prefix}{name}.", depth=depth + 1)

    def _declared(self, kind: str) -> _Declared | None:
        """What the source of a class says; ``None`` where it is not in the archive."""
        module, _, name = kind.rpartition(".")
        file = f"code/{module.replace('.', '/')}.py"
        if file not in self.sources:
            known = f"{self.root}/{file}" in self.zip.NameToInfo
            self.sources[file] = self._text(file, at_most=_MOST_TEXT_BYTES).decode() if known else ""
        found = re.search(
            rf"^class {re.escape(name)}(?:\((\w+)\))?:\n((?:  .*\n|\n)*)", self.sources[file] + "\n", re.MULTILINE
        )
        if found is None:
            return None
        lists = re.findall(r"^  __(?:parameters|buffers)__ = \[(.*)\]$", found[2], re.MULTILINE)
        names = tuple(name for text in lists for name in re.findall(r'"([^"]*)"', text))
        setstate = re.search(r"^  def __setstate__\b", found[2], re.MULTILINE) is not None
        return _Declared(found[1] == "Module", setstate, names)

    def _text(self, file: str, *, at_most: int) -> bytes:
        """A small file of the archive, whole. Pickles and code may be deflated; they may not be bombs."""
        entry = self.zip.getinfo(f"{self.root}/{file}")
        self.text_bytes += entry.file_size
        if entry.file_size > at_most or self.text_bytes > _MOST_TEXT_BYTES:
            raise self._refusal(
                f"has {visible(file, limit=80)} of {entry.file_size:,} bytes; at most {at_most:,} are read"
            )
        return self.zip.read(entry)

    def _tensor(self, name: str, plan: TensorPlan) -> Tensor:
        import torch

        if not plan.elements:
            return torch.empty(0, dtype=plan.torch_dtype).as_strided(plan.size, plan.stride)
        stored = self._storage(plan.key)
        numbers = stored.numel() // plan.torch_dtype.itemsize
        if plan.elements > numbers or plan.end > plan.elements:
            raise self._refusal(f"is damaged: {visible(name, limit=80)} reaches beyond its {numbers:,} numbers")
        storage = stored[: numbers * plan.torch_dtype.itemsize].view(plan.torch_dtype)
        return storage.as_strided(plan.size, plan.stride, plan.offset)

    def _storage(self, key: str) -> Tensor:
        """The bytes of a storage, read once."""
        import torch

        if key in self.storages:
            return self.storages[key]
        entry = self.zip.getinfo(f"{self.root}/data/{key}")
        self.storage_bytes += entry.file_size
        if entry.compress_type != zipfile.ZIP_STORED or self.storage_bytes > self.path.stat().st_size:
            raise self._refusal("has tensors that are compressed or overlap, which torch never writes")
        storage = self.storages[key] = torch.empty(entry.file_size, dtype=torch.uint8)
        target, at = memoryview(storage.numpy().data), 0
        with self.zip.open(entry) as file:
            while at < entry.file_size:
                block = file.read(min(_BLOCK_BYTES, entry.file_size - at))
                if not block:
                    raise EOFError(f"data/{key} ends after {at:,} of {entry.file_size:,} bytes")
                target[at : at + len(block)] = block
                at += len(block)
        return storage

    def _refusal(self, what: str) -> WeightsError:
        return WeightsError(f"{visible(self.path)}: this TorchScript archive {what}. {_REMEDY}")
