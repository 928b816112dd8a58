"""Losses against the published ones, and by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.models.config_tables import model_config
from pipeline.models.factory import build_model
from pipeline.models.predictions import Encoded, Predictions
from pipeline.recipes.recipe import LossRecipe, load_recipe
from pipeline.recipes.shipped_recipes import shipped_recipes
from pipeline.training.losses import Targets, avss_paper, avss_published, bce, co_occurrence, compute_loss, smoothed
from pipeline.training.optim import learning_rate
from storage.errors import InvalidInput


def one_hot(*classes, count=4):
    row = torch.zeros(count)
    row[list(classes)] = 1
    return row


def test_avss_equals_the_published_value_and_gradients(shared):
    with np.load(shared / "reference/oracles/train/avss_loss.npz") as file:
        audio, visual = (torch.from_numpy(file[name]).requires_grad_() for name in ("a_feat", "v_feat"))
        loss = avss_published(
            Encoded(audio, visual), *(torch.from_numpy(file[n]).float() for n in ("pseudo_a", "pseudo_v"))
        )
        loss.backward()
        assert loss.item() == pytest.approx(float(file["loss"]), abs=1e-6)
        for found, name in ((audio.grad, "grad_a"), (visual.grad, "grad_v")):
            np.testing.assert_allclose(found, file[name], atol=1e-6)


def test_avss_targets_by_hand():
    """Identical single events 0.51, disjoint 0.01, nothing 0.01; the paper: 1, 0, 0, and 1/2 for one of two."""
    orthogonal = Encoded(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]]))
    dog, cat, none = one_hot(0)[None, None], one_hot(1)[None, None], torch.zeros(1, 1, 4)
    both = one_hot(0, 1)[None, None]
    for one, other, published, paper in ((dog, dog, 0.51, 1.0), (dog, cat, 0.01, 0.0), (none, none, 0.01, 0.0),
                                         (dog, both, 1 / 3 + 0.01, 0.5)):  # fmt: skip
        assert avss_published(orthogonal, one, other).item() == pytest.approx(published**2)
        assert avss_paper(orthogonal, one, other).item() == pytest.approx(paper**2)


def test_bce_is_clamped_as_published():
    worst = bce(torch.tensor([[1.7, 0.0]]), torch.tensor([[0.0, 1.0]]))
    assert worst.item() == pytest.approx(16.118, abs=0.2)
    assert smoothed(torch.tensor([0.0, 1.0]), 0.1).tolist() == pytest.approx([0.05, 0.95])


def batch(model_table, dims=(128, 2048, 512), clips=4):
    torch.manual_seed(0)
    model = build_model(model_table)
    audio = torch.rand(clips, 64, 768) if dims[0] == 768 else torch.rand(clips, 10, dims[0])
    found = model(
        audio=audio, visual_2d=torch.rand(clips, 10, dims[1]), visual_3d=torch.rand(clips, 10, dims[2]),
        labels=torch.randn(25, 300),
    )  # fmt: skip
    audio_labels, visual_labels = ((torch.rand(clips, 10, 25) > 0.8).float() for _ in range(2))
    weak = (audio_labels + visual_labels).amax(dim=1).clamp(max=1)
    return model, found, Targets(weak, audio_labels, visual_labels)


def test_the_hard_union_has_a_value_and_no_gradient():
    model, found, targets = batch({"system": "leap-han"})
    recipe = LossRecipe(audio_video=0, visual_video=0, union_video=1, union="hard", audio_segment=1e-9)
    total, terms = compute_loss(found, targets, recipe)
    wrong = float(((found.audio_video >= 0.5) | (found.visual_video >= 0.5)).float().ne(targets.weak).float().mean())
    assert terms["union_video"].item() == pytest.approx(16.118 * wrong, rel=1e-2)
    total.backward()
    assert max(float(p.grad.abs().max()) for p in model.parameters() if p.grad is not None) < 1e-7
    model, found, targets = batch({"system": "leap-han"})
    compute_loss(found, targets, LossRecipe(audio_video=0, visual_video=0, union_video=1, union="noisy_or"))[
        0
    ].backward()
    assert max(float(p.grad.abs().max()) for p in model.parameters() if p.grad is not None) > 1e-4


def test_equation_9_of_the_paper_counts_the_union_twice():
    _, found, targets = batch({"system": "leap-han"})
    recipe = load_recipe("leap-han").loss
    published, terms = compute_loss(found, targets, recipe)
    paper, same = compute_loss(found, targets, replace(recipe, union_form="paper"))
    torch.testing.assert_close(paper - published, terms["union_video"])
    assert same == terms  # terms are given before their weight
    halved, _ = compute_loss(found, targets, replace(recipe, union_form="paper", union_video=0.5))
    torch.testing.assert_close(halved, published)


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if load_recipe(name).task == "parsing"])
def test_every_recipe_builds_and_has_a_loss_with_gradients(name):
    recipe = load_recipe(name)
    config = model_config(recipe.model)
    dims = (config.features.audio_dim, config.features.visual_2d_dim, config.features.visual_3d_dim)
    model, found, targets = batch(recipe.model, dims)
    total, terms = compute_loss(found, targets, recipe.loss)
    total.backward()
    assert torch.isfinite(total)
    assert set(terms) == {term for term in terms if getattr(recipe.loss, term)}
    if name != "han" and name != "mmpyr":
        assert recipe.features.pseudo_labels == "valor"
    unused = [key for key, p in model.named_parameters() if p.grad is None]
    assert not unused, unused


def test_what_a_term_needs_and_lacks_is_said():
    _, found, targets = batch({"system": "han"})
    with pytest.raises(InvalidInput, match="only MM-CSE has it"):
        compute_loss(found, targets, LossRecipe(reconstruction=1))
    with pytest.raises(InvalidInput, match="needs segment pseudo labels"):
        compute_loss(found, Targets(targets.weak), LossRecipe(audio_segment=1))
    with pytest.raises(InvalidInput, match="every weight is 0"):
        compute_loss(found, targets, LossRecipe(audio_video=0, visual_video=0, union_video=0))


def test_what_an_ablation_of_mmcse_leaves_no_meaning_is_refused():
    losses = ("reconstruction", "orthogonality", "co_occurrence")
    for changes, refused in (
        ({"decoupling": "classes"}, {"orthogonality": "no background vector. Set loss.orthogonality=0, or"}),
        ({"decoupling": "none", "reconstruct": False},
         {"reconstruction": "no reconstruction decoders. Set loss.reconstruction=0, or",
          "orthogonality": "no background vector", "co_occurrence": "no attention between classes"}),
        ({"intra": "lgsf", "cross": "lgsf"},
         {"co_occurrence": "no attention between classes. Set loss.co_occurrence=0"}),
        ({"intra": "secm"}, {}),
        ({"cross": "none"}, {}),
    ):  # fmt: skip
        _, found, targets = batch({"system": "mmcse", "layers": 1, "width": 32, "class_dim": 16, **changes})
        for name in losses:
            recipe = LossRecipe(**{name: 1.0})
            if name in refused:
                with pytest.raises(InvalidInput, match=f"loss.{name}: this model has {refused[name]}"):
                    compute_loss(found, targets, recipe)
            else:
                assert torch.isfinite(compute_loss(found, targets, recipe)[0])


def test_co_occurrence_adds_the_maps_that_there_are():
    _, found, targets = batch({"system": "mmcse", "layers": 1, "width": 32, "class_dim": 16, "cross": "lgsf"})
    maps = found.auxiliary.co_occurrence
    assert maps.audio_visual is None
    assert maps.visual_audio is None
    by_hand = sum(
        ((one - labels[..., :, None] * labels[..., None, :]) ** 2).mean()
        for one, labels in ((maps.audio_audio, targets.audio), (maps.visual_visual, targets.visual))
    )
    torch.testing.assert_close(co_occurrence(found.auxiliary, targets.audio, targets.visual), by_hand)


def test_learning_rates_are_the_published_ones(shared):
    published = json.loads((shared / "reference/oracles/train/lr_schedules.json").read_text())
    for key, name in (("HAN_StepLR10_0.1_lr3e-4_40ep", "han"), ("MMPyr_LEAP_StepLR10_0.1_lr1e-4_30ep", "leap-mmpyr"),
                      ("VALOR_lr1e-4", "valor"), ("VALOR+_lr3e-4", "valor-plus"),
                      ("VALOR+_lr3e-4", "mmcse")):  # fmt: skip
        recipe = load_recipe(name).train
        found = [learning_rate(recipe, epoch) for epoch in range(1, recipe.epochs + 1)]
        np.testing.assert_allclose(found, published[key], rtol=1e-9)
    step = load_recipe("mmcse-step").train
    rates = [learning_rate(step, epoch) for epoch in (1, 10, 11, 20, 21, 60)]
    assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5, 1e-6, 1e-9])


def test_five_steps_of_han_are_the_published_ones(shared):
    """Weights, inputs and labels by rule, no dropout, Adam 3e-4: the losses of the published training loop."""
    import importlib.util

    from torch import nn

    from pipeline.models.official.loading import load_official
    from pipeline.training.optim import make_optimizer

    spec = importlib.util.spec_from_file_location("rule", shared / "reference/rule.py")
    rule = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule)
    published = json.loads((shared / "reference/oracles/train/han.json").read_text())
    shapes = json.loads((shared / "reference/oracles/models/han.json").read_text())["state_shapes"]
    state = {name: torch.from_numpy(array) for name, array in rule.rule_state(shapes, seed=0).items()}
    model = load_official("han", state).train()
    for module in model.modules():
        for name in ("p", "dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    recipe = load_recipe("han")
    optimizer = make_optimizer(model.parameters(), recipe.train)
    inputs, (weak, _, _) = rule.make_inputs(20, seed=5), rule.make_labels(20, seed=5)
    losses = []
    for first in range(0, 20, 4):
        rows = slice(first, first + 4)
        names = {"audio": "audio_vggish", "visual_2d": "visual_res152", "visual_3d": "visual_r2p1d"}
        found = model(**{name: torch.from_numpy(inputs[key][rows]) for name, key in names.items()})
        loss, _ = compute_loss(found, Targets(torch.from_numpy(weak[rows])), recipe.loss)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    np.testing.assert_allclose(losses, published["losses"], rtol=1e-4)


@pytest.mark.parametrize("source", ["probabilities", "logits"])
def test_soft_labels_weigh_what_they_are_sure_of(source):
    logits = torch.tensor([[[-1.0, 2.0]]])
    soft = torch.tensor([[[0.5, 0.9]]])
    nothing = torch.zeros(1, 2)
    found = Predictions(logits.sigmoid(), logits.sigmoid(), nothing, nothing, nothing, logits, logits)
    options = {"audio_video": 0.0, "visual_video": 0.0, "union_video": 0.0, "audio_segment": 1.0}
    recipe = LossRecipe(**options, segments_from=source, segment_weights="confidence")
    loss, _ = compute_loss(found, Targets(nothing, soft, soft), recipe)
    sure = torch.sigmoid(torch.tensor(2.0)).item()
    assert loss.item() == pytest.approx(-0.8 * (0.9 * np.log(sure) + 0.1 * np.log(1 - sure)) / 2, rel=1e-5)
    hard = torch.tensor([[[0.0, 1.0]]])
    plain = LossRecipe(**options, segments_from=source)
    weighted, unweighted = (compute_loss(found, Targets(nothing, hard, hard), one)[0] for one in (recipe, plain))
    assert weighted.item() == unweighted.item()


def test_soft_pseudo_labels_are_targets_as_they_are():
    probability = torch.tensor([[[0.2, 0.9]]], requires_grad=True)
    loss = bce(probability, torch.tensor([[[0.3, 0.8]]]))
    by_hand = -(0.3 * np.log(0.2) + 0.7 * np.log(0.8) + 0.8 * np.log(0.9) + 0.2 * np.log(0.1)) / 2
    assert loss.item() == pytest.approx(by_hand, rel=1e-5)
    loss.backward()
    assert probability.grad[0, 0, 0] < 0 < probability.grad[0, 0, 1]
