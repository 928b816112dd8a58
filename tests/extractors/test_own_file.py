"""Backbones in files of the user's own."""

import os
import subprocess
import sys

import pytest

from extractors import registry
from extractors.own_file import absolute_name
from extractors.weights.loading import ResolvedWeights
from pipeline.extraction.options import ExtractOptions
from pipeline.extraction.provenance import provenance_of
from storage.errors import UnknownBackbone

CODE = '''
from extractors.frame_network import FrameNetwork
from extractors.views import FrameView
from extractors.weights.loading import WeightsSource
from my_layers import build_network

class MyNet(FrameNetwork):
    """Sixteen numbers a frame."""

    default_frames_per_second = 2
    dim = 16
    normalisation = ((0.5,) * 3, (0.5,) * 3)
    weights_source = WeightsSource("https://example.org/my.pth", "my.pth")

    @property
    def view(self):
        return FrameView(self.rate, 32, "squash")

    def build(self):
        return build_network()

class Other:
    pass

class Half(FrameNetwork):
    pass
'''
LAYERS = """
from torch import nn

def build_network():
    return nn.Sequential(nn.Conv2d(3, 16, 4, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "my_backbone.py").write_text(CODE)
    (tmp_path / "nets" / "my_layers.py").write_text(LAYERS)
    yield tmp_path
    sys.modules.pop("my_layers", None)
    sys.path[:] = [entry for entry in sys.path if not entry.startswith(str(tmp_path))]


def test_a_class_of_a_file_is_a_backbone(folder, monkeypatch):
    name = f"{folder}/nets/my_backbone.py:MyNet"
    made = registry.load(name, weights="random:0", engine="torch", clip_seconds=2)
    assert made.array_name == "MyNet"
    assert made.backbone_of("MyNet") == "my_backbone.py:MyNet"
    assert [(spec.name, spec.steps, spec.dim) for spec in made.specs] == [("MyNet", 4, 16)]
    assert registry.create(f"{name}@4fps").array_name == "MyNet_4fps"
    monkeypatch.chdir(folder)
    assert registry.create("nets/my_backbone.py:MyNet").file_digest == made.file_digest
    assert absolute_name("nets/my_backbone.py:MyNet") == name
    assert absolute_name("vggish") == "vggish"


def test_an_edited_file_is_another_identity(folder):
    name, weights = f"{folder}/nets/my_backbone.py:MyNet", ResolvedWeights("random", None, 0, "random:0", "")
    origins = []
    for edited in (CODE, CODE, CODE.replace("0.5", "0.4")):
        file = folder / "nets" / "my_backbone.py"
        file.write_text(edited)
        os.utime(file, (1_700_000_000, 1_700_000_000))  # a compiled file would be taken for this one's
        made = registry.create(name)
        origins.append(provenance_of(made, weights, sampling="uniform", precision="float32", source="media").identity())
    assert origins[0] == origins[1] != origins[2]
    assert origins[0]["code_version"].startswith("1, file ")
    assert origins[2]["preprocessing"]["mean"] == [0.4] * 3


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("none.py:Net", None, r"none.py: No such file or directory. Expected FILE.py:CLASS"),
        ("my_backbone.py:Net", CODE, r"holds no 'Net'; its backbones are: MyNet, Half"),
        ("my_backbone.py:Other", CODE, r"Other does not derive from extractors.base.Extractor"),
        ("my_backbone.py:Half", CODE, r"Half lacks build, dim, normalisation, view, weights_source"),
        (
            "my_backbone.py:MyNet",
            "import this is wrong",
            r"my_backbone.py:1: SyntaxError: invalid syntax .*. Mend that file",
        ),
        (
            "my_backbone.py:MyNet",
            "\n\n1 / 0\n",
            r"my_backbone.py:3: ZeroDivisionError: division by zero. Mend that file",
        ),
        (
            "my_backbone.py:MyNet",
            "import nowhere_at_all",
            r"my_backbone.py:1: ModuleNotFoundError: No module named 'no",
        ),
        ("my_backbone.py:MyNet", "raise SystemExit(5)", r"my_backbone.py:1: SystemExit: 5. Mend that file"),
        ("my_backbone.py", CODE, r"names a file without a class; expected FILE.py:CLASS"),
        ("my_backbone.py:MyNet", "x = 1", r"holds no class that derives from Extractor"),
        (
            "my_backbone.py:MyNet",
            CODE.replace("default_frames_per_second = 2", "def __init__(self, **_): raise KeyError('x')"),
            r"cannot be made: KeyError: 'x'. Mend .*my_backbone.py",
        ),
        ("my_backbone.py:MyNet@1s/1s", CODE, r"it has its own time grid"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_one_line(folder, file, content, message):
    if content is not None:
        (folder / "nets" / "my_backbone.py").write_text(content)
    with pytest.raises(UnknownBackbone, match=message) as told:
        registry.create(f"{folder}/nets/{file}")
    assert "\n" not in str(told.value)


def test_two_folders_with_helpers_of_one_name_are_refused(folder):
    (folder / "other").mkdir()
    (folder / "other" / "their_backbone.py").write_text(CODE)
    (folder / "other" / "my_layers.py").write_text(LAYERS.replace("4, 4", "8, 8"))
    registry.create(f"{folder}/nets/my_backbone.py:MyNet")
    with pytest.raises(UnknownBackbone, match=r"other/my_layers.py has the name of .*nets/my_layers.py, which another"):
        registry.create(f"{folder}/other/their_backbone.py:MyNet")


def test_a_file_hides_no_module_of_ours(folder):
    (folder / "nets" / "storage.py").write_text("raise RuntimeError('this is the wrong one')")
    code = (
        f"from extractors import registry; registry.create('{folder}/nets/my_backbone.py:MyNet'); import storage.store"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_weights_name_the_file_as_it_was_asked_for(folder, monkeypatch):
    monkeypatch.chdir(folder)
    options = ExtractOptions(("nets/my_backbone.py:MyNet", "vggish"), ("nets/my_backbone.py:MyNet=random:3",))
    assert options.backbones == (f"{folder}/nets/my_backbone.py:MyNet", "vggish")
    assert options.weights_by_backbone == {"": "pretrained", options.backbones[0]: "random:3"}
    once = registry.create("nets/../nets/my_backbone.py:MyNet")
    assert absolute_name(once.name) == options.backbones[0]
    options = ExtractOptions(("nets/my_backbone.py:MyNet@1fps", "vggish"), ("MyNet=random:3",))
    assert options.weights_by_backbone == {"": "pretrained", options.backbones[0]: "random:3"}
