"""Each fault is made from known features, and must be named; equal features are equal, and noise has no cause."""

import json

import numpy as np
import pytest

from pipeline.cli.main import main
from storage.clips import Clip, ClipTable
from storage.ledger import Row
from storage.schema import FeatureSpec, Provenance
from storage.store import FeatureStore
from storage.writer import claim, commit_features

CLIPS, STEPS, DIM = 24, 20, 32
IDS = [f"v{number:02d}" for number in range(CLIPS)]
LAYOUT = "mine=mine/{id}.npy:32"


def smooth(count, steps, dim, seed=0, *, each=8):
    """Clips that differ from each other and drift in time: ``[clips, steps * each, dim]``."""
    random = np.random.default_rng(seed)
    walk = random.standard_normal((count, steps * each + 40, dim)).cumsum(axis=1)
    kernel = np.hanning(41) / np.hanning(41).sum()
    walk = np.apply_along_axis(np.convolve, 1, walk, kernel, mode="valid")[:, : steps * each]
    return (walk / walk.std() + random.standard_normal((count, 1, dim))).astype(np.float32)


FINE = smooth(CLIPS, STEPS, DIM)
OURS = FINE[:, 4::8]
POSITIVE = np.maximum(OURS, 0)
NOISE = np.random.default_rng(5).standard_normal(OURS.shape).astype(np.float32)


def units(values):
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def made_store(folder, values, *, modality="visual", seconds=0.5, ids=IDS):
    store = FeatureStore.create(str(folder / "s.zarr"), ClipTable([Clip(name, "/m") for name in ids]))
    spec = FeatureSpec("mine", values.shape[1], values.shape[2], modality, seconds)
    store.ensure_feature(spec, Provenance("mine", "1", "random:0", {}, "uniform"))
    with claim(store, ["mine"], 0):
        rows = [Row(name, "ok", stored=True) for name in ids]
        commit_features(store, "mine", 0, values=values, valid=np.ones(values.shape[:2], bool), rows=rows)
    return store


def write_files(folder, values, ids=IDS):
    (folder / "mine").mkdir(exist_ok=True)
    for name, array in zip(ids, values, strict=True):
        np.save(folder / "mine" / f"{name}.npy", array)


@pytest.fixture
def compared(tmp_path, capsys):
    """A function: what the command finds for the store's and the published values."""

    def compare(ours, theirs, *, layout=LAYOUT, options=(), **more):
        made_store(tmp_path, ours, **more)
        write_files(tmp_path, theirs)
        with pytest.raises(SystemExit) as ended:
            main(["compare-features", str(tmp_path / "s.zarr"), str(tmp_path), "--layout", layout, "--json", *options])
        assert ended.value.code == 0
        (found,) = json.loads(capsys.readouterr().out)["arrays"]
        return found

    return compare


def between(first, last):
    """Published steps at other moments of the same clips, on a fine grid."""
    at = 4 + 8 * np.linspace(first, STEPS - 1 + last, STEPS)
    return FINE[:, np.clip(np.round(at).astype(int), 0, FINE.shape[1] - 1)]


def pca(values):
    """AudioSet's postprocessing in small: an orthogonal map, whitened, cut to [-2, 2]."""
    flat = values.reshape(-1, values.shape[-1])
    centred = flat - flat.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    white = centred @ directions.T / sizes * np.sqrt(len(flat))
    return white.reshape(values.shape).astype(np.float32)


def eight_bits(values):
    return np.round((np.clip(values, -2, 2) + 2) * 255 / 4).astype(np.uint8)


def colours(order):
    """A network of fixed weights on moving coloured frames, which are given in another order of colours."""
    random = np.random.default_rng(2)
    first, second = random.standard_normal((3 * 16, 64)) / 7, random.standard_normal((64, DIM)) / 8
    grey = smooth(CLIPS, STEPS, 16, 3)[:, 4::8, None]
    frames = (grey + 0.35 * smooth(CLIPS, STEPS, 48, 4)[:, 4::8].reshape(CLIPS, STEPS, 3, 16))[:, :, order]
    return (np.maximum(frames.reshape(CLIPS, STEPS, 48) @ first, 0) @ second).astype(np.float32)


def other_network(values, seed):
    random = np.random.default_rng(seed)
    return np.tanh(values @ random.standard_normal((DIM, DIM)) / 6).astype(np.float32)


SCRAMBLED = np.random.default_rng(1).permutation(DIM)
VGGISH = np.maximum(smooth(CLIPS, STEPS, 128, 7)[:, 4::8], 0)
FAULTS = {
    "normalised there": (OURS, units(OURS), "the published features are L2-normalised, the store's are not"),
    "normalised here": (units(OURS), OURS, "the store's features are L2-normalised, the published are not"),
    "scale": (2.5 * OURS, OURS, "another scale: the store's features are 2.5 times the published"),
    "later": (np.roll(FINE, 24, 1)[:, 4::8], OURS, "shifted: the published come 3 steps (1.5 s) later in the store"),
    "earlier": (np.roll(FINE, -16, 1)[:, 4::8], OURS, "shifted: the published come 2 steps (1 s) earlier in the store"),
    "half a step": (OURS, between(0.5, 0.5), "shifted: the published come 0.5 steps (0.25 s) later in the store"),
    "relu there": (OURS, POSITIVE, "the published features are after a ReLU, the store's before it"),
    "relu here": (POSITIVE, OURS, "the store's features are after a ReLU, the published before it"),
    "8 bits of a PCA": (pca(VGGISH), eight_bits(pca(VGGISH)),
                        "the published features are 8-bit VGGish after AudioSet's PCA, the store's the same before"),
    "8 bits, raw here": (VGGISH, eight_bits(pca(VGGISH)),
                         "the published features are 8-bit VGGish after AudioSet's PCA, the store's are raw"),
    "8 bits here": (eight_bits(pca(VGGISH)).astype(np.float32), VGGISH,
                    "the store's features are 8-bit VGGish after AudioSet's PCA, the published are raw embeddings"),
    "rounded": (eight_bits(OURS).astype(np.float32), np.maximum(eight_bits(OURS), 1) - (NOISE > 0),
                "both are 8-bit numbers; one side rounds, the other cuts off"),
    "decoder": (OURS, OURS * (1 + 0.01 * NOISE), "almost the same: the difference is 1 % of the published"),
    "PCA": (OURS, pca(OURS), "the published are a linear map of the store's, such as PCA, whitening or a projection"),
    "reversed": (OURS, OURS[:, ::-1], "the published steps are the store's reversed in time"),
    "flattened": (OURS, OURS[:, :, SCRAMBLED], "the same numbers in another order within a step: axes flattened"),
    "next file": (OURS, np.roll(OURS, 1, 0), "files belong to other clips: that of 'v00' holds the store's 'v23'"),
    "sampling": (OURS, between(0.0, -1.5),
                 "other sampling: the 20 published steps lie between the store's steps 0.0 and 17.5"),
    "sampling at both ends": (OURS, between(0.9, -0.9),
                              "other sampling: the 20 published steps lie between the store's steps 0.9 and 18.1"),
    "colours": (colours([0, 1, 2]), colours([2, 1, 0]),
                "other pixels of the same moments: another colour order (RGB or BGR)"),
    "backbone": (other_network(OURS, 1), other_network(OURS, 2), "another backbone altogether, or other weights"),
    "layer": (OURS, smooth(CLIPS, STEPS, 48),
              "another backbone, layer or projection: 32 values a step in the store, 48"),
    "more steps": (OURS, np.repeat(OURS, 2, axis=1) * 2, "other steps: 20x32 in the store, 40x32 in the files"),
    "odd steps": (OURS, FINE[:, 4::8][:, :17], "other steps: 20x32 in the store, 17x32 in the files, so no step"),
    "nothing": (OURS, NOISE, "no single cause"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_named(compared, fault):
    ours, theirs, words = FAULTS[fault]
    layout = LAYOUT if ours.shape[2] == DIM else LAYOUT.replace("32", str(ours.shape[2]))
    assert words in compared(ours, theirs, layout=layout)["verdict"]


def test_two_faults_are_two_causes(compared):
    found = compared(np.roll(FINE, 24, 1)[:, 4::8], units(OURS))
    assert [cause["name"] for cause in found["causes"]] == ["normalisation", "shift"]


def test_equal_is_equal(compared):
    found = compared(OURS, OURS.astype(np.float16))
    assert found["verdict"] == "equal within 0.001"
    assert found["causes"] == []
    assert found["clips"] == {"compared": CLIPS, "equal": CLIPS, "without_file": 0, "without_features": 0,
                              "unusable_files": 0, "first_unusable": None}  # fmt: skip
    assert found["cosine"]["mean"] == pytest.approx(1, abs=1e-5)
    assert found["scale"] == {"norm_ratio": pytest.approx(1, abs=1e-3), "store_normalised": False,
                              "files_normalised": False}  # fmt: skip


def test_the_tolerance_is_what_one_gives(compared):
    assert compared(OURS, OURS.astype(np.float16), options=["--tolerance", "1e-6"])["verdict"] != "equal within 1e-06"


def test_sound_has_no_colours(compared):
    found = compared(OURS, OURS + 0.3 * NOISE, modality="audio")
    assert "other samples of the same moments: another resampling" in found["verdict"]
    assert found["offset"]["steps"] == 0


def test_a_few_clips_that_differ(compared):
    theirs = OURS.copy()
    theirs[3:5] = 2 * theirs[3:5]
    found = compared(OURS, theirs)
    assert found["verdict"].startswith("22 of 24 clips are equal within 0.001; the others: another scale")
    assert found["largest_difference"]["clip"] in ("v03", "v04")


def test_still_clips_have_no_offset(compared):
    still = np.repeat(OURS[:, :1], STEPS, axis=1)
    assert compared(still, 3 * still)["offset"] is None


def test_many_numbers_of_one_distribution_are_not_the_same_numbers():
    from pipeline.exchange.difference_causes import Sample, likely_causes

    one, other = np.random.default_rng(1).standard_normal((2, 3, 80, 1280)).astype(np.float32)
    assert likely_causes(Sample(("a", "b", "c"), one, other, "visual", 0.125)) == ()


@pytest.mark.parametrize("seed", range(5))
def test_what_has_nothing_in_common_has_no_cause(compared, seed):
    found = compared(OURS, smooth(CLIPS, STEPS, DIM, seed + 50)[:, 4::8])
    assert found["verdict"] == "no single cause"


def test_for_people(tmp_path, capsys):
    made_store(tmp_path, OURS)
    write_files(tmp_path, OURS[2:] * 2, IDS[2:])
    np.save(tmp_path / "mine" / "v02.npy", np.full((STEPS, DIM), np.nan))
    with pytest.raises(SystemExit) as ended:
        main(["compare-features", str(tmp_path / "s.zarr"), str(tmp_path), "--layout", LAYOUT])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "mine: 21 clips compared, 2 without a file, 1 whose file cannot be used" in out
    assert "v02.npy: expected numbers that are finite" in out
    assert "cosine      1.0000 on average" in out
    assert "scale       0.5 times the published; store not normalised, files not normalised" in out
    assert "verdict     another scale: the store's features are 0.5 times the published" in out


def test_without_a_layout_the_folder_says_it(tmp_path, capsys):
    from pipeline.exchange.npy_layouts import LAYOUTS

    part = LAYOUTS["avvp-eccv20"][0]
    store = FeatureStore.create(str(tmp_path / "s.zarr"), ClipTable([Clip(name, "/m") for name in IDS]))
    store.ensure_feature(part.spec(), Provenance("vggish", "1", "random:0", {}, "uniform"))
    values = np.abs(smooth(CLIPS, 10, 128)[:, ::8])
    with claim(store, ["vggish"], 0):
        rows = [Row(name, "ok", stored=True) for name in IDS]
        commit_features(store, "vggish", 0, values=values, valid=np.ones(values.shape[:2], bool), rows=rows)
    write_files(tmp_path, values)
    (tmp_path / "mine").rename(tmp_path / "vggish")
    with pytest.raises(SystemExit) as ended:
        main(["compare-features", store.url, str(tmp_path)])
    assert ended.value.code == 0
    assert "vggish: 24 clips compared" in capsys.readouterr().out


def test_bad_input_is_one_line(tmp_path, capsys):
    made_store(tmp_path, OURS)
    (tmp_path / "mine").mkdir()

    def ends(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["compare-features", str(tmp_path / "s.zarr"), *map(str, arguments)])
        err = capsys.readouterr().err
        assert ended.value.code == 2
        assert err.count("\n") == 1
        return err

    assert "none: no such folder" in ends(tmp_path / "none")
    assert "has no files of" in ends(tmp_path)
    assert "has none of other; there are mine" in ends(tmp_path, "--layout", "other=mine/{id}.npy:3")
    assert "no clip has both mine in" in ends(tmp_path, "--layout", LAYOUT)
    (tmp_path / "mine" / "v00.npy").write_text("nothing")
    assert "1 files cannot be used, the first because" in ends(tmp_path, "--layout", LAYOUT)
