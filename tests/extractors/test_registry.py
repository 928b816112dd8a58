"""Backbones by name: cheap to make, hard to misname."""

import json
import subprocess
import sys

import pytest

from extractors import registry
from storage.errors import InvalidInput, UnknownBackbone, WeightsError
from storage.schema import FeatureSpec, Provenance, fingerprint


def test_names_are_the_concrete_ones():
    assert registry.names() == tuple(registry.BACKBONES)
    assert "resnet152" in registry.names()


@pytest.mark.parametrize(
    ("name", "array", "steps", "dim"),
    [
        ("resnet152", "resnet152", 80, 2048),
        ("r2plus1d_18", "r2plus1d_18", 10, 512),
        ("vgg19_pool5", "vgg19_pool5", 10, 25088),
        ("vgg19_pool5@2fps", "vgg19_pool5_2fps", 10, 25088),
        ("clip_vit_l14", "clip_vit_l14", 10, 768),
        ("clip_vit_l14@8fps", "clip_vit_l14_8fps", 80, 768),
        ("efficientnet_lite0", "efficientnet_lite0", 80, 1280),
        ("resnet152@2fps", "resnet152_2fps", 20, 2048),
        ("clip:ViT-B-32/openai", "clip_ViT-B-32_openai", 10, 512),
        ("clip:ViT-B-32/openai@4fps", "clip_ViT-B-32_openai_4fps", 40, 512),
    ],
)
def test_specs(name, array, steps, dim):
    (spec,) = registry.create(name).specs
    assert (spec.name, spec.steps, spec.dim, spec.modality) == (array, steps, dim, "visual")
    assert spec.step_seconds == 10 / steps


@pytest.mark.parametrize(
    ("name", "arrays", "steps", "window", "hop"),
    [
        ("vggish@0.96s/0.48s", ["vggish_0.96s_0.48s"], 19, 0.96, 0.48),  # YouTube-8M, AudioSet
        ("vggish:pca@0.96s/0.32s", ["vggish_pca_0.96s_0.32s"], 29, 0.96, 0.32),  # UnAV-100
        ("vggish@0.96s/0.96s", ["vggish_0.96s_0.96s"], 10, 0.96, 0.96),
        ("yamnet@0.96s/0.48s", ["yamnet_0.96s_0.48s"], 19, 0.96, 0.48),
        ("clap@2s/0.5s", ["clap_2s_0.5s"], 17, 2.0, 0.5),
        ("clap@10s/10s", ["clap_10s_10s"], 1, 10.0, 10.0),
    ],
)
def test_windows(name, arrays, steps, window, hop):
    specs = registry.create(name).specs
    assert [spec.name for spec in specs] == arrays
    assert (specs[0].steps, specs[0].window_seconds, specs[0].step_seconds) == (steps, window, hop)
    assert specs[0].time_grid == f"{steps} steps of {hop:g} s, each from {window:g} s"
    assert f"window of {window:g} s" in specs[0].description
    assert FeatureSpec.from_json(specs[0].to_json()) == specs[0]
    assert "each second" not in json.dumps(registry.create(name).preprocessing)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vggish@1s/0.5s", "it looks at 0.96 s of sound at a time: use --window 0.96"),
        ("vggish@0.96s/0.485s", "its hop is 0.485 s; expected hundredths of a second"),
        ("vggish@0.96s/0s", "its hop is 0 s; expected"),
        ("clap@12s/1s", "its window is 12 s, but clips have 10 s"),
        ("resnet152@0.96s/0.48s", "it has its own time grid; leave --window and --hop out"),
        ("nothing@0.96s/0.48s", "unknown backbone 'nothing'"),
        ("vggish@0.960s/0.48s", "write 'vggish@0.96s/0.48s'; equal windows have one name"),
        ("vggish@00.96s/1.0s", "write 'vggish@0.96s/1s'"),
    ],
)
def test_windows_that_a_backbone_cannot_look_at(name, message):
    with pytest.raises(UnknownBackbone, match=message):
        registry.create(name)


def test_the_identity_of_arrays_without_windows_is_as_it_was():
    spec = registry.create("vggish").specs[0]
    assert "window_seconds" not in spec.to_json()
    assert spec.time_grid == "10 steps of 1 s"
    assert fingerprint(spec, Provenance("vggish", "1", "random:0", {}, "uniform")) == "135d948fd04409e8"


def test_clip_seconds_sets_the_steps():
    assert registry.create("resnet152", clip_seconds=3).specs[0].steps == 24
    assert registry.create("r2plus1d_18", clip_seconds=3).specs[0].steps == 3


def test_creating_the_fixed_backbones_imports_no_torch():
    code = (
        "import sys; from extractors import registry\n"
        "made = [registry.create(n) for n in registry.names()]\n"
        "seen = [(e.view, e.specs, e.weights_source, e.preprocessing) for e in made]\n"
        "loaded = {'torch', 'torchvision', 'open_clip'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet15", "Did you mean 'resnet152'.*Choose from: resnet152, r2plus1d_18"),
        ("RESNET152", "Did you mean 'resnet152'"),
        ("", "unknown backbone ''"),
        ("resnet152:", "nothing follows the last colon; ask for 'resnet152' without it"),
        ("clap:@1s/1s", "backbone 'clap:': nothing follows the last colon; ask for 'clap'"),
        ("torchvision:resnet18:@2fps", "ask for 'torchvision:resnet18' without it"),
        ("clip", "expected clip:<model>/<pretrained>"),
        ("clip:ViT-B-32", "expected clip:<model>/<pretrained>"),
        ("clip:/openai", "expected clip:<model>/<pretrained>"),
        ("vggish:pcaa", "no variant 'pcaa'"),
        ("resnet152:v2", "expected resnet152 without ':v2'"),
        ("r2plus1d_18@8fps", "has its own frame rate; ask for 'r2plus1d_18'"),
        ("resnet152@0fps", "unknown backbone"),
        ("resnet152@8", "Did you mean 'resnet152'"),
        ("resnet152@8fps@4fps", "unknown backbone"),
    ],
)
def test_bad_names_are_explained(name, message):
    with pytest.raises(UnknownBackbone, match=message):
        registry.create(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("clip:ViT-B-33/openai", "no model 'ViT-B-33'; nearest: ViT-B-32"),
        ("clip:ViT-B-32/opnai", "no weights 'opnai' for ViT-B-32; nearest: openai"),
    ],
)
def test_names_unknown_to_open_clip_are_explained(name, message):
    with pytest.raises(UnknownBackbone, match=message):
        registry.create(name).specs  # noqa: B018


def test_every_published_clip_model_has_facts():
    import open_clip

    from extractors.visual.clip import open_clip_facts

    for model, tag in open_clip.list_pretrained():
        facts = open_clip_facts(f"clip:{model}/{tag}", model, tag)
        assert facts.dim > 0
        assert facts.source.url.startswith("https://")
        assert "/" not in facts.source.filename


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"weights": "random:"}, WeightsError, "expected random:SEED"),
        ({"weights": "random:0", "device": "cuda:99"}, InvalidInput, "CUDA devices; use cpu or auto"),
        ({"weights": "random:0", "device": "gpu"}, InvalidInput, "expected auto, cpu or cuda:N"),
        ({"weights": "random:0", "precision": "float16"}, InvalidInput, "needs a GPU"),
        ({"weights": "random:0", "precision": "int8"}, InvalidInput, "expected one of float32"),
    ],
)
def test_bad_options_are_explained(options, kind, message):
    with pytest.raises(kind, match=message):
        registry.load("efficientnet_lite0", **options)


@pytest.mark.parametrize(
    ("window", "hop", "name"),
    [
        (0.96, 1e9, "vggish@0.96s/1000000000s"),
        (0.96, 1e-5, "vggish@0.96s/0.00001s"),
        (0.96, 0.4800001, "vggish@0.96s/0.4800001s"),
        (0.96, None, "vggish@0.96s/0.96s"),
    ],
)
def test_the_name_of_windows_has_the_very_numbers(window, hop, name):
    assert registry.in_windows("vggish", window=window, hop=hop) == name
    assert registry.has_windows(name)


def test_windows_that_are_no_hundredths_are_not_rounded_to_them():
    with pytest.raises(UnknownBackbone, match=r"its hop is 0\.4800001 s; expected hundredths"):
        registry.create("vggish@0.96s/0.4800001s")
