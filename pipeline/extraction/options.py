"""What to extract and how: one set of options for the command line, the flows and Python.

Types, limits, defaults and help texts stand here alone: the command line's options and the parameters of the flows are
made from them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, TypedDict

from annotated_types import Ge, Gt, MinLen
from typing_extensions import Doc

from pipeline.decode.decoder import Decoder
from pipeline.extraction.option_fields import check_fields
from storage.errors import InvalidInput
from storage.schema import Sampling

Text = Annotated[str, MinLen(1)]
Count = Annotated[int, Ge(1)]
Seconds = Annotated[float, Gt(0)]
Precision = Literal["float32", "tf32", "bfloat16", "float16"]
EngineName = Literal["auto", "torch", "openvino"]
StoreDtype = Literal["float32", "float16"]
Kept = Literal["frames", "waveform", "logmel", "preview"]

EVERY = ""
"""In weights by backbone: all backbones that are not named."""
_ENDING = re.compile(r"@(\d+fps|[\d.]+s/[\d.]+s)$")
"""A frame rate or windows at the end of a backbone's name."""
_LEAST_MEMORY_BYTES = 1_000


@dataclass(frozen=True)
class ExtractOptions:
    """What to extract and how. The fields' texts are in their types, where the command line finds them too.

    Raises:
        InvalidInput: If a value is not among the choices, out of range, or malformed.
    """

    backbones: Annotated[tuple[Text, ...], Doc("Names as `avvp backbones` lists them, e.g. resnet152.")]
    weights: Annotated[
        tuple[Text, ...],
        MinLen(1),
        Doc("pretrained, random:SEED, or a state dict in the official format; NAME=... for one backbone only."),
    ] = ("pretrained",)
    sampling: Annotated[
        Sampling, Doc("uniform, or published: the very frames that the published LLP scripts took.")
    ] = "uniform"
    precision: Annotated[
        Precision, Doc("Of the networks; tf32, on newer GPUs: float32 with products of fewer digits.")
    ] = "float32"
    device: Annotated[Text, Doc("auto, cpu, cuda:N, or several with commas: a worker process each.")] = "auto"
    engine: Annotated[
        EngineName,
        Doc("What runs the networks. auto: openvino for float32 on a CPU if it is installed, else torch."),
    ] = "auto"
    window: Annotated[
        Seconds | None,
        Doc(
            "Seconds of sound that a step of an audio backbone is made from. Default: the hop; without both, a second."
        ),
    ] = None
    hop: Annotated[
        Seconds | None, Doc("Seconds from one step of an audio backbone to the next. Default: the window.")
    ] = None
    keep: Annotated[
        tuple[Kept, ...], Doc("Intermediates to keep in the store; with frames, new backbones need no second decode.")
    ] = ()
    clip_seconds: Annotated[Count, Doc("Length of every clip.")] = 10
    shard_size: Annotated[
        Count | None,
        Doc("Clips a shard: what a kill can cost. Default: 64, 256 from 50,000 clips on, 1,024 from a million on."),
    ] = None
    workers: Annotated[Count | None, Doc("Decode processes. Default: by the number of cores.")] = None
    deadline_seconds: Annotated[Seconds, Doc("For decoding one clip.")] = 60.0
    decoder: Annotated[Decoder, Doc("Of pictures. auto: decord where it is proven right; decord: it or nothing.")] = (
        "pyav"
    )
    memory: Annotated[
        Text | None,
        Doc("For decoded clips and open shards, e.g. 2GB; the networks' own memory comes on top. Default: no limit."),
    ] = None
    compile_networks: Annotated[bool, Doc("Run the networks through torch.compile.")] = False
    retry_failed: Annotated[bool, Doc("Also redo the clips that failed before.")] = False
    rebuild: Annotated[bool, Doc("Replace arrays of these backbones that were made otherwise.")] = False
    shards: Annotated[tuple[int, ...] | None, Doc("Only these shards.")] = None
    store_dtype: Annotated[
        StoreDtype | None,
        Doc("Of the stored numbers; float16 takes half the space. Default: the array's own, or float32."),
    ] = None
    part: Annotated[
        Text | None,
        Doc("i/n: every n-th shard, from shard i on. For the jobs of a SLURM array: 0/16 … 15/16."),
    ] = None

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "backbones", tuple(_absolute(name) for name in self.backbones))
        if self.window is not None or self.hop is not None:
            object.__setattr__(self, "backbones", self._in_windows())
        _ = self.weights_by_backbone, self.memory_bytes, self._part  # malformed ones are refused now

    def _in_windows(self) -> tuple[str, ...]:
        """The backbones' names, with the windows of those that listen."""
        from extractors import registry

        named = tuple(registry.in_windows(name, window=self.window, hop=self.hop) for name in self.backbones)
        if not any(registry.has_windows(name) for name in named):
            raise InvalidInput(f"window and hop are of audio backbones; asked for: {', '.join(named) or 'none'}")
        return named

    @cached_property
    def weights_by_backbone(self) -> Mapping[str, str]:
        """``pretrained``, ``random:SEED`` or a path, by backbone; the key ``""`` is for all others."""
        return parse_weights(self.weights, self.backbones)

    @cached_property
    def memory_bytes(self) -> int | None:
        """:attr:`memory` as a number."""
        return None if self.memory is None else parse_bytes(self.memory)

    @cached_property
    def _part(self) -> tuple[int, int] | None:
        return None if self.part is None else parse_part(self.part)

    def shards_of(self, count: int) -> Sequence[int] | None:
        """The shards to look at in a store that has so many; ``None`` for all."""
        if self._part is None:
            return self.shards
        first, step = self._part
        chosen = range(first, count, step)
        return chosen if self.shards is None else [shard for shard in self.shards if shard in chosen]

    @property
    def devices(self) -> tuple[str, ...]:
        """One device or several."""
        return tuple(self.device.split(","))


class ExtractKeywords(TypedDict, total=False):
    """The fields of :class:`ExtractOptions` that have a default, as keywords of a function. A test compares them."""

    sampling: Sampling
    precision: Precision
    device: str
    engine: EngineName
    window: float | None
    hop: float | None
    keep: Sequence[Kept]
    clip_seconds: int
    shard_size: int | None
    workers: int | None
    deadline_seconds: float
    decoder: Decoder
    memory: str | None
    compile_networks: bool
    retry_failed: bool
    rebuild: bool
    store_dtype: StoreDtype | None
    part: str | None


def parse_weights(
    given: Sequence[str], backbones: Sequence[str], *, option: str = "--weights", what: str = "backbones"
) -> dict[str, str]:
    """``--weights`` values by backbone; the entry ``""`` is for all others.

    Args:
        given: the values.
        backbones: names of those asked for, or of label embedders.
        option: how the values were given, for messages.
        what: the names are of, for messages.

    Raises:
        InvalidInput: If one names a backbone that was not asked for, or two are for all.
    """
    chosen: dict[str, str] = {}
    for text in given:
        name, separator, value = _parted(text, backbones)
        meant = _named(name, backbones) if separator else []
        key = meant[0] if meant else EVERY
        if separator and not key and not Path(text).exists():
            raise InvalidInput(
                f"{option} {text}: {name!r} is not among the {what} asked for: {', '.join(backbones) or 'none'}"
            )
        if key in chosen:
            raise InvalidInput(f"{option} is given twice for {key or f'all {what}'}; use NAME=WEIGHTS for one of them")
        chosen |= dict.fromkeys(meant, value) if meant else {EVERY: text}
    return {EVERY: "pretrained", **chosen}


def _parted(text: str, backbones: Sequence[str]) -> tuple[str, str, str]:
    """The name, ``=`` and the weights: cut at the first ``=`` that follows a name, since folders may have one too."""
    for found in re.finditer("=", text):
        if _named(text[: found.start()], backbones):
            return text[: found.start()], "=", text[found.end() :]
    return text.partition("=")


def _absolute(name: str) -> str:
    """A backbone's name that means the same file in any folder; other names as they are."""
    if ".py:" not in name:
        return name
    from extractors.own_file import absolute_name  # the command line starts without the extractors

    return absolute_name(name)


def _named(name: str, backbones: Sequence[str]) -> list[str]:
    """The backbones that a name stands for: itself, or all of its frame rates and windows.

    ``MyNet`` alone stands for the class of a file of the user's own.
    """
    asked = _absolute(name)
    if asked in backbones:
        return [asked]
    plain = {known: _ENDING.sub("", known) for known in backbones}
    own = f".py:{name}"
    return [known for known, base in plain.items() if base == asked or base.endswith(own) or known.endswith(own)]


def parse_part(text: str) -> tuple[int, int]:
    """The numbers of a part such as ``3/16``.

    Raises:
        InvalidInput: If it is none.
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match is None or int(match[1]) >= int(match[2]):
        raise InvalidInput(f"--shards {text!r}: expected i/n with i from 0 to n - 1, such as 0/16 … 15/16")
    return int(match[1]), int(match[2])


def parse_bytes(text: str) -> int:
    """A number of bytes such as ``2GB``, ``512 MB`` or ``1e9``.

    Raises:
        InvalidInput: If it is none.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?(?:e\d+)?)\s*([kmgt]?)i?b?\s*", text.lower())
    if match is None:
        raise InvalidInput(f"--memory {text!r}: expected a number of bytes such as 2GB or 512MB")
    number = int(float(match[1]) * 1000 ** " kmgt".index(match[2] or " "))
    if number < _LEAST_MEMORY_BYTES:
        raise InvalidInput(f"--memory {text!r}: is {number} bytes; did you mean {match[1]}GB?")
    return number
