"""AVE's published HDF5 files become a store and label files, from which a recipe trains at once."""

import shutil

import ave_hdf5
import h5py
import numpy as np
import pytest

from pipeline.datasets.ave import load_events
from pipeline.exchange import hdf5_arrays
from pipeline.exchange.ave_hdf5 import import_ave, read_ave_folder
from storage.store import FeatureStore

COUNT, NOISY = 14, 3


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    return folder, *ave_hdf5.write_ave_folder(folder, count=COUNT, noisy=NOISY)


@pytest.fixture
def light(official, tmp_path):
    """The same folder, made of links; a test may put other files in their place."""
    folder = tmp_path / "light"
    folder.mkdir()
    for path in official[0].iterdir():
        (folder / path.name).symlink_to(path)

    def change(name, *values, **options):
        (folder / name).unlink(missing_ok=True)
        if values:
            ave_hdf5.put(folder, name, *values, **options)
        return folder

    change.folder = folder
    return change


def import_(avvp, store, folder, *more):
    return avvp("import", store, folder, "--layout", "ave-eccv18", *more)


def test_values_ids_and_labels(official, tmp_path, avvp):
    folder, audio, visual, split_of = official
    code, out, err = import_(avvp, tmp_path / "ave.zarr", folder, "--annotations", tmp_path / "labels")
    assert (code, err) == (0, "")
    assert "vgg19_pool5: 17 rows imported, 0 failed" in out
    store = FeatureStore.open(tmp_path / "ave.zarr")
    np.testing.assert_array_equal(store.read("vggish", None), audio.astype(np.float32))
    np.testing.assert_array_equal(store.read("vgg19_pool5", None), visual.reshape(17, 10, -1).astype(np.float32))
    spec = store.spec("vgg19_pool5")
    assert (spec.steps, spec.dim, spec.step_seconds, store.provenance("vggish").source) == (10, 25088, 1.0, "imported")
    labels = load_events(tmp_path / "labels")
    assert sorted(labels.ids) == sorted(store.ids)
    events = ave_hdf5.plan(COUNT)
    for row, clip in enumerate(store.clips.clips[:COUNT]):
        at = labels.ids.index(clip.id)
        assert clip.split == labels.splits[at] == split_of[row]
        np.testing.assert_array_equal(labels.one_hot[at], ave_hdf5.labels_of(events)[row])
    assert {clip.id[:11] for clip in store.clips.clips[:2]} == {ave_hdf5.video(0)}  # one video, two events
    assert store.ids[COUNT:] == ["noisy-00000", "noisy-00001", "noisy-00002"]
    assert labels.statistics()["train"]["without_event"] == NOISY
    assert (tmp_path / "labels/Annotations.txt").read_text().count("\n") == COUNT + 1


@pytest.mark.parametrize("recipe", ["avel-psp", "avel-cmbs-supervised"])
def test_from_the_published_files_to_a_score(official, tmp_path, avvp, recipe):
    store, labels = tmp_path / "ave.zarr", tmp_path / "labels"
    assert import_(avvp, store, official[0], "--annotations", labels)[0] == 0
    small = "model.encoder.hidden=8" if "psp" in recipe else "model.encoder.dim=16"
    code, out, err = avvp("train", "--recipe", recipe, "--store", store, "--annotations", labels, "--out",
                          tmp_path / "run", "--set", "train.epochs=1", "--set", small, "--device", "cpu")  # fmt: skip
    assert code == 0, err
    assert f"{recipe}, test, 3 videos" in out
    code, out, err = avvp("evaluate", "--run", tmp_path / "run", "--annotations", labels)
    assert code == 0, err
    assert "run, test, 3 videos" in out


def test_again_nothing_is_done_until_a_file_changes(official, light, tmp_path, avvp):
    folder = light.folder
    assert import_(avvp, tmp_path / "ave.zarr", folder)[0] == 0
    code, out, _ = import_(avvp, tmp_path / "ave.zarr", folder)
    assert code == 0
    assert "vggish: 0 rows imported, 17 rows as before, 0 failed" in out
    light("audio_feature.h5", np.full((COUNT, 10, 128), 0.5))
    code, out, _ = import_(avvp, tmp_path / "ave.zarr", folder)
    assert "vggish: 14 rows imported, 3 rows as before, 0 failed" in out
    found = FeatureStore.open(tmp_path / "ave.zarr").read("vggish", None)
    assert (found[:COUNT] == 0.5).all()
    np.testing.assert_array_equal(found[COUNT:], official[1][COUNT:].astype(np.float32))


def test_without_annotations_rows_are_named_by_their_number(light, tmp_path, avvp):
    light("Annotations.txt")
    code, _, err = import_(avvp, tmp_path / "ave.zarr", light.folder, "--annotations", tmp_path / "labels")
    assert code == 0
    assert "no Annotations.txt: the videos' ids are not known" in err
    store, labels = FeatureStore.open(tmp_path / "ave.zarr"), load_events(tmp_path / "labels")
    assert store.ids[:2] == ["row-0000000", "row-0000001"]
    at = labels.ids.index("row-0000004")
    np.testing.assert_array_equal(labels.one_hot[at], ave_hdf5.labels_of(ave_hdf5.plan(COUNT))[4])
    again = import_(avvp, tmp_path / "ave.zarr", light.folder, "--annotations", tmp_path / "labels")
    assert again[0] == 0
    (tmp_path / "labels/valSet.txt").write_text("x")
    code, _, err = import_(avvp, tmp_path / "ave.zarr", light.folder, "--annotations", tmp_path / "labels")
    assert code == 2
    assert "valSet.txt: already exists, with another content" in err


def test_annotations_elsewhere_and_fewer_files(light, tmp_path, avvp):
    text = light.folder / "Annotations.txt"
    shutil.copy(text, tmp_path / "Annotations.txt")
    for name in ("Annotations.txt", "labels.h5", "mil_labels.h5", "visual_feature_noisy.h5"):
        light(name)
    for split in ave_hdf5.SPLITS:
        light(f"{split}_order.h5")
    code, _, err = import_(avvp, tmp_path / "ave.zarr", light.folder, "--clips", tmp_path)
    assert code == 0
    assert "clips without an event are left out: visual_feature_noisy.h5 is not there" in err
    assert "no train_order.h5 and so on: the clips have no split" in err
    store = FeatureStore.open(tmp_path / "ave.zarr")
    assert len(store.ids) == COUNT
    assert store.ids[:2] == [ave_hdf5.video(0), f"{ave_hdf5.video(0)}#2"]


def test_blocks_of_a_compressed_file_are_read_once(tmp_path, monkeypatch):
    ave_hdf5.put(tmp_path, "x.h5", np.arange(60.0).reshape(20, 3), chunks=(8, 3), compression="gzip")
    monkeypatch.setattr(hdf5_arrays, "_MOST_ROWS", 5)
    with hdf5_arrays.opened(tmp_path / "x.h5", "avadataset") as array:
        rows = hdf5_arrays.HDF5Rows(array)
        for at in (0, 1, 19, 4, 5, 12, 2):
            np.testing.assert_array_equal(rows[at], array[at])
        assert len(rows._held) == 2


def test_a_bad_row_is_a_row_of_the_ledger(official, light, tmp_path, avvp):
    values = np.array(official[1][:COUNT])
    values[5, 2, 7] = np.nan
    light("audio_feature.h5", values)
    code, out, _ = import_(avvp, tmp_path / "ave.zarr", light.folder)
    assert code == 3
    assert "vggish: 16 rows imported, 1 failed" in out
    assert "1 of its 1280 values are not finite" in " ".join(out.split())
    store = FeatureStore.open(tmp_path / "ave.zarr")
    assert not store.valid("vggish", [5]).any()
    assert store.valid("vgg19_pool5", [5]).all()


def longer(labels):
    labels[3, :, :] = np.eye(29)[ave_hdf5.plan(COUNT)[3][0]]
    return labels


def test_labels_that_differ_in_time_are_told(light, tmp_path, avvp):
    light("labels.h5", longer(ave_hdf5.labels_of(ave_hdf5.plan(COUNT))))
    code, _, err = import_(avvp, tmp_path / "ave.zarr", light.folder)
    assert code == 0
    assert "1 events last longer or shorter in the labels than in Annotations.txt, e.g. row 3" in err


def two_spans(labels):
    labels[2] = np.eye(29)[28]
    labels[2, [0, 5]] = np.eye(29)[2]
    return labels


LABELS = ave_hdf5.labels_of(ave_hdf5.plan(COUNT))
FAULTS = {
    "features absent": (("audio_feature.h5",), "audio_feature.h5: no such file"),
    "other key": (("audio_feature.h5", LABELS, "features"), "has no array 'avadataset', it holds features"),
    "other shape": (("audio_feature.h5", np.zeros((COUNT, 10, 64))), "[14, 10, 64], expected [14, 10, 128]"),
    "other rows": (("audio_feature.h5", np.zeros((13, 10, 128))), "audio_feature.h5 13, visual_feature.h5 14"),
    "text": (("audio_feature.h5", np.full((COUNT, 10, 128), b"x")), "avadataset holds |S1, expected numbers"),
    "labels' shape": (("labels.h5", LABELS[:, :9]), "[14, 9, 29], expected [14, 10, 29]"),
    "no label": (("labels.h5", LABELS * 0), "expected a single 1 in the classes of each row"),
    "labels in another order": (("labels.h5", LABELS[::-1]), "events have another class in the labels, e.g. row"),
    "categories": (("mil_labels.h5", np.eye(29)[[3] * COUNT]), "rows have another class than their event, e.g. row 0"),
    "a split absent": (("val_order.h5",), "val_order.h5: no such file, but train_order.h5 is there"),
    "a row that is not there": (("val_order.h5", [COUNT], "order"), "expected row numbers from 0 to 13"),
    "a row in two splits": (("val_order.h5", list(range(COUNT)), "order"), "is in train already"),
    "an order of no rows": (("val_order.h5", 3, "order"), "order is a single number, expected rows"),
    "noisy rows": (("audio_feature_noisy.h5", np.zeros((2, 10, 128))), "have different numbers of rows"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_files_are_one_line(light, tmp_path, avvp, fault):
    arguments, words = FAULTS[fault]
    light(*arguments[:2], **({"key": arguments[2]} if len(arguments) > 2 else {}))
    code, _, err = import_(avvp, tmp_path / "ave.zarr", light.folder)
    last = err.strip().splitlines()[-1]
    assert code == 2
    assert words in last
    assert not (tmp_path / "ave.zarr").exists()


def test_other_mistakes_are_one_line(light, tmp_path, avvp):
    folder = light("labels.h5", two_spans(np.array(LABELS)))
    text = (folder / "Annotations.txt").read_text()
    light("Annotations.txt")
    store = tmp_path / "ave.zarr"
    (tmp_path / "Annotations.txt").write_text(text.rsplit("\n", 2)[0])
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/audio_feature.h5").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    for arguments, words in (
        ((folder,), "row 2 of the labels has several events"),
        ((folder, "--clips", tmp_path), "has 13 events, the features 14 rows"),
        ((folder, "--clips", tmp_path / "x"), "no such file. Give Annotations.txt or its folder"),
        ((folder, "--media", tmp_path), "--media is not for --layout ave-eccv18"),
        ((tmp_path / "none",), "no such folder"),
        ((tmp_path / "damaged",), "not an HDF5 file that can be read"),
    ):
        code, _, err = import_(avvp, store, *arguments)
        assert code == 2
        assert words in err
        assert err.count("\n") == 1
    light("labels.h5")
    assert "has neither Annotations.txt nor labels.h5" in import_(avvp, store, folder)[2]
    code, _, err = avvp("import", store, folder, "--layout", "valor", "--annotations", tmp_path / "a")
    assert (code, "--annotations is for --layout ave-eccv18" in err) == (2, True)
    assert not store.exists()


def test_splits_are_needed_for_label_files(light, tmp_path, avvp):
    for split in ave_hdf5.SPLITS:
        light(f"{split}_order.h5")
    code, _, err = import_(avvp, tmp_path / "ave.zarr", light.folder, "--annotations", tmp_path / "labels")
    assert code == 2
    assert "--annotations: needs train_order.h5 and so on" in err
    assert not (tmp_path / "ave.zarr").exists()


def test_a_store_of_other_clips_is_refused(light, tmp_path, avvp):
    assert import_(avvp, tmp_path / "ave.zarr", light.folder)[0] == 0
    light("audio_feature_noisy.h5")
    code, _, err = import_(avvp, tmp_path / "ave.zarr", light.folder)
    assert code != 0
    assert "ave.zarr" in err


def test_rows_in_blocks_of_the_file_are_the_same(official, tmp_path):
    folder = tmp_path / "chunked"
    audio, *_ = ave_hdf5.write_ave_folder(folder, count=8, noisy=0, chunks=3)
    with h5py.File(folder / "visual_feature.h5") as file:
        assert file["avadataset"].chunks[0] == 3
    found = read_ave_folder(folder)
    store = FeatureStore.create(str(tmp_path / "s.zarr"), found.table(source="x"), shard_size=5)
    report = import_ave(store, folder, found.rows, dtype="float16")
    assert report.imported == {"vggish": 8, "vgg19_pool5": 8}
    np.testing.assert_allclose(store.read("vggish", None), audio, atol=1e-3)
