import pytest
import torch

from pipeline.models.config import SYSTEMS
from pipeline.models.official.loading import load_official, official_layout
from pipeline.models.official.wrapping import unwrapped
from storage.errors import WeightsError

STATE = {"fc_a.weight": 1, "v_recon.model.1.bias": 2, "model_norm.weight": 3}


def prefixed(*prefixes, state=STATE):
    return {"".join(prefixes) + name: value for name, value in state.items()}


@pytest.mark.parametrize(
    "found",
    [
        STATE,
        {"model": STATE},
        {"state_dict": STATE, "epoch": 7, "optimizer": {"state": {}, "param_groups": []}},
        {"model_state_dict": STATE, "best": 0.5},
        {"checkpoint": 3, "model": {"state_dict": prefixed("module.")}},
        prefixed("module."),
        prefixed("_orig_mod."),
        prefixed("model."),
        prefixed("module.", "_orig_mod."),
        prefixed("_orig_mod.", "module."),
        prefixed("model.", "module.", "_orig_mod."),
        {"n_averaged": torch.tensor(3), **prefixed("module.")},
        {"n_averaged": torch.tensor(3), **prefixed("module.", "module.", "_orig_mod.")},
        {"state_dict": {"n_averaged": torch.tensor(3), **prefixed("module.")}},
    ],
)
def test_nested_and_prefixed_dicts_are_unwrapped(found):
    assert unwrapped(found, where="x") == STATE


def test_what_is_not_in_front_of_every_name_stays():
    odd = {"module.a": 1, "b": 2}
    assert unwrapped(odd, where="x") == odd
    assert unwrapped({"n_averaged": 1}, where="x") == {"n_averaged": 1}
    assert unwrapped({}, where="x") == {}
    assert unwrapped({7: 1, "module.a": 2}, where="x") == {7: 1, "module.a": 2}


def test_two_state_dicts_and_endless_levels_are_one_line():
    with pytest.raises(WeightsError, match=r"^x: has state_dict and model\. Save the one"):
        unwrapped({"model": STATE, "state_dict": STATE}, where="x")
    endless = {}
    endless["model"] = endless
    with pytest.raises(WeightsError, match="no state dict within 8 levels"):
        unwrapped(endless, where="x")


def test_wrappers_of_torch_load_as_the_plain_state_dict(random_state, random_inputs):
    """The wrappers' own state dicts, not our idea of them."""
    state = random_state(official_layout(SYSTEMS["valor"]).shapes)
    plain = torch.nn.Module()
    for name, value in state.items():
        owner = plain
        *path, leaf = name.split(".")
        for part in path:
            if part not in owner._modules:
                owner.add_module(part, torch.nn.Module())
            owner = owner._modules[part]
        owner.register_parameter(leaf, torch.nn.Parameter(value))
    wrapped = [
        torch.nn.DataParallel(plain),
        torch.optim.swa_utils.AveragedModel(plain),
        torch.optim.swa_utils.AveragedModel(torch.nn.DataParallel(plain)),
        torch.compile(plain),
        torch.nn.DataParallel(torch.compile(plain)),
    ]
    batch = random_inputs(SYSTEMS["valor"])
    expected = load_official("valor", state)(**batch).union_video
    for module in wrapped:
        assert torch.equal(load_official("valor", module.state_dict())(**batch).union_video, expected)
