"""Maps a published state dict to ours: names, shapes and conversions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from math import prod

import torch
from torch import Tensor

from pipeline.models.official.wrapping import shown
from storage.errors import WeightsError

State = Mapping[str, Tensor]
Shape = tuple[int, ...]
_NAMED = 3
_STREAM = r"\[[01]\]"


class Layout:
    """A published state dict, described name by name.

    Each method adds a published layer. ``ours`` is our name for it, or ``None`` for weights that the published code
    builds and never uses. A paired layer (:mod:`pipeline.models.paired_layers`) is added once a stream, its name
    followed by ``[0]`` for audio and ``[1]`` for visual: ``encoder.fusion[1].weight``.

    Attributes:
        shapes: every published name and its shape.
        aliases: second names of a tensor that another name overrides when the published code loads a state dict.
        used: names that one of our tensors is made of. The rest, aliases aside, are dead.
    """

    def __init__(self) -> None:
        self.shapes: dict[str, Shape] = {}
        self.aliases: set[str] = set()
        self.used: set[str] = set()
        self._recipes: dict[str, Callable[[State], Tensor]] = {}

    def tensor(
        self,
        ours: str | None,
        published: Mapping[str, Shape],
        make: Callable[..., Tensor] = lambda tensor: tensor,
    ) -> None:
        """Add published tensors, in order, and the tensor of ours that ``make`` builds from them."""
        self.shapes.update(published)
        names = tuple(published)
        if ours is not None:
            self.used.update(names)
            self._recipes[ours] = lambda state: make(*(state[name] for name in names))

    def alias(self, name: str, shape: Shape) -> None:
        """Add a name that is overridden."""
        self.shapes[name] = shape
        self.aliases.add(name)

    def linear(self, ours: str | None, published: str, out_dim: int, in_dim: int, *, bias: bool = True) -> None:
        """Add one linear layer, with or without ``bias``."""
        if bias:
            self.linears(ours, [published], out_dim, in_dim)
        else:
            self.tensor(_below(ours, "weight"), {f"{published}.weight": (out_dim, in_dim)})

    def lstm(self, ours: str, published: str, hidden: int, in_dim: int) -> None:
        """Add a bidirectional ``torch.nn.LSTM`` of one layer, ``hidden`` wide in each direction."""
        shapes: dict[str, Shape] = {
            "weight_ih": (4 * hidden, in_dim), "weight_hh": (4 * hidden, hidden),
            "bias_ih": (4 * hidden,), "bias_hh": (4 * hidden,),
        }  # fmt: skip
        for direction in ("", "_reverse"):
            for leaf, shape in shapes.items():
                name = f"{leaf}_l0{direction}"
                self.tensor(f"{ours}.{name}", {f"{published}.{name}": shape})

    def linears(self, ours: str | None, published: Sequence[str], out_dim: int, in_dim: int) -> None:
        """Add linear layers of one shape that are stacked, in order, into one of ours."""
        weight = {f"{name}.weight": (out_dim, in_dim) for name in published}
        bias = {f"{name}.bias": (out_dim,) for name in published}
        self.tensor(_below(ours, "weight"), weight, lambda *tensors: torch.cat(tensors))
        self.tensor(_below(ours, "bias"), bias, lambda *tensors: torch.cat(tensors))

    def norm(self, ours: str | None, published: str, dim: int) -> None:
        """Add a layer norm."""
        for leaf in ("weight", "bias"):
            self.tensor(_below(ours, leaf), {f"{published}.{leaf}": (dim,)})

    def packed_attention(self, ours: str | None, published: str, dim: int) -> None:
        """Add a ``torch.nn.MultiheadAttention``."""
        for leaf, shape in (("weight", (3 * dim, dim)), ("bias", (3 * dim,))):
            packed: dict[str, Shape] = {f"{published}.in_proj_{leaf}": shape}
            self.tensor(_below(ours, f"query.{leaf}"), packed, lambda tensor: tensor[:dim])
            self.tensor(_below(ours, f"key_value.{leaf}"), packed, lambda tensor: tensor[dim:])
        self.linear(_below(ours, "output"), f"{published}.out_proj", dim, dim)

    def separate_attention(self, ours: str | None, published: str, dim: int) -> None:
        """Add MM-Pyramid's attention: four linear layers and a layer norm that is never used."""
        query, key, value, output = (f"{published}.linears.{number}" for number in range(4))
        self.linear(_below(ours, "query"), query, dim, dim)
        self.linears(_below(ours, "key_value"), [key, value], dim, dim)
        self.linear(_below(ours, "output"), output, dim, dim)
        self.norm(None, f"{published}.layer_norm", dim)

    def feed_forward(self, ours: str | None, first: str, second: str, dim: int, hidden: int) -> None:
        """Add the two linear layers of a feed-forward block."""
        self.linear(_below(ours, "0"), first, hidden, dim)
        self.linear(_below(ours, "3"), second, dim, hidden)

    def parameters(self) -> int:
        """Number of parameters of the published model, dead ones included."""
        return sum(prod(shape) for name, shape in self.shapes.items() if name not in self.aliases)

    def check(self, state: State, *, where: str) -> None:
        """Compare a state dict with the layout.

        Args:
            state: by published name.
            where: begins the error.

        Raises:
            WeightsError: If a name is missing or unexpected or a shape differs; the first few and their count.
        """
        missing = [f"{name} {list(shape)}" for name, shape in self.shapes.items() if name not in state]
        unexpected = [
            f"{shown(name)} {list(tensor.shape)}" for name, tensor in state.items() if name not in self.shapes
        ]
        reshaped = [
            f"{name} {list(state[name].shape)} (expected {list(shape)})"
            for name, shape in self.shapes.items()
            if name in state and tuple(state[name].shape) != shape
        ]
        kinds = (("missing", missing), ("unexpected", unexpected), ("of another shape", reshaped))
        problems = [_some(kind, names) for kind, names in kinds if names]
        if problems:
            raise WeightsError(
                f"{where}: expected {len(self.shapes)} tensors, got {len(state)}; " + "; ".join(problems)
            )

    def translate(self, state: State) -> dict[str, Tensor]:
        """Our state dict, in float32, from a published one that :meth:`check` passed."""
        made = {name: make(state).to(torch.float32) for name, make in self._recipes.items()}
        paired = {re.sub(_STREAM, "", name) for name in made if re.search(_STREAM, name)}
        single = {name: tensor for name, tensor in made.items() if not re.search(_STREAM, name)}
        return single | {name: _paired(name, made) for name in sorted(paired)}


def _paired(name: str, made: Mapping[str, Tensor]) -> Tensor:
    """The tensor of a paired layer from those of its streams; matrices become ``[2, in, out]``."""
    streams = {key: tensor for key, tensor in made.items() if re.sub(_STREAM, "", key) == name}
    pair = torch.stack([streams[key] for key in sorted(streams)])
    return pair.transpose(1, 2) if pair.ndim == 3 else pair


def _below(ours: str | None, leaf: str) -> str | None:
    return None if ours is None else f"{ours}.{leaf}"


def _some(what: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)} {what}: {', '.join(names[:_NAMED])}{more}"
