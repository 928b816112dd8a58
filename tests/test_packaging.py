"""The four packages are ours alone, stay in their rooms, and start fast."""

import ast
import importlib
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("storage", "extractors", "pipeline", "flows")
BUILDING_ROOMS = {
    f"pipeline.{room}" for room in ("decode", "extraction", "labels", "exchange", "download", "synthetic")
}


@pytest.mark.parametrize("name", PACKAGES)
def test_no_other_distribution_owns_our_names(name):
    owners = {owner for owner in metadata.packages_distributions().get(name, []) if owner != "avvp-pipeline"}
    assert not owners, f"{name!r} is also installed by {owners}: whoever comes first on the path wins"


@pytest.mark.parametrize("name", PACKAGES)
def test_packages_come_from_this_checkout(name):
    assert Path(importlib.import_module(name).__file__).parent == ROOT / name


@pytest.mark.parametrize("name", [name for name in PACKAGES if name != "pipeline"])
def test_package_init_holds_a_docstring_and_nothing_else(name):
    body = ast.parse((ROOT / name / "__init__.py").read_text()).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)


def test_docker_folder_is_no_package():
    assert not (ROOT / "docker" / "__init__.py").exists()


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import storage.store, storage.writer", {"torch", "prefect", "extractors", "pipeline"}),
        (
            "import extractors.registry; extractors.registry.create('resnet152')",
            {"torch", "prefect", "pipeline", "zarr"},
        ),
        ("import pipeline", {"torch", "prefect", "zarr", "numpy", "extractors", "storage", "click", "pipeline.api"}),
        ("import pipeline.api", {"torch", "prefect", "zarr", "numpy", "extractors", "click"}),
        ("import pipeline.cli.main", {"torch", "prefect", "zarr", "numpy", "extractors"}),
        ("import pipeline.extraction.workers", {"torch", "prefect", "zarr"}),
        ("import pipeline.extraction.extract", {"prefect"}),
    ],
)
def test_imports_stay_light(statement, unwanted):
    assert not loaded_by(statement) & unwanted


def test_train_side_modules_load_neither_prefect_nor_extractors():
    names = ["train", "evaluate", "datasets", "models", "training", "metrics"]
    present = [name for name in names if list((ROOT / "pipeline").glob(f"{name}*"))]
    for name in present:
        assert not loaded_by(f"import pipeline.{name}") & {"prefect", "extractors", *BUILDING_ROOMS}


def test_every_test_file_is_collected(request):
    """pytest does not descend into folders with some names, ``build`` among them, and says nothing."""
    collected = {item.path for item in request.session.items}
    if len({path.parent for path in collected}) < 5:
        pytest.skip("only in a run of all tests")
    assert collected == set((ROOT / "tests").rglob("test_*.py"))
