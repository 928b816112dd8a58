"""The functions of ``from pipeline import …``: their examples, their errors, and that their names stay functions."""

import doctest
import functools
import pickle
import subprocess
import sys
import types

import numpy as np
import pytest

import pipeline
from pipeline import api
from storage.clips import ClipTable
from storage.errors import AvvpError, InvalidInput, StoreError, WeightsError

NAMES = ("extract", "open_store", "features_of", "parse", "train", "evaluate")


@pytest.fixture(scope="module")
def folder(make_clip, tmp_path_factory):
    """Where the examples run: two clips, and made-up features of more."""
    from pipeline.synthetic.features import write_features

    place = tmp_path_factory.mktemp("api")
    make_clip(place / "clips" / "dog.mp4", colour="red")
    make_clip(place / "clips" / "rain.mp4", colour="blue", tone_hz=880)
    write_features(place / "toy", count=24, seed=1)
    return place


def test_the_examples_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    seen = []
    for name in NAMES:  # in this order: one goes on where the one before ended
        (example,) = finder.find(getattr(pipeline, name), name, module=api)
        assert example.examples, name
        runner.run(example)
        seen.append(example)
    assert runner.summarize(verbose=False).failed == 0


def test_features_of_a_file_are_those_that_a_store_gets(folder, tmp_path):
    pipeline.extract(
        folder / "clips", tmp_path / "s.zarr", backbones=["vggish", "efficientnet_lite0"],
        weights={"vggish": "random:0"}, clip_seconds=2, progress=False, workers=1,
    )  # fmt: skip
    store = pipeline.open_store(tmp_path / "s.zarr")
    for name, weights in (("vggish", "random:0"), ("efficientnet_lite0", "pretrained")):
        found = pipeline.features_of(folder / "clips" / "rain.mp4", name, weights=weights)
        np.testing.assert_array_equal(found.values, store.read(name, ["rain"])[0])
        np.testing.assert_array_equal(found.valid, store.valid(name, ["rain"])[0])
        assert found.times.shape == found.valid.shape


def test_a_table_that_has_been_read_will_do(toys, folder, tmp_path, capsys):
    table = ClipTable(list(ClipTable.load(folder / "clips"))[:1], notes=["one was left out"])
    report = pipeline.extract(
        table, tmp_path / "s.zarr", backbones=["toy_visual"], weights="random:0", clip_seconds=2, workers=1
    )
    assert report.read == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "one was left out" in said.err
    assert "1/1 clips done" in said.err


def test_several_arrays_and_steps_that_are_not_in_time():
    from pipeline.extraction.one_clip import _with_times
    from storage.schema import FeatureSpec

    features = types.SimpleNamespace(values=np.zeros((3, 2), np.float32), valid=np.ones(3, bool))
    assert np.isnan(_with_times(FeatureSpec("map", 3, 2, "audio"), features).times).all()
    assert _with_times(FeatureSpec("a", 3, 2, "audio", 0.5), features).times.tolist() == [0.0, 0.5, 1.0]


def test_errors_name_keywords_and_not_options(toys, folder, tmp_path):
    call = functools.partial(
        pipeline.extract, folder / "clips", tmp_path / "s.zarr", backbones=["toy_visual"], clip_seconds=2,
        progress=False, workers=1,
    )  # fmt: skip
    call(weights="random:0")
    with pytest.raises(AvvpError, match=r"add rebuild=True \(it replaces this array only\)"):
        call(weights="random:1")
    with pytest.raises(WeightsError, match=r"or use weights random:0$"):
        pipeline.features_of(folder / "clips" / "dog.mp4", "toy_visual")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: pipeline.extract(p / "none", p / "s", backbones=["vggish"]), InvalidInput, "no such file or folder"),
        (lambda p: pipeline.extract(p, p / "s", backbones=[]), InvalidInput, "nothing to extract"),
        (lambda p: pipeline.extract(p, p / "s", backbones=["vggish"], sampling="x"), InvalidInput, "one of uniform"),
        (lambda p: pipeline.extract(p, p / "s", backbones=["vggish"], weights={"clap": "x"}), InvalidInput, "clap"),
        (lambda p: pipeline.open_store(p / "s.zarr"), StoreError, "no feature store here"),
        (lambda p: pipeline.features_of(p / "no.mp4", "vggish", weights="random:0"), InvalidInput, "no.mp4: "),
        (lambda p: pipeline.features_of(p / "t.txt", "vggish", clip_seconds=2), InvalidInput, "t.txt: unreadable: "),
        (lambda p: pipeline.features_of(p / "t.txt", "vgish", clip_seconds=2), InvalidInput, "Did you mean 'vggish'"),
        (lambda p: pipeline.evaluate(annotations=p), InvalidInput, "one of them"),
        (lambda p: pipeline.evaluate(annotations=p, run=p), InvalidInput, "is no run"),
        (lambda p: pipeline.train(recipe="hen", store=p, annotations=p, out=p), InvalidInput, "hen"),
        (lambda p: pipeline.train(recipe="han", store=p, annotations=p, out=p, device="x"), InvalidInput, "auto, cpu"),
        (lambda p: pipeline.extract(p, p / "s", backbones=["vggish"], memory="2X"), InvalidInput, "^memory '2X': "),
        (lambda p: pipeline.extract(p, p, backbones=["vggish"], weights={"clap": "x"}), InvalidInput, "^weights "),
    ],
)  # fmt: skip
def test_mistakes_are_the_errors_of_the_command_line(tmp_path, call, error, message):
    (tmp_path / "t.txt").write_text("no media")
    with pytest.raises(AvvpError, match=message) as raised:
        call(tmp_path)
    assert isinstance(raised.value, error)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_function_can_be_pickled_and_is_the_same_one(name):
    function = getattr(pipeline, name)
    assert isinstance(function, types.FunctionType)
    assert pickle.loads(pickle.dumps(function)) is function
    assert name in dir(pipeline)
    assert name in pipeline.__all__


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("name", ["train", "evaluate"])
@pytest.mark.parametrize("order", ["module first", "function first", "from"])
def test_names_stay_functions_whatever_is_imported_first(name, order):
    module, function = f"import pipeline.{name}", f"from pipeline import {name}"
    lines = {
        "module first": [module, function],
        "function first": [function, module, function],
        "from": [f"from pipeline.{name} import main", function],
    }[order]
    lines += [
        "import sys, pipeline",
        f"print(type({name}).__name__, type(pipeline.{name}).__name__, type(sys.modules['pipeline.{name}']).__name__)",
    ]
    assert run("\n".join(lines)) == ["function", "function", "module"]


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_the_modules_are_still_programs(name):
    command = [sys.executable, "-W", "error", "-m", f"pipeline.{name}", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"python -m pipeline.{name}" in done.stdout


def test_other_submodules_and_unknown_names():
    assert run("import pipeline.metrics, pipeline; print(type(pipeline.metrics).__name__)") == ["module"]
    with pytest.raises(AttributeError, match="has no attribute 'extrct'"):
        pipeline.extrct  # noqa: B018
