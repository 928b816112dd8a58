import numpy as np
import pytest

from pipeline.datasets.dataset_description import load_description
from pipeline.labels.published_pseudo_labels import FOLDERS, import_pseudo_labels
from storage.clips import Clip, ClipTable
from storage.errors import InvalidInput
from storage.labels import LabelStore
from storage.store import FeatureStore

LLP = load_description("llp")
IDS = ("_a-b_c_d-ef_10_20", "BjCEufrlXm4_20_30", "7nSYwyaP4QE_50_60")


@pytest.fixture
def url(tmp_path):
    FeatureStore.create(tmp_path / "s.zarr", ClipTable([Clip(name, "/m") for name in IDS]))
    return str(tmp_path / "s.zarr")


@pytest.fixture
def folder(tmp_path):
    """Files of the first two clips, as VALOR saves them."""
    random = np.random.default_rng(0)
    for inner in FOLDERS.values():
        (tmp_path / "valor" / inner).mkdir(parents=True)
        for name in IDS[:2]:
            np.save(tmp_path / "valor" / inner / f"{name[:11]}.npy", random.integers(0, 2, (10, 25)))
    return tmp_path / "valor"


def test_published_files_become_rows(url, folder):
    _, written = import_pseudo_labels(url, folder, dataset=LLP)
    assert written
    found = LabelStore.open(url).read_pseudo_labels("valor", classes=LLP.classes)
    assert found.known.tolist() == [True, True, False]
    for row, name in enumerate(IDS[:2]):
        np.testing.assert_array_equal(found.audio[row], np.load(folder / FOLDERS["audio"] / f"{name[:11]}.npy"))
        np.testing.assert_array_equal(found.visual[row], np.load(folder / FOLDERS["visual"] / f"{name[:11]}.npy"))
    assert not found.audio[2].any()
    assert found.audio_logits is None
    assert found.provenance.facts["imported"]
    assert not import_pseudo_labels(url, folder, dataset=LLP)[1]


def test_files_of_other_clips(url, folder):
    for inner in FOLDERS.values():
        np.save(folder / inner / "00000000000.npy", np.zeros((10, 25), np.int64))
    with pytest.raises(InvalidInput, match=r"00000000000.npy: .* has no such clip \(1 files like this\).*--subset"):
        import_pseudo_labels(url, folder, dataset=LLP)
    assert import_pseudo_labels(url, folder, dataset=LLP, subset=True)[1]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((25, 10), np.int64), r"expected zeros and ones \[10, 25\] .*got int64 \[25, 10\]"),
        (np.full((10, 25), 2), "expected zeros and ones"),
        (np.array([None]), "not a .npy file"),
    ],
)
def test_malformed_files(url, folder, array, message):
    np.save(folder / FOLDERS["visual"] / "BjCEufrlXm4.npy", array)
    with pytest.raises(InvalidInput, match=message):
        import_pseudo_labels(url, folder, dataset=LLP)


def test_absent_files(url, folder, tmp_path):
    (folder / FOLDERS["visual"] / "BjCEufrlXm4.npy").unlink()
    with pytest.raises(InvalidInput, match=r"CLIP/segment_pseudo_labels: has no file for 'BjCEufrlXm4_20_30'"):
        import_pseudo_labels(url, folder, dataset=LLP)
    with pytest.raises(InvalidInput, match="no such folder"):
        import_pseudo_labels(url, tmp_path, dataset=LLP)


def test_two_clips_of_one_video_are_ambiguous(folder, tmp_path):
    FeatureStore.create(tmp_path / "t.zarr", ClipTable([Clip(IDS[1], "/m"), Clip("BjCEufrlXm4_30_40", "/m")]))
    with pytest.raises(InvalidInput, match="would share the name 'BjCEufrlXm4'"):
        import_pseudo_labels(tmp_path / "t.zarr", folder, dataset=LLP)


def test_whole_ids_tell_clips_of_one_video_apart(folder, tmp_path):
    clips = (IDS[1], "BjCEufrlXm4_30_40")
    FeatureStore.create(tmp_path / "t.zarr", ClipTable([Clip(name, "/m") for name in clips]))
    for inner in FOLDERS.values():
        (folder / inner / "BjCEufrlXm4.npy").unlink()
        for number, name in enumerate(clips):
            np.save(folder / inner / f"{name}.npy", np.full((10, 25), number))
    made, _ = import_pseudo_labels(tmp_path / "t.zarr", folder, dataset=LLP, subset=True)
    assert made.audio[:, 0, 0].tolist() == [0, 1]


def test_ids_that_are_not_llps_are_not_cut(folder, tmp_path):
    names = ("birthday_party_morning", "birthday_party_evening")
    FeatureStore.create(tmp_path / "t.zarr", ClipTable([Clip(name, "/m") for name in names]))
    for inner in FOLDERS.values():
        for name in (*names, "birthday_pa"):
            np.save(folder / inner / f"{name}.npy", np.full((10, 25), int(name == names[1])))
    made, _ = import_pseudo_labels(tmp_path / "t.zarr", folder, dataset=LLP, subset=True)
    assert made.audio[:, 0, 0].tolist() == [0, 1]


def test_two_files_of_one_clip(url, folder):
    for inner in FOLDERS.values():
        np.save(folder / inner / f"{IDS[0]}.npy", np.zeros((10, 25), np.int64))
    with pytest.raises(InvalidInput, match=r"are both of clip '_a-b_c_d-ef_10_20'"):
        import_pseudo_labels(url, folder, dataset=LLP)
