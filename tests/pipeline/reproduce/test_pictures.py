"""Figures of the papers: drawn from the runs of an item's rows, with the arrays beside them."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from pipeline.cli.main import main

LEAP = 'recipe = "leap-han"\nset = ["model.width=16", "model.decoder.heads=2", "train.epochs=1"]'
MMCSE = (
    'recipe = "mmcse"\nset = ["model.width=16", "model.class_dim=8", "model.heads=2", "model.layers=1", '
    '"model.feed_forward=8", "train.epochs=1"]'
)
ITEM = 'title = "x"\npaper = "x"\nkind = "{kind}"\npicture = "{picture}"\n[[rows]]\nname = "One / two"\n{row}\n'


@pytest.fixture(scope="module")
def drawn(made, tmp_path_factory):
    """All pictures, from two runs."""
    folder = tmp_path_factory.mktemp("pictures")
    pictures = {"bars": LEAP, "timelines": LEAP, "attention": LEAP, "co_occurrence": MMCSE, "class_vectors": MMCSE}
    for picture, row in pictures.items():
        kind = "classes" if picture == "bars" else "picture"
        (folder / f"{picture}.toml").write_text(ITEM.format(kind=kind, picture=picture, row=row))
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", *(str(folder / f"{picture}.toml") for picture in pictures), "--clip", "synth-00050",
              "--store", str(made / "features.zarr"), "--annotations", str(made / "annotations"),
              "--out", str(folder / "out")])  # fmt: skip
    assert ended.value.code == 0
    return folder / "out"


@pytest.mark.parametrize(
    "file",
    [
        "bars/classes.svg", "timelines/synth-00050_0_10.svg", "attention/One---two/synth-00050_0_10.svg",
        "co_occurrence/One---two/co_occurrence.svg", "class_vectors/One---two/class_vectors.svg",
    ],
)  # fmt: skip
def test_each_picture_is_whole(drawn, file):
    root = ElementTree.parse(drawn / file).getroot()
    assert root.tag.endswith("svg")
    assert len(root) > 5


def test_only_the_chosen_clip_is_drawn(drawn):
    assert [path.name for path in (drawn / "timelines").iterdir()] == ["synth-00050_0_10.svg"]


def test_true_co_occurrence_counts_seconds(drawn, made):
    from pipeline.datasets.llp import load_annotations

    truth = load_annotations(made / "annotations").split("test")
    found = np.load(drawn / "co_occurrence/One---two/co_occurrence.npz")
    heard, seen = truth.audio.reshape(-1, 25), truth.visual.reshape(-1, 25)
    row = int(heard.sum(axis=0).argmax())
    expected = (heard[:, row, None] & seen).sum(axis=0) / heard[:, row].sum()
    np.testing.assert_allclose(found["audio_visual_true"][row], expected, rtol=1e-6)
    np.testing.assert_allclose(found["visual_audio_attention"].sum(axis=1), 1, rtol=1e-4)


def test_points_are_the_true_events(drawn, made):
    from pipeline.datasets.llp import load_annotations

    truth = load_annotations(made / "annotations").split("test")
    found = np.load(drawn / "class_vectors/One---two/class_vectors.npz")
    assert len(found["decoupled audio: points"]) == truth.audio.sum()
    assert len(found["holistic visual: points"]) == (truth.visual.sum(axis=2) == 1).sum()
    assert np.isfinite(found["decoupled visual: points"]).all()


def test_the_result_says_where_its_pictures_are(drawn):
    assert str(drawn / "attention") in (drawn / "attention.md").read_text()
    assert json.loads((drawn / "attention.json").read_text())["rows"][0]["ours"] == []


def test_a_picture_of_another_system_is_one_line(drawn, made, capsys):
    file = drawn.parent / "wrong.toml"
    file.write_text(ITEM.format(kind="picture", picture="co_occurrence", row=LEAP))
    with pytest.raises(SystemExit) as ended:
        main(["reproduce", str(file), "--store", str(made / "features.zarr"), "--annotations",
              str(made / "annotations"), "--out", str(drawn)])  # fmt: skip
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "has no vectors of classes. Give a run of MM-CSE" in error
    assert error.count("\n") == 1
