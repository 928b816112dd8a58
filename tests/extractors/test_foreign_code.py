"""Backbones that are not ours and say wrong things of themselves: one line for their author."""

import sys

import pytest

from extractors import registry
from extractors.foreign_code import authors_mistakes, check_facts
from pipeline.extraction.kept_intermediates import makes_logmel
from storage.errors import UnknownBackbone

CODE = """
from torch import nn
from extractors.frame_network import FrameNetwork
from extractors.views import FrameView
from extractors.weights.loading import WeightsSource

class Net(FrameNetwork):
    default_frames_per_second = 1
    dim = 12
    normalisation = ((0.5,) * 3, (0.5,) * 3)
    weights_source = WeightsSource("https://example.org/my.pth", "my.pth")

    @property
    def view(self):
        return FrameView(self.rate, 16, "squash")

    def build(self):
        return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())

"""


@pytest.fixture
def file(tmp_path):
    before = list(sys.path)
    yield tmp_path / "mine.py"
    sys.path[:] = before


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("    dim = 0", r"Net has dim 0, expected a whole number above 0. Mend .*mine.py"),
        ("    dim = 'many'", "Net has dim 'many'"),
        ("    array_name = '../../outside'", "'../../outside' has '/' in its name"),
        ("    array_name = ''", "the array '' has no name that a folder can have"),
        ("    modality = 'smell'", "modality is 'smell', but its view is visual"),
        ("    code_version = 5", "code_version is int, expected str"),
        ("    weights_source = None", "weights_source is NoneType, expected WeightsSource"),
        ("    view = 5", "view is int, expected FrameView or AudioView"),
        ("    specs = (5,)", "specs holds int, expected FeatureSpec"),
        ("    view = property(lambda self: {}['x'])", r"KeyError: 'x' \(.*mine.py:2\d\)"),
        ("    view = property(lambda self: FrameView(0, 16, 'squash'))", "0 frames a second, 16 pixels wide, is empty"),
        ("    view = property(lambda self: FrameView(1, 16))", "a crop needs the shorter side"),
        ("    preprocessing = {'how': object()}", "preprocessing is no plain data"),
        ("    def __init__(self, **_): pass", "its __init__ does not call that of Extractor"),
        ("    def build(self): raise ValueError('no\\nway')", r"ValueError: no \(.*mine.py:2\d\). Mend"),
        ("    def head(self, output): return 'words'", "AttributeError: 'str' object has no attribute"),
    ],
)
def test_what_is_wrong_with_a_class_is_told_in_one_line(file, addition, message):
    file.write_text(CODE + addition + "\n")
    with pytest.raises(UnknownBackbone, match=message) as told:
        registry.load(f"{file}:Net", weights="random:0", engine="torch", clip_seconds=1)
    assert "\n" not in str(told.value)


def test_a_sound_class_passes_and_our_own_exceptions_stay(file):
    file.write_text(CODE)
    made = registry.create(f"{file}:Net", clip_seconds=1)
    check_facts(made)
    for problem in (MemoryError(), PermissionError(13, "no"), RuntimeError("CUDA out of memory.")):
        with pytest.raises(type(problem)), authors_mistakes(made):
            raise problem
    with pytest.raises(UnknownBackbone, match=r"FileNotFoundError: .* Mend"), authors_mistakes(made):
        raise FileNotFoundError(2, "No such file", "table.npy")
    with pytest.raises(ZeroDivisionError), authors_mistakes(registry.create("vggish")):
        raise ZeroDivisionError


def test_a_class_that_is_named_vggish_makes_no_log_mels_of_vggish(file):
    file.write_text(CODE.replace("class Net", "class vggish"))
    assert not makes_logmel(registry.create(f"{file}:vggish"))
    assert makes_logmel(registry.create("vggish"))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("raise RuntimeError('not today')", "bad:Net cannot be imported: RuntimeError: not today. Mend or uninstall"),
        ("raise SystemExit(3)", "bad:Net cannot be imported: SystemExit"),
        ("x = 1", "bad:Net cannot be imported: AttributeError"),
        ("Net = 5", "bad:Net does not derive from extractors.base.Extractor"),
        (CODE + "    def __init__(self): pass", "cannot be made: TypeError"),
        (CODE + "    dim = 0", "Net has dim 0|bad_net has dim 0"),
    ],
)
def test_a_broken_entry_point_is_told_in_one_line(tmp_path, monkeypatch, module, message):
    (tmp_path / "bad.py").write_text(module)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "bad", raising=False)
    monkeypatch.setattr(registry, "names_of_packages", lambda: {"bad_net": "bad:Net"})
    with pytest.raises(UnknownBackbone, match=message):
        registry.load("bad_net", weights="random:0", engine="torch", clip_seconds=1)
    monkeypatch.delitem(sys.modules, "bad", raising=False)
