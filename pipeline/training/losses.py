"""The losses of HAN, MM-Pyramid, VALOR, LEAP and MM-CSE, as terms that a recipe weights.

Where a paper and its published code disagree, both forms are implemented and the recipe chooses. The docstrings say how
they differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cosine_similarity, mse_loss, normalize

from pipeline.models.predictions import Encoded, MMCSEAuxiliary, Predictions, union_probability
from pipeline.recipes.recipe import LossRecipe
from storage.errors import InvalidInput

CLAMP = 1e-7
AVSS_OFFSET = 0.01
_LEAST_EVENTS = 1e-8
_COSINE_EPS = 1e-8
"""As torch's cosine_similarity has it."""


@dataclass(frozen=True, eq=False)
class Targets:
    """What a batch should be.

    Attributes:
        weak: ``[clips, classes]`` float, the video's labels.
        audio: ``[clips, segments, classes]`` float pseudo labels; ``None`` where training is weak.
        visual: the same for the visual stream.
    """

    weak: Tensor
    audio: Tensor | None = None
    visual: Tensor | None = None


def bce(probability: Tensor, target: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Mean binary cross-entropy of probabilities, clamped to [1e-7, 1 - 1e-7] as all published code does. NaN stays.

    Args:
        probability: of any shape.
        target: likewise, from 0 to 1.
        weight: likewise, a factor of each element before the mean.
    """
    sure = probability.float().clamp(CLAMP, 1 - CLAMP)
    each = target * sure.log() + (1 - target) * (1 - sure).log()
    return -(each if weight is None else weight * each).mean()


def confidence(target: Tensor) -> Tensor:
    """How sure a soft label is, ``|2 y - 1|``: 1 for a label of 0 or 1, 0 for one half.

    Weights losses of soft labels in the spirit of UWAV (Lai et al., CVPR 2025), whose code is not public; the form is
    ours.
    """
    return (2 * target - 1).abs()


def smoothed(target: Tensor, amount: float) -> Tensor:
    """``(1 - amount) y + amount / 2``; HAN smooths the visual target by 0.1: 0.9 y + 0.05."""
    return (1 - amount) * target + amount / 2


def avss_published(features: Encoded, audio: Tensor, visual: Tensor) -> Tensor:
    """LEAP's audio-visual semantic similarity as its code has it.

    The similarity ``R`` of two segments is the number of classes they share over the largest number of events that
    any segment of the video has in either modality; the target is ``R / (1 + R) + 0.01``, so segments of one equal
    event get 0.51 and disjoint ones 0.01.

    Args:
        features: the encoder's output, ``[clips, segments, dim]`` a stream.
        audio: pseudo labels ``[clips, segments, classes]``.
        visual: the same for the visual stream.

    Returns:
        Mean over clips and pairs of segments of the squared difference to ReLU of the cosine.

    Source: LEAP (Zhou et al., ECCV 2024), equations 10 and 11; the published code differs as told here.
    """
    most = torch.maximum(audio.sum(-1).amax(-1), visual.sum(-1).amax(-1)).clamp(min=_LEAST_EVENTS)
    shared = torch.einsum("btk,bsk->bts", audio, visual) / most[:, None, None]
    target = shared / (1 + shared) + AVSS_OFFSET
    return mse_loss(_cosines(features).relu(), target)


def avss_paper(features: Encoded, audio: Tensor, visual: Tensor) -> Tensor:
    """LEAP's audio-visual semantic similarity as the paper has it: cosines against intersections over union of events.

    Two segments without any event have no intersection over union; it is taken as 0. Arguments as for
    :func:`avss_published`.
    """
    shared = torch.einsum("btk,bsk->bts", audio, visual)
    union = audio.sum(-1)[:, :, None] + visual.sum(-1)[:, None, :] - shared
    return mse_loss(_cosines(features), shared / union.clamp(min=1.0))


def _cosines(features: Encoded) -> Tensor:
    """Cosine of every audio segment with every visual one, ``[clips, segments, segments]``."""
    audio, visual = (normalize(stream.float(), dim=-1, eps=_COSINE_EPS) for stream in features)
    return torch.bmm(audio, visual.transpose(1, 2))


def reconstruction(auxiliary: MMCSEAuxiliary) -> Tensor:
    """MM-CSE: squared error of the rebuilt features, both streams; the features keep their gradient, as published."""
    if auxiliary.reconstructed is None:
        raise InvalidInput(
            "loss.reconstruction: this model has no reconstruction decoders. Set loss.reconstruction=0, or "
            "model.reconstruct=true, which needs model.decoupling other than none"
        )
    rebuilt, inputs = auxiliary.reconstructed, auxiliary.inputs
    return mse_loss(rebuilt.audio, inputs.audio) + mse_loss(rebuilt.visual, inputs.visual)


def orthogonality(auxiliary: MMCSEAuxiliary) -> Tensor:
    """MM-CSE: classes against the background.

    As published the two streams differ: audio takes the mean over classes of the cosine with the background, the
    visual stream the cosine of the mean over classes with the background.
    """
    if not auxiliary.background:
        raise InvalidInput(
            "loss.orthogonality: this model has no background vector. Set loss.orthogonality=0, or "
            "model.decoupling=classes_and_background"
        )
    audio, visual = auxiliary.decoupled
    of_audio = cosine_similarity(audio[..., :-1, :], audio[..., -1:, :], dim=-1).mean()
    of_visual = cosine_similarity(visual[..., :-1, :].mean(dim=-2), visual[..., -1, :], dim=-1).mean()
    return of_audio + of_visual


def co_occurrence(auxiliary: MMCSEAuxiliary, audio: Tensor, visual: Tensor) -> Tensor:
    """MM-CSE: attention between classes against which classes occur together in a segment, four pairs of streams added.

    The target of a segment is the outer product of its labels. Pairs that the model has no attention for are left out.
    """
    maps = auxiliary.co_occurrence
    pairs = (
        (maps.audio_audio, audio, audio),
        (maps.audio_visual, audio, visual),
        (maps.visual_visual, visual, visual),
        (maps.visual_audio, visual, audio),
    )
    terms = [
        mse_loss(found, torch.einsum("btk,btl->btkl", asks, answers))
        for found, asks, answers in pairs
        if found is not None
    ]
    if not terms:
        raise InvalidInput(
            "loss.co_occurrence: this model has no attention between classes. Set loss.co_occurrence=0, or give "
            "model.intra or model.cross their secm, with model.decoupling other than none"
        )
    return torch.stack(terms).sum()


def compute_loss(predictions: Predictions, targets: Targets, recipe: LossRecipe) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of a recipe's terms.

    Args:
        predictions: of a batch.
        targets: of the same clips.
        recipe: weights and forms.

    Returns:
        The sum, and each term before its weight (detached).

    Raises:
        InvalidInput: If a term needs pseudo labels or outputs that are not there.
    """
    terms: dict[str, Callable[[], Tensor]] = {
        "audio_video": lambda: bce(
            predictions.audio_video, smoothed(_video_target(targets, "audio", recipe), recipe.audio_smoothing)
        ),
        "visual_video": lambda: bce(
            predictions.visual_video, smoothed(_video_target(targets, "visual", recipe), recipe.visual_smoothing)
        ),
        "union_video": lambda: bce(_union(predictions, recipe), targets.weak),
        "audio_segment": lambda: _segments(predictions.audio_segment, predictions.audio_logits,
                                           _pseudo(targets, "audio"), recipe),
        "visual_segment": lambda: _segments(predictions.visual_segment, predictions.visual_logits,
                                            _pseudo(targets, "visual"), recipe),
        "avss": lambda: _avss(predictions, targets, recipe),
        "reconstruction": lambda: reconstruction(_auxiliary(predictions, "reconstruction")),
        "orthogonality": lambda: orthogonality(_auxiliary(predictions, "orthogonality")),
        "co_occurrence": lambda: co_occurrence(
            _auxiliary(predictions, "co_occurrence"), _pseudo(targets, "audio"), _pseudo(targets, "visual")
        ),
    }  # fmt: skip
    found = {name: term() for name, term in terms.items() if getattr(recipe, name)}
    if not found:
        raise InvalidInput("loss: every weight is 0, there is nothing to train on")
    total = torch.stack([_weight(name, recipe) * value for name, value in found.items()]).sum()
    return total, {name: value.detach() for name, value in found.items()}


def _weight(term: str, recipe: LossRecipe) -> float:
    """A term's weight; LEAP's equation 9 sums over modalities and so counts the union twice, its code once."""
    weight: float = getattr(recipe, term)
    return 2 * weight if term == "union_video" and recipe.union_form == "paper" else weight


def _video_target(targets: Targets, stream: str, recipe: LossRecipe) -> Tensor:
    return targets.weak if recipe.video_targets == "weak" else _pseudo(targets, stream).amax(dim=1)


def _pseudo(targets: Targets, stream: str) -> Tensor:
    found = targets.audio if stream == "audio" else targets.visual
    if found is None:
        raise InvalidInput("loss: needs segment pseudo labels. Set features.pseudo_labels to a teacher in the store")
    return found


def _union(predictions: Predictions, recipe: LossRecipe) -> Tensor:
    if recipe.union == "model":
        return predictions.union_video
    return union_probability(predictions.audio_video, predictions.visual_video, rule=recipe.union)


def _segments(probability: Tensor, logits: Tensor, target: Tensor, recipe: LossRecipe) -> Tensor:
    weight = confidence(target) if recipe.segment_weights == "confidence" else None
    if recipe.segments_from == "logits":
        return binary_cross_entropy_with_logits(logits.float(), target, weight=weight)
    return bce(probability, target, weight=weight)


def _avss(predictions: Predictions, targets: Targets, recipe: LossRecipe) -> Tensor:
    if predictions.features is None:
        raise InvalidInput("loss.avss: this model gives no encoder features. Set loss.avss=0")
    form = avss_published if recipe.avss_form == "published" else avss_paper
    return form(predictions.features, _pseudo(targets, "audio"), _pseudo(targets, "visual"))


def _auxiliary(predictions: Predictions, term: str) -> MMCSEAuxiliary:
    if predictions.auxiliary is None:
        raise InvalidInput(f"loss.{term}: only MM-CSE has it. Set loss.{term}=0")
    return predictions.auxiliary
