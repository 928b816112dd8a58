"""Checkpoint files as people have them; whatever else a file holds, nothing of it runs and the error is one line."""

import argparse
import os
import pickle
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from pipeline.models.official.state_file import read_checkpoint
from pipeline.models.official.wrapping import unwrapped
from storage.errors import WeightsError

STATE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def trained():
    """What a training script saves: options, optimizer, schedule, numpy numbers."""
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
    model(torch.zeros(1, 3)).sum().backward()
    optimizer.step()
    schedule.step()
    return {
        "epoch": np.int64(3), "best": np.float64(0.5), "args": argparse.Namespace(lr=0.1, names=["a"]),
        "optimizer": optimizer.state_dict(), "scheduler": schedule.state_dict(), "state_dict": STATE,
    }  # fmt: skip


def save(path, kind):
    if kind == "safetensors":
        save_file(STATE, path)
    elif kind == "npz":
        np.savez(path, **{name: value.numpy() for name, value in STATE.items()})
    elif kind == "old torch":
        torch.save(STATE, path, _use_new_zipfile_serialization=False)
    else:
        torch.save(trained() if kind == "training script" else STATE, path)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("torch", "a.pt"), ("torch", "a.pth.tar"), ("old torch", "a.pt"), ("training script", "a.ckpt"),
     ("safetensors", "a.safetensors"), ("npz", "a.npz")],
)  # fmt: skip
def test_files_as_people_have_them(tmp_path, kind, name):
    save(tmp_path / name, kind)
    found = unwrapped(read_checkpoint(tmp_path / name), where="x")
    assert {key: torch.as_tensor(value).tolist() for key, value in found.items()} == {
        key: value.tolist() for key, value in STATE.items()
    }


RAN = []


class Hostile:
    def __reduce__(self):
        return RAN.append, ("ran",)


class Shell:
    def __reduce__(self):
        return os.system, ("echo ran",)


class Named:
    """Its name acts on a terminal."""


Named.__name__ = Named.__qualname__ = "\x1b]0;owned\x07" + "N" * 500
globals()[Named.__qualname__] = Named


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("content", "word"),
    [
        (torch.nn.Linear(3, 2), "torch.nn.modules.linear.Linear"),
        ({"state_dict": STATE, "callback": Hostile()}, "builtins.getattr"),
        ({"a": Shell()}, "posix.system"),
        ({"a": Named()}, "N"),
    ],
)
def test_python_objects_are_refused_in_one_line_and_never_run(tmp_path, content, word, old):
    path = tmp_path / "model\x1b[31m.pt"
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert not RAN
    assert message.isprintable()
    assert len(message) < 600
    assert "which are not loaded because they could run code" in message
    assert message.endswith("torch.save(model.state_dict(), FILE)")
    assert old or word in message


def test_plain_pickles_are_refused(tmp_path):
    for content in ({"a": np.ones(3)}, {"a": Shell()}, [1, 2]):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
        with pytest.raises(WeightsError) as caught:
            read_checkpoint(tmp_path / "a.pkl")
        assert str(caught.value).isprintable()


def test_archives_of_torchscript_are_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.trace(torch.nn.Linear(3, 2), torch.zeros(1, 3)).save(str(tmp_path / "a.pt"))
    with pytest.raises(WeightsError, match=r"is a TorchScript archive.*torch\.save\(model\.state_dict\(\), FILE\)$"):
        read_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("kind", ["torch", "old torch", "safetensors", "npz"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.98])
def test_truncated_files_are_one_line(tmp_path, kind, part):
    path = tmp_path / {"safetensors": "a.safetensors", "npz": "a.npz"}.get(kind, "a.pt")
    save(path, kind)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(WeightsError, match=path.name) as caught:
        read_checkpoint(path)
    assert str(caught.value).isprintable()


def test_folders_absent_and_empty_files(tmp_path):
    for name in ("a.pt", "a.safetensors", "a.npz"):
        with pytest.raises(WeightsError, match="no such file"):
            read_checkpoint(tmp_path / name)
        (tmp_path / name).touch()
        with pytest.raises(WeightsError, match="is empty"):
            read_checkpoint(tmp_path / name)
    with pytest.raises(WeightsError, match="is a folder, expected a file"):
        read_checkpoint(tmp_path)


def test_other_content_is_one_line(tmp_path):
    torch.save([1, 2], tmp_path / "a.pt")
    with pytest.raises(WeightsError, match="holds a list, expected a state dict"):
        read_checkpoint(tmp_path / "a.pt")
