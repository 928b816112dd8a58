"""Collects facts about this machine for ``avvp doctor``; changes and downloads nothing."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from avvp import namesakes
from extractors.weights.cache import cache_folder
from extractors.weights.inventory import WeightsFile
from storage.media.addresses import PACKAGES

PYTHON_FROM, PYTHON_BELOW = (3, 11), (3, 13)
_PACKAGES = (
    "avvp-pipeline", "torch", "torchvision", "torchaudio", "transformers", "open_clip_torch", "laion-clap", "openvino",
    "av", "decord2", "ffmpeg-python", "imageio-ffmpeg", "zarr", "numcodecs", "numpy", "prefect", "accelerate",
)  # fmt: skip
_PROBE_SECONDS = 20.0


@dataclass(frozen=True)
class Part:
    """One thing that was looked for.

    Attributes:
        name: in a word or two.
        usable: whether it can be used.
        detail: its version or place, or why it cannot be used.
        needed: whether nothing works without it.
    """

    name: str
    usable: bool
    detail: str
    needed: bool = False


@dataclass
class Examination:
    """All facts.

    Attributes:
        parts: by heading: devices, engines, decoders, machine.
        weights: official files by backbone and by embedder.
        versions: of Python and packages; ``None`` where a package is not installed.
        warnings: what may go wrong, in sentences.
    """

    parts: dict[str, list[Part]] = field(default_factory=dict)
    weights: dict[str, dict[str, tuple[WeightsFile, ...]]] = field(default_factory=dict)
    versions: dict[str, str | None] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def unusable(self) -> list[Part]:
        """Parts that are needed and cannot be used."""
        return [part for parts in self.parts.values() for part in parts if part.needed and not part.usable]


def examine() -> Examination:
    """Look everything up."""
    found = Examination()
    found.parts["devices"] = devices()
    found.parts["engines"] = [_library("torch", needed=True), openvino()]
    found.parts["decoders"] = [*decoders(), buckets()]
    found.parts["machine"] = [_python(), *machine(), *disks()]
    found.weights = {"backbone": backbone_weights(), "embedder": embedder_weights()}
    found.versions = {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}
    found.warnings = [
        f"{folder}: a folder of this name hides ours from python -m, when that is run here; the command avvp works"
        for folder in namesakes(Path.cwd())
    ]
    return found


def devices() -> list[Part]:
    """The CPU, every CUDA device, or why there is none."""
    cpu = Part("cpu", usable=True, detail=f"{len(os.sched_getaffinity(0))} cores of {os.cpu_count()}, {_processor()}")
    try:
        import torch
    except (ImportError, OSError) as problem:
        return [cpu, Part("cuda", usable=False, detail=f"torch cannot be imported: {_line(problem)}")]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not there:
        return [cpu, Part("cuda", usable=False, detail=_why_no_cuda(torch, [str(each.message) for each in said]))]
    return [cpu, *(_gpu(torch, number) for number in range(there))]


def _gpu(torch: Any, number: int) -> Part:
    facts = torch.cuda.get_device_properties(number)
    name = f"{facts.name}, {facts.total_memory / 1e9:.0f} GB, compute capability {facts.major}.{facts.minor}"
    return Part(f"cuda:{number}", usable=True, detail=name)


def _why_no_cuda(torch: Any, said: list[str]) -> str:
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA; install a build with it to use a GPU"
    if "CUDA_VISIBLE_DEVICES" in os.environ and not os.environ["CUDA_VISIBLE_DEVICES"].strip("-1 "):
        return f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']!r} hides every GPU; unset it"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as problem:
        said = [*said, str(problem)]
    return _line(said[-1]).partition(". ")[0] if said else "torch finds no CUDA device"


def openvino() -> Part:
    """The engine for CPUs."""
    from extractors.engines.openvino_import import REMEDY, import_openvino
    from storage.errors import InvalidInput

    if importlib.util.find_spec("openvino") is None:
        return Part("openvino", usable=False, detail=f"not installed: {REMEDY}")
    try:
        module = import_openvino()
    except (InvalidInput, OSError) as problem:
        return Part("openvino", usable=False, detail=_line(problem))
    return Part("openvino", usable=True, detail=str(module.__version__))


def decoders() -> list[Part]:
    """PyAV, an ffmpeg program, decord. An installation without PyAV is one for training: it needs none of them."""
    if importlib.util.find_spec("av") is None:
        why = 'not installed, and avvp extract needs it: pip install "avvp-pipeline[extract]"'
        return [Part("PyAV", usable=False, detail=why), ffmpeg(needed=False), _decord()]
    return [_library("av", called="PyAV", needed=True), ffmpeg(needed=True), _decord()]


def ffmpeg(*, needed: bool) -> Part:
    """The ffmpeg program that would be run."""
    from pipeline.decode.ffmpeg_binary import ffmpeg_path

    try:
        path = ffmpeg_path()
        said = subprocess.run([path, "-version"], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=True)
    except (ImportError, OSError, RuntimeError, subprocess.SubprocessError) as problem:
        return Part(
            "ffmpeg", usable=False, detail=f"{_line(problem)}. Install ffmpeg, or imageio-ffmpeg", needed=needed
        )
    first = said.stdout.partition("\n")[0].removeprefix("ffmpeg version ").partition(" Copyright")[0]
    return Part("ffmpeg", usable=True, detail=f"{first}, {path}", needed=needed)


def _decord() -> Part:
    from pipeline.decode.decord_module import decord_module

    try:
        module = decord_module()
    except (ImportError, OSError, RuntimeError) as problem:
        return Part("decord", usable=False, detail=f"{_line(problem)}; only --decoder auto and decord need it")
    return Part("decord", usable=True, detail=_version("decord2") or str(getattr(module, "__version__", "?")))


def _library(module: str, *, called: str = "", needed: bool = False) -> Part:
    try:
        found = importlib.import_module(module)
    except (ImportError, OSError) as problem:
        return Part(called or module, usable=False, detail=f"cannot be imported: {_line(problem)}", needed=needed)
    return Part(called or module, usable=True, detail=str(getattr(found, "__version__", "?")), needed=needed)


def _python() -> Part:
    fits = PYTHON_FROM <= sys.version_info[:2] < PYTHON_BELOW
    expected = (
        "" if fits else f"; expected {'.'.join(map(str, PYTHON_FROM))} to below {'.'.join(map(str, PYTHON_BELOW))}"
    )
    return Part("python", usable=fits, detail=f"{platform.python_version()}, {sys.executable}{expected}", needed=True)


def buckets() -> Part:
    """Kinds of buckets that media can be read from here."""
    kinds = {kind: package for kind, package in PACKAGES.items() if package}
    there = [f"{kind}://" for kind, package in kinds.items() if importlib.util.find_spec(package)]
    absent = sorted({package for package in kinds.values() if not importlib.util.find_spec(package)})
    more = f"; others come with: pip install {' '.join(absent)}" if absent else ""
    return Part("media in buckets", usable=bool(there), detail=(", ".join(there) or "none") + more)


def machine() -> list[Part]:
    """The system and its memory."""
    pages, free = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_AVPHYS_PAGES")
    size = os.sysconf("SC_PAGE_SIZE")
    return [
        Part("system", usable=True, detail=f"{platform.system()} {platform.release()}, {platform.machine()}"),
        Part("memory", usable=True, detail=f"{pages * size / 1e9:.1f} GB, {free * size / 1e9:.1f} GB unused"),
    ]


def disks() -> list[Part]:
    """Free space where weights go, where the user is, and where media of buckets and tars are put for a moment."""
    parts = []
    places = [("disk, weights", cache_folder()), ("disk, here", Path.cwd())]
    try:
        places.append(("disk, TMPDIR", Path(tempfile.gettempdir())))
    except OSError as problem:
        parts.append(Part("disk, TMPDIR", usable=False, detail=_line(problem)))
    for name, folder in places:
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        writable = os.access(there, os.W_OK)
        free = f"{shutil.disk_usage(there).free / 1e9:.1f} GB free in {folder}"
        parts.append(Part(name, usable=writable, detail=free if writable else f"{free}, which cannot be written"))
    return parts


def backbone_weights() -> dict[str, tuple[WeightsFile, ...]]:
    """Official files of every backbone and its variants."""
    from extractors import registry

    made = {name: registry.create(name) for name in registry.names()}
    named = [name for base, one in made.items() for name in (base, *(f"{base}:{variant}" for variant in one.variants))]
    return {name: registry.create(name).weights_files for name in named}


def embedder_weights() -> dict[str, tuple[WeightsFile, ...]]:
    """Official files of every text embedder."""
    from extractors.text import registry

    return {name: registry.create(name).weights_files for name in registry.names()}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _line(problem: object) -> str:
    return " ".join(str(problem).split()) or type(problem).__name__
