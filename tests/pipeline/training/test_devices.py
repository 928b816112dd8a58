import dataclasses
from typing import NamedTuple

import pytest
import torch

from pipeline.cli.main import main
from pipeline.training.devices import as_float32, autocast, check_device, check_precision, make_accelerator
from storage.errors import InvalidInput


class Pair(NamedTuple):
    one: torch.Tensor
    other: torch.Tensor | None


@dataclasses.dataclass(frozen=True, eq=False)
class Output:
    values: torch.Tensor
    pair: Pair
    rule: str = "x"


@pytest.fixture
def gpus(monkeypatch):
    """A function: pretends that there are so many GPUs."""

    def pretend(number):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: number > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)

    return pretend


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:²", "cuda1", "CPU", "", "mps:0"])
def test_what_is_no_device_is_refused(gpus, device):
    gpus(8)
    with pytest.raises(InvalidInput, match="expected auto, cpu, cuda, cuda:N or mps"):
        check_device(device)


def test_a_gpu_that_is_not_there_is_refused(gpus, monkeypatch):
    for number, device, words in ((0, "cuda", "has no CUDA device"), (1, "cuda:1", "has cuda:0 alone"),
                                  (2, "cuda:2", "has cuda:0 to cuda:1")):  # fmt: skip
        gpus(number)
        with pytest.raises(InvalidInput, match=f"--device {device}: this machine {words}"):
            check_device(device)
    check_device("cuda:1")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InvalidInput, match="--device mps: this machine has none"):
        check_device("mps")


def test_launched_processes_choose_their_gpus_themselves(gpus, monkeypatch):
    gpus(2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_device("cuda")
    with pytest.raises(InvalidInput, match=r"each of its 2 processes a GPU\. Leave --device out.*--gpu_ids"):
        check_device("cuda:1")


def test_a_process_stays_on_its_kind_of_device(gpus, monkeypatch):
    assert make_accelerator("cpu").device.type == "cpu"
    gpus(2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    with pytest.raises(InvalidInput, match=r"computes on cpu already\. Train in a process of its own"):
        make_accelerator("cuda:1")


def test_precisions_are_refused_where_they_cannot_be(monkeypatch):
    check_precision("float32", torch.device("cpu"))
    check_precision("bfloat16", torch.device("cpu"))
    with pytest.raises(InvalidInput, match=r"train\.precision=float16: needs a CUDA device.*bfloat16 or float32"):
        check_precision("float16", torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **options: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    with pytest.raises(InvalidInput, match=r"Tesla T4 lacks it\. Use float16 or float32"):
        check_precision("bfloat16", torch.device("cuda"))


def test_outputs_become_float32_and_nothing_else_is_touched():
    made = Output(torch.ones(2, dtype=torch.bfloat16), Pair(torch.ones(1), None))
    found = as_float32(made)
    assert found.values.dtype == torch.float32
    assert found.pair.one is made.pair.one
    assert as_float32(torch.arange(2)).dtype == torch.int64


def test_autocast_is_on_for_half_precisions_alone():
    layer, values = torch.nn.Linear(2, 2), torch.ones(1, 2)
    for precision, kind in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with autocast(precision, torch.device("cpu")):
            assert layer(values).dtype == kind


def test_the_command_refuses_in_one_line(made, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", "--recipe", "han", "--store", str(made / "features.zarr"), "--annotations",
              str(made / "annotations"), "--out", str(tmp_path / "run"), "--device", "cuda:99"])  # fmt: skip
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert "--device cuda:99: this machine has" in err
    assert err.count("\n") == 1
