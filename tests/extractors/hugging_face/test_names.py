"""Names of models: what can be asked for, and what is said where it cannot be had."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from extractors import registry
from extractors.weights.loading import resolve
from storage.errors import InvalidInput, UnknownBackbone, WeightsError


@pytest.fixture
def folder(models, tmp_path):
    """A model's folder to spoil."""
    shutil.copytree(models("dinov2_with_registers")[0], tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def hub(models, tmp_path, monkeypatch):
    """A hub cache that holds one model, as the hub's own library lays it out. The hub cannot be reached."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--org--small"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    shutil.copytree(models("siglip")[0], repository / "snapshots" / "abc")
    return repository / "snapshots" / "abc"


def _values(extractor):
    from extractors.contract import tiny_clips

    return extractor.extract(tiny_clips(extractor)[:1])[0][extractor.array_name].values


def test_outputs_have_arrays_of_their_own(folder):
    made = {
        output: registry.create(f"hf:{folder}{output}", clip_seconds=2) for output in ("", ":cls", ":mean", ":tokens")
    }
    dims = {output: one.specs[0].dim for output, one in made.items()}
    assert dims == {"": 32, ":cls": 32, ":mean": 32, ":tokens": 16 * 32}
    assert len({one.array_name for one in made.values()}) == 4
    assert made[":mean"].preprocessing["output"] == "mean"
    assert made[""].preprocessing["corner"] == "floor"


def test_outputs_are_the_tokens_that_they_name(models, folder):
    _, official = models("dinov2_with_registers")
    loaded = {
        output: registry.load(f"hf:{folder}:{output}@1fps", engine="torch", clip_seconds=2)
        for output in ("cls", "mean", "tokens")
    }
    values = {output: torch.from_numpy(_values(one)) for output, one in loaded.items()}
    tokens = values["tokens"].unflatten(1, (16, 32))
    torch.testing.assert_close(tokens.mean(1), values["mean"])
    assert official.config.num_register_tokens == 3


def test_pictures_that_are_compared_with_texts_come_once_a_second(models):
    assert registry.create(f"hf:{models('siglip')[0]}").specs[0].steps == 10
    assert registry.create(f"hf:{models('siglip')[0]}@4fps").specs[0].steps == 40
    assert registry.create(f"hf:{models('vit')[0]}").specs[0].steps == 80


def test_a_network_that_takes_any_number_of_frames_takes_the_rate(models):
    assert registry.create(f"hf:{models('vjepa2')[0]}@8fps").view.frames_per_second == 8
    with pytest.raises(UnknownBackbone, match="5 frames are no multiple of 2"):
        _ = registry.create(f"hf:{models('vjepa2')[0]}@5fps").view
    with pytest.raises(UnknownBackbone, match="takes 4 frames a second, not 8"):
        _ = registry.create(f"hf:{models('videomae')[0]}@8fps").view


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        (":nothing", r"dinov2_with_registers has no 'nothing'. Choose from: .*:tokens"),
        ("/nowhere", "no such folder, nor ORG/MODEL"),
    ],
)
def test_what_there_is_not_is_refused_by_name(folder, variant, message):
    with pytest.raises(InvalidInput, match=message):
        registry.create(f"hf:{folder}{variant}")


def test_sound_has_no_frame_rate(models):
    with pytest.raises(UnknownBackbone, match="sound has no frame rate"):
        registry.create(f"hf:{models('hubert')[0]}@4fps")


def test_other_types_are_refused_with_those_offered(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "llama"}))
    with pytest.raises(UnknownBackbone, match=r"model_type 'llama', which is not offered\. Offered: audio-spec.*wavlm"):
        registry.create(f"hf:{folder}")


@pytest.mark.parametrize("text", ["{", "[]", '{"model_type": 3}', "{}"])
def test_broken_configurations_are_one_line(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(
        WeightsError, match=r"config\.json: (not a model's configuration|names no model_type)"
    ) as caught:
        registry.create(f"hf:{folder}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resample": 1}, "with filter 1 is not offered: expected square pictures"),
        ({"crop_size": {"height": 32, "width": 24}}, "cut to .* is not offered"),
        ({"image_processor_type": "Sam3ImageProcessor"}, "its processor Sam3ImageProcessor is not offered"),
    ],
)
def test_other_processors_are_refused(folder, changes, message):
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(UnknownBackbone, match=message):
        _ = registry.create(f"hf:{folder}").view


def test_a_file_that_lacks_a_tensor_is_refused(folder):
    state = load_file(folder / "model.safetensors")
    del state["layernorm.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"1 missing: layernorm\.weight"):
        registry.load(f"hf:{folder}", engine="torch")
    state["layernorm.weight"] = torch.zeros(5)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"1 of another shape: layernorm\.weight \[5\] instead of \[32\]"):
        registry.load(f"hf:{folder}", engine="torch")


def test_weights_in_several_files_and_in_older_ones(folder):
    whole = _values(registry.load(f"hf:{folder}@1fps", engine="torch", clip_seconds=2))
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    assert (_values(registry.load(f"hf:{folder}@1fps", engine="torch", clip_seconds=2)) == whole).all()
    names = sorted(state)
    parts = {"model-00001-of-00002.safetensors": names[:9], "model-00002-of-00002.safetensors": names[9:]}
    for part, held in parts.items():
        save_file({name: state[name] for name in held}, folder / part)
    index = {"weight_map": {name: part for part, held in parts.items() for name in held}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    extractor = registry.create(f"hf:{folder}@1fps", clip_seconds=2)
    first = resolve("pretrained", extractor.weights_source)
    assert first.path.name == "model.safetensors.index.json"
    extractor.load(first)
    assert (_values(extractor) == whole).all()
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"model-00002-of-00002\.safetensors is not beside it"):
        resolve("pretrained", extractor.weights_source)


def test_a_path_gives_a_named_model_other_weights(folder, tmp_path):
    shutil.move(folder / "model.safetensors", tmp_path / "mine.safetensors")
    with pytest.raises(WeightsError, match=r"holds no weights. Expected model\.safetensors"):
        registry.load(f"hf:{folder}", engine="torch")
    loaded = registry.load(
        f"hf:{folder}@1fps", weights=str(tmp_path / "mine.safetensors"), engine="torch", clip_seconds=1
    )
    other = registry.load(f"hf:{folder}@1fps", weights="random:0", engine="torch", clip_seconds=1)
    assert not (_values(loaded) == _values(other)).any()


def test_a_cached_model_needs_no_network(hub):
    extractor = registry.load("hf:org/small", engine="torch", clip_seconds=2)
    assert extractor.array_name == "hf_org_small"
    assert extractor.weights_source.url == "https://huggingface.co/org/small/resolve/main/model.safetensors"
    assert [(file.name, file.place, file.present) for file in extractor.weights_files] == [
        ("config.json", "hub", True),
        ("model.safetensors", "hub", True),
    ]


def test_weights_that_cannot_be_had_are_one_line(hub):
    (hub / "model.safetensors").unlink()
    extractor = registry.create("hf:org/small")
    assert [file.present for file in extractor.weights_files] == [True, False]
    with pytest.raises(
        WeightsError, match=r"'org/small' cannot be had from the Hugging Face hub.*into a folder"
    ) as caught:
        resolve("pretrained", extractor.weights_source)
    assert "\n" not in str(caught.value)


def test_a_configuration_that_cannot_be_had_says_what_to_download(hub):
    with pytest.raises(WeightsError) as caught:
        registry.create("hf:org/large")
    assert "\n" not in str(caught.value)
    assert "Put config.json, preprocessor_config.json and model.safetensors of https://huggingface.co/org/large" in str(
        caught.value
    )
    assert "ask for hf:FOLDER" in str(caught.value)


def test_code_of_a_repository_is_not_run(folder):
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("raise SystemExit('it was run')\n")
    assert registry.create(f"hf:{folder}").specs[0].dim == 32


def test_search_finds_known_and_cached_models(hub):
    family = registry.family("hf")
    found = {one.name: one for one in family.search("*")}
    assert found["hf:org/small"].cached
    assert found["hf:facebook/dinov2-base"].modality == "visual"
    assert not found["hf:facebook/dinov2-base"].cached
    assert [one.name for one in family.search("*DINOV3-convnext-tiny*")] == [
        "hf:facebook/dinov3-convnext-tiny-pretrain-lvd1689m"
    ]
    assert list(found) == sorted(found)


def test_creating_imports_neither_torch_nor_transformers(folder):
    code = (
        "import sys; from extractors import registry\n"
        f"registry.create('hf:{folder}')\n"
        "loaded = {'torch', 'transformers'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
