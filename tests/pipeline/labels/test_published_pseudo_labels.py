import os
import pickle

import numpy as np
import pytest
import torch

from pipeline.datasets.dataset_description import load_description
from pipeline.labels.label_files import FOLDERS
from pipeline.labels.published_pseudo_labels import import_pseudo_labels
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
    assert found.provenance.maker == "valor"
    assert not import_pseudo_labels(url, folder, dataset=LLP)[1]


def test_files_of_other_clips(url, folder):
    for inner in FOLDERS.values():
        np.save(folder / inner / "00000000000.npy", np.zeros((10, 25), np.int64))
    with pytest.raises(InvalidInput, match=r"has no clip '00000000000' \(1 like this\).*--subset"):
        import_pseudo_labels(url, folder, dataset=LLP)
    assert import_pseudo_labels(url, folder, dataset=LLP, subset=True)[1]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.zeros((25, 10), np.int64),
            r"BjCEufrlXm4.npy: expected numbers from 0 to 1, \[10, 25\] .*got int64 \[25, 10\]",
        ),
        (np.full((10, 25), 2), "expected numbers from 0 to 1"),
        (np.full((10, 25), np.nan), "got float64 .* with values outside"),
        (np.array([None]), "not a .npy file"),
    ],
)
def test_malformed_files(url, folder, array, message):
    np.save(folder / FOLDERS["visual"] / "BjCEufrlXm4.npy", array)
    with pytest.raises(InvalidInput, match=message):
        import_pseudo_labels(url, folder, dataset=LLP)


def test_absent_files(url, folder, tmp_path):
    (folder / FOLDERS["visual"] / "BjCEufrlXm4.npy").unlink()
    with pytest.raises(InvalidInput, match=r"segment_pseudo_labels: has no visual labels of 'BjCEufrlXm4_20_30'"):
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


SOFT = np.random.default_rng(3).random((2, 10, 25)).astype(np.float32)
STEMS = [name[:11] for name in IDS[:2]]


def lsld(values):
    return {stem: torch.from_numpy(one.copy()) for stem, one in zip(STEMS, values, strict=True)}


def as_lsld(path, audio, visual):
    np.savez(path, label_a=np.array(lsld(audio), dtype=object), label_v=np.array(lsld(visual), dtype=object))


def as_arrays(path, audio, visual):
    np.savez(path, id=np.array(STEMS), audio=audio, visual=visual)


def as_arrays_of_numpy(path, audio, visual):
    parts = {"label_a": audio, "label_v": visual}
    np.savez(
        path, **{key: np.array(dict(zip(STEMS, value, strict=True)), dtype=object) for key, value in parts.items()}
    )


def as_pickle(path, audio, visual):
    path.write_bytes(pickle.dumps({"label_a": lsld(audio), "label_v": lsld(visual)}))


@pytest.mark.parametrize("write", [as_lsld, as_arrays, as_arrays_of_numpy, as_pickle])
@pytest.mark.parametrize("soft", [False, True])
def test_one_file_of_all_clips(url, tmp_path, write, soft):
    audio = SOFT if soft else (SOFT > 0.7).astype(np.float32)
    write(tmp_path / "labels.npz", audio, (SOFT < 0.2).astype(np.float32))
    made, written = import_pseudo_labels(url, tmp_path / "labels.npz", dataset=LLP, name="lsld")
    assert written
    found = LabelStore.open(url).read_pseudo_labels("lsld", classes=LLP.classes)
    np.testing.assert_array_equal(found.audio[:2], audio)
    np.testing.assert_array_equal(found.visual[:2], SOFT < 0.2)
    assert found.known.tolist() == [True, True, False]
    assert (made.soft, found.soft, found.audio.dtype) == (soft, soft, np.float32 if soft else np.uint8)
    assert found.provenance.facts.get("soft", False) is soft
    assert found.provenance.maker == "published"
    np.testing.assert_array_equal(found.decided()[0][:2], audio >= 0.5)
    assert found.audio_video[0].max() == audio[0].max()
    assert not import_pseudo_labels(url, tmp_path / "labels.npz", dataset=LLP, name="lsld")[1]


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"audio": SOFT, "visual": SOFT}, "has no text of the array id"),
        ({"id": np.array(STEMS), "audio": SOFT}, "lacks visual and label_v; it has audio, id"),
        ({"id": np.array(STEMS), "audio": SOFT, "visual": SOFT[:1]}, "of the array id for each clip of visual"),
        ({"id": np.array(STEMS[:1] * 2), "audio": SOFT, "visual": SOFT}, "has an id more than once"),
        ({"id": np.array(["x" * 11, STEMS[0]]), "audio": SOFT, "visual": SOFT}, "has no clip 'xxxxxxxxxxx'"),
        ({"id": np.array(STEMS), "audio": SOFT * 2, "visual": SOFT}, "expected numbers from 0 to 1"),
        ({"label_a": np.array(["a"], dtype=object), "label_v": SOFT}, "holds no dictionary"),
    ],
)  # fmt: skip
def test_a_file_of_something_else(url, tmp_path, arrays, words):
    np.savez(tmp_path / "labels.npz", **arrays)
    with pytest.raises(InvalidInput, match=words) as raised:
        import_pseudo_labels(url, tmp_path / "labels.npz", dataset=LLP)
    assert "\n" not in str(raised.value)


def test_a_pickle_that_calls_something_calls_nothing(url, tmp_path):
    (tmp_path / "evil.npz").write_bytes(pickle.dumps(Call(tmp_path / "called")))
    with pytest.raises(InvalidInput, match=r"asks for posix\.system|asks for os\.mkdir|asks for .*mkdir"):
        import_pseudo_labels(url, tmp_path / "evil.npz", dataset=LLP)
    np.savez(tmp_path / "evil2.npz", label_a=np.array(Call(tmp_path / "called"), dtype=object), label_v=SOFT)
    with pytest.raises(InvalidInput, match="asks for"):
        import_pseudo_labels(url, tmp_path / "evil2.npz", dataset=LLP)
    assert not (tmp_path / "called").exists()


class Call:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)
