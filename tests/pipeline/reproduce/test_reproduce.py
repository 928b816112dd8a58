"""Tables of the papers: trained once, measured, and printed beside the published numbers."""

import json

import pytest

from pipeline.cli.main import main
from pipeline.recipes.shipped_recipes import shipped_recipes
from pipeline.reproduce.item import item_names, load_item
from pipeline.reproduce.measures import headings
from pipeline.reproduce.needs import needs_of
from pipeline.reproduce.training_pace import SECONDS_PER_THOUSAND_CLIPS

TABLE = """
title = "Two losses"
paper = "Somebody, Somewhere, Table 1"
kind = "{kind}"
columns = {columns}
note = "A note."

[[rows]]
name = "One"
recipe = "leap-han"
set = ["model.width=16", "model.decoder.heads=2", "train.epochs=1"]
published = {{ "{first}" = 60.0 }}

[[rows]]
name = "The same again"
recipe = "leap-han"
set = ["model.width=16", "model.decoder.heads=2", "train.epochs=1"]

[[rows]]
name = "Theirs"
published = {{ "{first}" = 50.0 }}
source = "a letter"
"""


def write(path, *, kind="parsing", columns=("seg_a", "seg_type", "mean_event")):
    path.write_text(
        TABLE.format(kind=kind, columns=json.dumps(list(columns)), first=columns[0] if columns else "A Dog")
    )
    return str(path)


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", *map(str, arguments)])
    return ended.value.code


def data(made, out):
    return ["--store", made / "features.zarr", "--annotations", made / "annotations", "--out", out]


@pytest.fixture(scope="module")
def done(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    tables = [write(folder / "t1.toml"), write(folder / "t3.toml", kind="overlap", columns=("overlapping_average",)),
              write(folder / "f3.toml", kind="classes", columns=())]  # fmt: skip
    assert run(*tables, "--seeds", "2", *data(made, folder / "out")) == 0
    return folder


def test_rows_that_train_the_same_share_their_runs(done):
    folders = sorted(path.name for path in (done / "out/runs").iterdir())
    assert [name.rpartition("-")[2] for name in folders] == ["seed1", "seed2"]


def test_the_table_has_ours_the_papers_and_the_difference(done):
    text = (done / "out/t1.md").read_text()
    assert "| | seg A | seg Type@AV | mean Event@AV |" in text
    found = json.loads((done / "out/t1.json").read_text())
    one, same, theirs = found["rows"]
    assert one["ours"] == same["ours"]
    assert theirs["ours"] == []
    mean = sum(seed["seg_a"] for seed in one["ours"]) / 2
    assert f"| One, Δ | {mean - 60:+.2f} | - | - |" in text
    assert "| Theirs, paper | 50.00 | - | - |" in text
    assert one["ours"][0]["mean_event"] == pytest.approx((one["ours"][0]["seg_event"] + one["ours"][0]["ev_event"]) / 2)
    assert "- paper's numbers of Theirs: a letter" in text
    assert "seeds 1, 2" in text
    assert "the features are made up" in text
    assert "sha256:" in text


def test_scores_are_those_that_training_wrote(done):
    one = json.loads((done / "out/t1.json").read_text())["rows"][0]["ours"]
    for seed, ours in enumerate(one, start=1):
        (folder,) = (done / "out/runs").glob(f"*seed{seed}")
        scores = json.loads((folder / "scores.json").read_text())["test"]
        assert {name: ours[name] for name in scores} == pytest.approx(scores)


def test_the_mean_of_the_overlap_table_is_of_the_five_event_scores(done):
    for ours in json.loads((done / "out/t3.json").read_text())["rows"][0]["ours"]:
        for subset in ("overlapping", "separate"):
            five = [ours[f"{subset}_{name}"] for name in ("a", "v", "av", "type", "event")]
            assert ours[f"{subset}_average"] == pytest.approx(sum(five) / 5)


def test_the_class_table_has_a_row_a_class(done):
    text = (done / "out/f3.md").read_text()
    assert "| A class average |" in text
    assert "| V Dog |" in text


def test_a_second_command_trains_nothing(done, made, capsys):
    before = {path: path.stat().st_mtime_ns for path in (done / "out/runs").rglob("*") if path.is_file()}
    assert run(done / "t1.toml", "--seeds", "2", *data(made, done / "out")) == 0
    assert capsys.readouterr().out.count("is there") == 2
    assert {path: path.stat().st_mtime_ns for path in (done / "out/runs").rglob("*") if path.is_file()} == before


def test_everything_that_a_store_lacks_is_one_line_before_anything_is_trained(made, tmp_path, capsys):
    changes = ["--set", "features.labels=bert", "--set", "features.audio=mine", "--set", "features.pseudo_labels=t"]
    assert run(write(tmp_path / "t.toml"), *data(made, tmp_path / "out"), *changes) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "t needs mine, labels/bert, pseudo_labels/t, which are not there" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a table or a figure"),
        (["leap-tabel2"], "there is no table 'leap-tabel2'. Did you mean leap-table2?"),
        (["leap-table2"], "give --store, --annotations and --out"),
    ],
)
def test_mistakes_are_one_line(capsys, arguments, words):
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_tables_and_rows_of_one_name_are_refused(tmp_path, capsys):
    """The second would take the place of the first."""
    (tmp_path / "other").mkdir()
    assert run(write(tmp_path / "t.toml"), write(tmp_path / "other/t.toml")) == 2
    assert "two tables are called t, of which one would be lost" in capsys.readouterr().err
    path = tmp_path / "rows.toml"
    path.write_text(TABLE.format(kind="parsing", columns="[]", first="a").replace("The same again", "One"))
    assert run(path) == 2
    assert "two rows are called 'One'. Rename one" in capsys.readouterr().err


@pytest.mark.parametrize("name", item_names())
def test_every_item_can_be_made_by_what_there_is(name):
    """Its recipes and settings exist, its columns are measured, and its published numbers have a column."""
    from pipeline.models.config_tables import model_config

    _, item = load_item(name)
    recipes = [row.load() for row in item.trained]
    for recipe in recipes:
        model_config(recipe.model)
    assert {row.recipe for row in item.trained} <= set(shipped_recipes())
    assert set(item.columns) <= set(headings())
    if item.columns:
        assert {column for row in item.rows for column in row.published} <= set(item.columns)
    assert len({row.name for row in item.rows}) == len(item.rows)
    assert all(row.published for row in item.rows if row.source or not row.recipe)
    assert str(needs_of(recipes))


def test_the_pace_of_every_recipe_is_known():
    """Measured by ``tests/benchmarks/training_pace.py``."""
    assert set(SECONDS_PER_THOUSAND_CLIPS) == set(shipped_recipes())


def test_the_list_names_every_item(capsys):
    assert run("--list") == 0
    out = capsys.readouterr().out
    for name in item_names():
        assert f"{name}: " in out
