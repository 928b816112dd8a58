"""``avvp weights``: what is there, and fetching ahead."""

import json
from pathlib import Path

import pytest

from extractors.audio import clap_checkpoints
from extractors.visual.resnet152 import ResNet152
from extractors.weights.loading import WeightsSource


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AVVP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GENSIM_DATA_DIR", str(tmp_path / "gensim"))
    return tmp_path / "cache"


@pytest.fixture
def published(tmp_path, monkeypatch):
    """ResNet-152's file at a URL that can be reached."""
    (tmp_path / "resnet.pth").write_bytes(b"weights")
    source = WeightsSource((tmp_path / "resnet.pth").as_uri(), "resnet.pth")
    monkeypatch.setattr(ResNet152, "weights_source", source)


def test_everything_with_a_fixed_name_is_listed(cache, avvp):
    code, out, _ = avvp("weights", "list", "--json")
    body = json.loads(out)
    assert code == 0
    assert body["cache"] == str(cache)
    named = {(one["kind"], one["name"]) for one in body["weights"]}
    assert {("backbone", "resnet152"), ("backbone", "clap:630k-audioset-best"), ("embedder", "glove")} <= named
    assert not cache.exists(), "nothing is downloaded"
    code, out, _ = avvp("weights")
    assert code == 0
    url = "https://download.pytorch.org/models/resnet152-394f9c45.pth"
    assert f" - resnet152: resnet152-394f9c45.pth, 241.6 MB\n     {url}\n" in out
    assert "avvp weights download NAME" in out


def test_a_name_may_be_a_backbone_and_an_embedder(cache, avvp):
    _, out, _ = avvp("weights", "list", "clip:ViT-B-32/openai", "bert", "--json")
    found = json.loads(out)["weights"]
    assert [(one["kind"], one["name"]) for one in found] == [
        ("backbone", "clip:ViT-B-32/openai"),
        ("embedder", "clip:ViT-B-32/openai"),
        ("embedder", "bert"),
    ]
    assert found[0]["files"] == found[1]["files"]


def test_download_fetches_once(cache, published, avvp):
    code, out, _ = avvp("weights", "download", "resnet152")
    assert (code, out) == (0, "resnet152 (backbone): 1 file fetched\n")
    assert (cache / "resnet.pth").read_bytes() == b"weights"
    code, out, _ = avvp("weights", "download", "resnet152")
    assert (code, out) == (0, "resnet152 (backbone): all there\n")
    _, out, _ = avvp("weights", "list", "resnet152", "--json")
    (file,) = json.loads(out)["weights"][0]["files"]
    assert file["present"]
    assert Path(file["path"]) == cache / "resnet.pth"


def test_download_goes_on_and_tells_of_all_that_failed(cache, published, monkeypatch, avvp):
    monkeypatch.setattr(clap_checkpoints, "FOLDER", "file:///nowhere")
    code, out, err = avvp("weights", "download", "clap:630k-best", "resnet152", "clap:630k-audioset-best")
    assert code == 2
    assert "resnet152 (backbone): 1 file fetched" in out
    assert "630k-best.pt" in err
    assert "630k-audioset-best.pt" in err
    assert err.count("\n") == 1
    assert [file.name for file in cache.iterdir() if ".pt" in file.name and "resnet" not in file.name] == []


def test_a_file_that_two_names_share_is_told_once(cache, monkeypatch, avvp):
    monkeypatch.setattr(ResNet152, "weights_source", WeightsSource("file:///nowhere/net.pth", "net.pth"))
    code, _, err = avvp("weights", "download", "resnet152", "resnet152@4fps")
    assert code == 2
    assert err.count("cannot be reached") == 1
    assert "weights of 2 of 2 cannot be had: resnet152: " in err


def test_a_name_of_neither_kind_is_refused(cache, avvp):
    code, _, err = avvp("weights", "download", "resnet15")
    assert code == 2
    assert "unknown backbone 'resnet15'. Did you mean 'resnet152'?" in err
    assert "Embedders: glove, bert" in err
