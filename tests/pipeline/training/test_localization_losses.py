"""Every term of the losses of localization, by hand."""

import math

import pytest
import torch

from pipeline.models.localizers.localization import Localized
from pipeline.recipes.recipe import LocalizationRecipe
from pipeline.training.localization_losses import EventTargets, localization_loss
from storage.errors import InvalidInput

P = [0.7, 0.2, 0.1]
OFF = {"pooled": 0.0}


def output(segment=None, **more):
    pooled = torch.tensor([P], requires_grad=True)
    return Localized(torch.zeros(1, 2, 3) if segment is None else segment, None, pooled, **more)


def targets(*segments, weak=(1.0, 0.0, 0.0)):
    rows = torch.tensor(segments or [[0, 2]])
    return EventTargets(torch.tensor([weak]).expand(len(rows), -1), rows)


def loss(out, labels, **recipe):
    total, terms = localization_loss(out, labels, LocalizationRecipe(**recipe))
    return total.item(), {name: value.item() for name, value in terms.items()}


def soft_margin(probabilities, hit):
    sigmoid = [1 / (1 + math.exp(-p)) for p in probabilities]
    return -sum(math.log(s if at == hit else 1 - s) for at, s in enumerate(sigmoid)) / len(sigmoid)


def sigmoid_entropy(score, happens):
    return math.log(1 + math.exp(-score if happens else score))


def test_losses_of_the_video_by_hand():
    cross = -(math.log(0.7) + math.log(0.8) + math.log(0.9)) / 3
    total, terms = loss(output(), targets())
    assert total == terms["pooled"] == pytest.approx(soft_margin(P, 0))
    video = torch.tensor([[0.5, 0.25, 0.25]])
    total, terms = loss(output(video=video), targets(), pooled=2.0, video=0.5, form="cross_entropy")
    of_video = -(math.log(0.5) + 2 * math.log(0.75)) / 3
    assert total == pytest.approx(2 * cross + 0.5 * of_video)
    assert terms["video"] == pytest.approx(of_video)
    _, terms = loss(output(video=video), targets(weak=(0.5, 0.0, 0.5)), video=1.0, form="categorical")
    assert terms["video"] == pytest.approx(-0.5 * math.log(0.5) - 0.5 * math.log(0.25))


def test_the_class_of_every_segment_by_hand():
    scores = torch.tensor([[P, [0.1, 0.3, 0.6]]]).log()  # a softmax gives the probabilities back
    total, terms = loss(output(scores), targets(), **OFF, segment=1.0)
    assert list(terms) == ["segment"]
    assert total == pytest.approx((soft_margin(P, 0) + soft_margin([0.1, 0.3, 0.6], 2)) / 2)
    total, _ = loss(output(scores), targets(), **OFF, segment=3.0, form="categorical")
    assert total == pytest.approx(-3 * (math.log(0.7) + math.log(0.6)) / 2)


def test_similarity_by_hand():
    cosine = torch.tensor([[0.6, -0.5, 0.2], [0.5, 0.5, 0.0]])
    labels = targets([1, 1, 2], [2, 2, 2])  # an event in two segments; none at all
    shares = [(0.75 - 0.5) ** 2, 0.5**2, 0.25**2, (0.5 - 1 / 3) ** 2, (0.5 - 1 / 3) ** 2, (1 / 3) ** 2]
    total, _ = loss(output(similarity=cosine), labels, **OFF, similarity=100.0)
    assert total == pytest.approx(100 * sum(shares) / 6)
    nothing = torch.full((1, 3), -1.0, requires_grad=True)
    total, _ = localization_loss(
        output(similarity=nothing), targets([1, 1, 2]), LocalizationRecipe(pooled=0.0, similarity=1.0)
    )
    total.backward()
    assert torch.isfinite(nothing.grad).all()


def test_events_and_categories_by_hand():
    out = output(
        event_scores=torch.tensor([[2.0, -1.0]]), gate=torch.tensor([[0.9, 0.2]]),
        categories=torch.tensor([[0.7, 0.3]]).log(), stream_categories=torch.tensor([[0.4, 0.6]]).log(),
    )  # fmt: skip
    total, terms = loss(out, targets(), **OFF, event=1.0, gate=1.0, categories=1.0, stream_categories=1.0)
    expected = {
        "event": (sigmoid_entropy(2.0, True) + sigmoid_entropy(-1.0, False)) / 2,
        "gate": (sigmoid_entropy(0.9, True) + sigmoid_entropy(0.2, False)) / 2,
        "categories": -math.log(0.7), "stream_categories": -math.log(0.4),
    }  # fmt: skip
    assert terms == pytest.approx(expected)
    assert total == pytest.approx(sum(expected.values()))


def test_a_clip_without_an_event_has_no_category():
    labels = targets([0, 2], [2, 2], [2, 1])
    assert labels.categories.tolist() == [0, -1, 1]
    scores = torch.tensor([[0.7, 0.3], [0.5, 0.5], [0.1, 0.9]]).log()
    total, _ = loss(output(categories=scores), labels, **OFF, categories=1.0)
    assert total == pytest.approx(-(math.log(0.7) + math.log(0.9)) / 2)
    total, _ = loss(output(categories=scores[:1]), targets([2, 2]), **OFF, categories=1.0)
    assert total == 0


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        (OFF, "every weight is 0, there is nothing to train on"),
        ({"video": 1.0}, "localization.video: only LEAP gives probabilities of the video. Set it to 0"),
        ({"similarity": 1.0}, "localization.similarity: only psp-supervised compares its two modalities"),
        ({"event": 1.0}, "localization.event: only cmbs-supervised scores events"),
        ({"stream_categories": 1.0}, "localization.stream_categories: only cmbs-supervised"),
    ],
)
def test_a_term_that_the_model_cannot_give_is_refused(recipe, words):
    with pytest.raises(InvalidInput, match=words):
        loss(output(), targets(), **recipe)
