"""``avvp backbones``, and a backbone in a file of the user's own through the command line."""

import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from rich.console import Console

from extractors import registry
from storage.store import FeatureStore

OWN = """
import numpy as np
from extractors.base import Extractor, Units
from extractors.views import AudioView
from extractors.weights.loading import WeightsSource
from storage.schema import FeatureSpec

class Loudness(Extractor):
    modality = "audio"
    view = AudioView(16_000)
    weights_source = WeightsSource("https://example.org/none.pth", "none.pth")

    @property
    def specs(self):
        return (FeatureSpec(self.array_name, self.clip_seconds, 1, "audio", 1.0, description="loudness"),)

    def load(self, weights, **how):
        self.scale = 1.0

    def units(self, clip):
        return Units(clip.samples.reshape(self.clip_seconds, 16_000), clip.segment_valid(self.clip_seconds))

    def forward(self, batch):
        return (self.scale * batch.abs().mean(1, keepdim=True),)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_backbone.py").write_text(OWN)
    yield tmp_path / "my_backbone.py"
    sys.path[:] = [entry for entry in sys.path if entry != str(tmp_path)]


def test_the_list_has_arrays_weights_and_families_and_loads_nothing_heavy(avvp):
    code, out, _ = avvp("backbones")
    assert code == 0
    for words in (
        "resnet152",
        "80×2048",
        "242 MB, to fetch",
        "clap_map",
        "19 MB, here",
        "clip:ViT-B-32/openai",
        "FILE.py",
    ):
        assert words in out
    run = "from pipeline.cli.backbones_actions import print_backbones; print_backbones(); import sys; "
    run += "print(sorted({'torch', 'timm', 'open_clip', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_the_list_fits_a_terminal(avvp, monkeypatch):
    narrow = partial(Console, width=80, soft_wrap=True, highlight=False)
    monkeypatch.setattr("pipeline.cli.backbones_actions.wide_console", narrow)
    _, out, _ = avvp("backbones")
    lines = out.partition("and by name:")[0].splitlines()
    assert [line for line in lines if len(line) > 80 and "(toy_backbones" not in line] == []
    at = lines.index("clap (1,864 MB, to fetch)")
    assert [line.rstrip() for line in lines[at + 1 : at + 4]] == [
        "    clap 10×512: CLAP embedding of each second, L2-normalised",
        "    clap_map 64×768: HTSAT feature map of the clip: step = 32 x frequency half",
        "    (2) + time (32)",
    ]


@pytest.mark.parametrize("group", ["backbones", "weights"])
def test_help_shows_no_escapes_and_cuts_nothing(avvp, group):
    code, out, _ = avvp(group, "--help")
    assert code == 0
    assert "\\b" not in out
    assert "..." not in out.replace("[ARGS]...", "")


def test_a_package_registers_backbones(avvp):
    _, out, _ = avvp("backbones")
    assert "toy_audio" in out
    assert registry.create("toy_audio").array_name == "toy_audio"
    assert [item.name for item in registry.search("toy_*io")] == ["toy_audio"]


@pytest.mark.parametrize(
    ("pattern", "words"), [("vggi*", "vggish    audio     128  289 MB"), ("clip:vit-b-32/OPEN*", "512")]
)
def test_a_pattern_is_searched_for(avvp, pattern, words):
    code, out, _ = avvp("backbones", pattern)
    assert code == 0
    assert words in out


def test_a_pattern_without_a_prefix_looks_everywhere(avvp):
    found = [item.name for item in registry.search("*RESNET152*")]
    assert found[0] == "resnet152"
    assert {"torchvision:resnet152", "timm:resnet152.tv_in1k"} <= set(found)
    assert registry.search("timm:*vit_b_16*") == []
    code, out, _ = avvp("backbones", "*vit_b_16*")
    assert code == 0
    assert out.startswith("backbone                                        modality  weights"), "no dim is known"
    assert "torchvision:vit_b_16:IMAGENET1K_SWAG_E2E_V1" in out
    assert "avvp backbones check NAME" in out.splitlines()[-1]


def test_what_no_pattern_finds_is_told(avvp):
    code, out, _ = avvp("backbones", "nothing*")
    assert code == 3
    assert "nothing matches" in out
    code, _, err = avvp("backbones", "nowhere:*")
    assert (code, err.count("\n")) == (2, 1)
    assert "no family 'nowhere'. Families: clip" in err


def test_a_backbone_that_keeps_the_contract(avvp, own):
    code, out, _ = avvp("backbones", "check", "my_backbone.py:Loudness")
    assert code == 0
    assert "Loudness: 2 steps of 1 s × 1 values" in out
    assert "input: " in out
    assert "{" not in out
    assert "kept, with weights random:0: 4 clips" in out


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        ("(self.scale * batch.abs().mean(1),)", "broken: "),
        ("(self.nothing,)", "broken: AttributeError: 'Loudness' object has no attribute 'nothing'"),
        ("(batch.abs().mean(1, keepdim=True) + batch.abs().mean(),)", "differs by"),
    ],
)
def test_a_backbone_that_breaks_it(avvp, own, edit, words):
    own.write_text(OWN.replace("(self.scale * batch.abs().mean(1, keepdim=True),)", edit))
    code, out, _ = avvp("backbones", "check", "my_backbone.py:Loudness")
    assert code == 1
    assert words in out


def test_extraction_with_a_backbone_of_ones_own(avvp, own, six_clips):
    asked = ("--clips", six_clips, "--store", "s.zarr", "--clip-seconds", 2, "--weights", "random:0")
    code, _, _ = avvp("extract", *asked, "--backbone", "my_backbone.py:Loudness")
    assert code == 0
    store = FeatureStore.open("s.zarr")
    assert store.features == ("Loudness",)
    origin = store.provenance("Loudness")
    assert (origin.backbone, origin.code_version[:7]) == ("my_backbone.py:Loudness", "1, file")
    first = store.read("Loudness")
    assert np.isfinite(first).all()
    own.write_text(OWN.replace("self.scale = 1.0", "self.scale = 2.0"))
    code, _, err = avvp("extract", *asked, "--backbone", "my_backbone.py:Loudness")
    assert (code, err.count("\n")) == (2, 1)
    assert "--rebuild" in err
    code, _, _ = avvp("extract", *asked, "--backbone", "my_backbone.py:Loudness", "--rebuild")
    assert code == 0
    assert FeatureStore.open("s.zarr").read("Loudness") == pytest.approx(2 * first)


@pytest.mark.parametrize("command", [("weights", "list"), ("weights", "download"), ("backbones", "check")])
def test_a_class_that_says_wrong_things_costs_one_line(avvp, own, command):
    own.write_text(OWN.replace('WeightsSource("https://example.org/none.pth", "none.pth")', "None"))
    code, _, err = avvp(*command, "my_backbone.py:Loudness")
    assert (code, err.count("\n")) == (2, 1)
    assert "weights_source is NoneType, expected WeightsSource. Mend" in err
