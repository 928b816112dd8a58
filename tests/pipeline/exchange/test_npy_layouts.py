"""Published folders in and out."""

import re
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
import toy_store as toy

from pipeline.cli.main import main
from pipeline.exchange.exporting import export_features
from pipeline.exchange.importing import import_features
from pipeline.exchange.npy_layouts import LAYOUTS, parse_layout
from pipeline.exchange.verify import verify
from storage.clips import Clip, ClipTable
from storage.errors import InvalidInput, SchemaMismatch
from storage.store import FeatureStore

SHAPES = {"vggish": (10, 128), "res152": (80, 2048), "r2plus1d_18": (10, 512)}
IDS = [f"-_{i:07d}ab_{i}_{i + 10}" for i in range(7)]


def write(folder, kind, stem, array=None):
    path = folder / kind / f"{stem}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    if array is None:
        random = np.random.default_rng(zlib.crc32(f"{kind}{stem}".encode()))
        array = np.maximum(random.standard_normal(SHAPES[kind]), 0).astype(np.float32)
    np.save(path, array)
    return path


@pytest.fixture
def folder(tmp_path):
    for kind in SHAPES:
        for name in IDS:
            write(tmp_path / "feats", kind, name[:11])
    return tmp_path / "feats"


@pytest.fixture
def store(tmp_path):
    clips = [Clip(name, f"/m/{name}.mp4", i, i + 10, "test") for i, name in enumerate(IDS)]
    return FeatureStore.create(str(tmp_path / "s.zarr"), ClipTable(clips, dataset="llp"), shard_size=3)


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def test_import_then_export_is_byte_equal(tmp_path, folder):
    assert run("import", tmp_path / "s.zarr", folder, "--layout", "avvp-eccv20") == 0
    assert run("export", tmp_path / "s.zarr", tmp_path / "out", "--layout", "avvp-eccv20") == 0
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.npy")}
    after = {path.relative_to(tmp_path / "out"): path.read_bytes() for path in (tmp_path / "out").rglob("*")
             if path.is_file()}  # fmt: skip
    assert before == after
    assert len(before) == 21


def test_rows_follow_the_clip_table_by_the_first_11_characters(store, folder):
    report = import_features(store, folder, LAYOUTS["avvp-eccv20"])
    assert report.imported == {"vggish": 7, "resnet152": 7, "r2plus1d_18": 7}
    again = FeatureStore.open(store.url)
    np.testing.assert_array_equal(again.read("resnet152", [4])[0], np.load(folder / "res152" / f"{IDS[4][:11]}.npy"))
    assert again.provenance("vggish").weights_source == f"imported from {folder}"
    assert again.ledger("vggish").newest()[0].rows[0].clip_fingerprint.startswith("xxh3_128:")
    assert verify(store.url, deep=True).problems == []


def test_every_kind_of_bad_file_has_its_reason(store, folder, capsys):
    stems = [name[:11] for name in IDS]
    (folder / "vggish" / f"{stems[0]}.npy").unlink()
    truncated = folder / "vggish" / f"{stems[1]}.npy"
    truncated.write_bytes(truncated.read_bytes()[:-100])
    write(folder, "vggish", stems[2], np.zeros((10, 127), np.float32))
    bad = np.ones((10, 128), np.float32)
    bad[3, 4] = np.nan
    write(folder, "vggish", stems[3], bad)
    (folder / "vggish" / f"{stems[4]}.npy").write_bytes(b"")
    (folder / "vggish" / f"{stems[5]}.npy").write_bytes(b"hello, this is text")
    assert run("import", store.url, folder, "--layout", "avvp-eccv20") == 3
    rows = [row for record in FeatureStore.open(store.url).ledger("vggish").newest().values() for row in record.rows]
    assert [row.status for row in rows] == ["missing", *["unreadable"] * 5, "ok"]
    reasons = [row.reason for row in rows]
    said = (
        "no vggish/", "is truncated: holds 5020 bytes of 5120", "has the shape (10, 127)",
        "1 of its 1280 values are not finite", "is empty", "magic",
    )  # fmt: skip
    for reason, words in zip(reasons, said, strict=False):
        assert words in reason
    assert "vggish: 1 row imported, 6 failed" in capsys.readouterr().out
    # Mended files are taken by the next import, the others are left alone.
    for stem in stems[:6]:
        write(folder, "vggish", stem)
    values = store.root.read("features/resnet152/values/c/0/0/0")
    assert run("import", store.url, folder, "--layout", "avvp-eccv20") == 0
    assert "vggish: 6 rows imported, 1 row as before, 0 failed" in capsys.readouterr().out
    assert store.root.read("features/resnet152/values/c/0/0/0") == values
    assert FeatureStore.open(store.url).ledger("vggish").newest()[0].rows[0].attempt == 2
    assert verify(store.url, deep=True).problems == []


def test_a_second_import_does_nothing(store, folder):
    import_features(store, folder, LAYOUTS["avvp-eccv20"])
    report = import_features(store, folder, LAYOUTS["avvp-eccv20"])
    assert report.imported == dict.fromkeys(("vggish", "resnet152", "r2plus1d_18"), 0)
    assert report.kept["vggish"] == 7
    assert store.ledger("vggish").states()[0].commit == 1


def test_imported_rows_never_mix_with_extracted_ones(store, folder):
    store.ensure_feature(LAYOUTS["avvp-eccv20"][0].spec(), toy.origin("vggish"))
    toy.fill(store, store.spec("vggish"))
    with pytest.raises(SchemaMismatch, match="source 'media', asked for 'imported'"):
        import_features(store, folder, LAYOUTS["avvp-eccv20"][:1])
    import_features(store, folder, LAYOUTS["avvp-eccv20"][:1], rebuild=True)
    assert store.provenance("vggish").source == "imported"


def test_a_layout_of_ones_own(store, tmp_path):
    for name in IDS[:6]:
        target = tmp_path / "mine" / "a" / f"x-{name}.npy"
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, np.full((4, 3), float(name[7:9].strip("ab") or 1), np.float64))
    report = import_features(store, tmp_path / "mine", parse_layout("mine=a/x-{id}.npy:3"))
    assert report.imported == {"mine": 6}
    assert store.spec("mine").steps == 4
    assert [status for _, status, _ in report.failed["mine"]] == ["missing"]
    export_features(store, tmp_path / "out", parse_layout("mine=b/{id}.npy:4x3"))
    assert len(list((tmp_path / "out/b").iterdir())) == 6
    with pytest.raises(
        InvalidInput, match=r"mine is 4x3, the layout has 9x3\. Export it as it is: --layout '(.+)'$"
    ) as no:
        export_features(store, tmp_path / "out", parse_layout("mine=c/{id}.npy:9x3"))
    export_features(store, tmp_path / "out", parse_layout(str(no.value).split("'")[1]))
    assert len(list((tmp_path / "out/mine").iterdir())) == 6


@pytest.mark.parametrize(
    ("text", "steps", "modality", "seconds"),
    [
        ("mine=a/{id}.npy:128", 0, "visual", None),
        ("mine=a/{id}.npy:10x128", 10, "visual", None),
        ("mine=a/{id}.npy:10x128:audio", 10, "audio", None),
        ("mine=a/{id}.npy:10x128:1s", 10, "visual", 1.0),
        ("mine=a/{id}.npy:80x128:audio:0.125s", 80, "audio", 0.125),
    ],
)
def test_a_layout_says_modality_and_step(text, steps, modality, seconds):
    (part,) = parse_layout(text)
    assert (part.steps, part.dim, part.modality, part.step_seconds) == (steps, 128, modality, seconds)
    assert part.spec().modality == modality


def test_modality_and_step_reach_the_store(store, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    for name in IDS:
        np.save(tmp_path / "mine" / f"{name}.npy", np.ones((10, 3), np.float32))
    assert run("import", store.url, tmp_path, "--layout", "mine=mine/{id}.npy:3:audio:1s") == 0
    assert FeatureStore.open(store.url).spec("mine").time_grid == "10 steps of 1 s"
    assert FeatureStore.open(store.url).spec("mine").modality == "audio"
    assert run("import", store.url, tmp_path, "--layout", "long=mine/{id}.npy:3:audio:2s") == 2
    assert "long has 10 steps of 2 s, but a clip lasts 10 s" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["avvp", "x=folder:3", "x={id}.npy", "={id}.npy:3", "x={id}.npy:0x", "x={id}.npy:3:sound", "x={id}.npy:3:audio:1",
     "x={id}.npy:3:1s:audio"],
)  # fmt: skip
def test_a_layout_that_is_none(text):
    with pytest.raises(InvalidInput, match=r"expected avvp-eccv20, valor, .*, or NAME=PATTERN:DIM.*:10x512:audio:1s"):
        parse_layout(text)


@pytest.mark.parametrize("text", ["x={id}.npy:0", "x={id}.npy:0x3", "x={id}.npy:3:audio:0s", "x={id}.npy:3:0.0s"])
def test_a_layout_of_nothing(text):
    with pytest.raises(InvalidInput, match="must be more than 0"):
        parse_layout(text)


@pytest.mark.parametrize("layout", ["clip-clap-r2plus1d", "lsld"])
def test_folders_of_other_methods_come_in_and_go_out(tmp_path, layout):
    random = np.random.default_rng(0)
    for part in LAYOUTS[layout]:
        for name in IDS[:3]:
            path = part.file(tmp_path / "feats", name[:11])
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, random.standard_normal((part.steps, part.dim)).astype(np.float32))
    assert run("import", tmp_path / "s.zarr", tmp_path / "feats", "--layout", layout) == 0
    assert run("export", tmp_path / "s.zarr", tmp_path / "out", "--layout", layout) == 0
    files = sorted(path.relative_to(tmp_path / "feats") for path in (tmp_path / "feats").rglob("*.npy"))
    assert files == sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.npy"))
    assert all((tmp_path / "feats" / file).read_bytes() == (tmp_path / "out" / file).read_bytes() for file in files)


def test_layouts_are_named_as_our_extractors_name_their_arrays():
    from extractors import registry

    (clip, clap), (image, audio_map, stacks) = LAYOUTS["lsld"], LAYOUTS["clip-clap-r2plus1d"]
    assert registry.create("clip:ViT-B-16/openai@8fps").array_name == clip.array
    assert registry.create("clap:630k-audioset-best").array_name == clap.array
    assert [part.array for part in (image, audio_map, stacks)] == ["clip_vit_l14", "clap_map", "r2plus1d_18"]


ALIKE = ("birthday_party_morning", "birthday_party_evening")


def own(tmp_path, ids):
    return FeatureStore.create(str(tmp_path / "own.zarr"), ClipTable([Clip(name, "/m") for name in ids]))


def test_ids_that_begin_alike_have_files_of_their_own(tmp_path):
    store = own(tmp_path, ALIKE)
    for number, name in enumerate(ALIKE):
        write(tmp_path / "in", "vggish", name, np.full((10, 128), number, np.float32))
    write(tmp_path / "in", "vggish", ALIKE[0][:11], np.full((10, 128), 7, np.float32))  # of another clip
    assert run("import", store.url, tmp_path / "in", "--layout", "mine=vggish/{id}.npy:10x128") == 0
    assert FeatureStore.open(store.url).read("mine")[:, 0, 0].tolist() == [0, 1]
    assert run("export", store.url, tmp_path / "out", "--layout", "mine=vggish/{id}.npy:10x128") == 0
    assert sorted(path.name for path in (tmp_path / "out/vggish").iterdir()) == sorted(f"{name}.npy" for name in ALIKE)


def test_a_file_that_begins_like_an_id_is_not_its_file(tmp_path, capsys):
    store = own(tmp_path, ALIKE)
    write(tmp_path / "in", "vggish", ALIKE[0][:11])
    assert run("import", store.url, tmp_path / "in", "--layout", "mine=vggish/{id}.npy:10x128") == 2
    assert "no file of mine for any of the 2 clips; expected vggish/{id}.npy with e.g. birthday_party_morning" in (
        capsys.readouterr().err
    )


def test_two_clips_of_one_file(tmp_path, capsys):
    twice = (IDS[0], f"{IDS[0][:11]}_50_60", IDS[1])
    store = own(tmp_path, twice)
    for name in (IDS[0], IDS[1]):
        write(tmp_path / "in", "vggish", name[:11])
    options = ["--layout", "mine=vggish/{id}.npy:10x128"]
    assert run("import", store.url, tmp_path / "in", *options) == 2
    said = capsys.readouterr().err
    assert f"{IDS[0]!r} and {twice[1]!r} would share the name {IDS[0][:11]!r}. Name each by its whole id" in said
    assert said.count("\n") == 1
    for name in twice[:2]:
        write(tmp_path / "in", "vggish", name)
    assert run("import", store.url, tmp_path / "in", *options) == 0
    assert run("export", store.url, tmp_path / "out", *options) == 2
    said = capsys.readouterr().err
    assert "would share the name" in said
    assert "Export them apart: avvp store subset" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_missing_steps_on_export(store, tmp_path):
    from storage.ledger import Row
    from storage.writer import claim, commit_features

    part = LAYOUTS["avvp-eccv20"][0]
    store.ensure_feature(part.spec(), toy.origin("vggish"))
    values = np.ones((3, 10, 128), np.float32)
    values[0, 7:], values[1] = np.nan, np.nan
    rows = [Row(name, "ok", stored=at != 1) for at, name in enumerate(IDS[:3])]
    with claim(store, ["vggish"], 0):
        commit_features(store, "vggish", 0, values=values, valid=~np.isnan(values[..., 0]), rows=rows)
    for padding, files, last in (("skip", 1, None), ("zero", 2, 0.0), ("nan", 2, np.nan)):
        out = tmp_path / padding
        report = export_features(store, out, [part], padding=padding)
        assert report.written == {"vggish": files}
        if last is not None:
            np.testing.assert_array_equal(np.load(out / "vggish" / f"{IDS[0][:11]}.npy")[-1, 0], last)
    assert report.skipped["vggish"][0] == IDS[1]
    again = export_features(store, out, [part], padding="nan")
    assert (again.written, again.replaced) == ({"vggish": 2}, {"vggish": 2})
    assert not any(report.replaced.values())


def test_bad_input_is_one_line(tmp_path, store, capsys):
    assert run("import", store.url, tmp_path / "none", "--layout", "valor") == 2
    assert "none: no such folder" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run("import", store.url, tmp_path / "empty", "--layout", "valor") == 2
    assert "no file of clip_vit_l14 for any of the 7 clips" in capsys.readouterr().err
    assert run("import", tmp_path / "new.zarr", tmp_path / "empty", "--layout", "valor") == 2
    assert not Path(tmp_path / "new.zarr").exists()
    assert run("export", store.url, tmp_path / "out", "--layout", "valor") == 2
    assert "has none of clip_vit_l14, clap_map" in capsys.readouterr().err


def test_half_precision(store, folder):
    import_features(store, folder, LAYOUTS["avvp-eccv20"][:1], dtype="float16")
    assert store.read("vggish").dtype == np.float16
    assert verify(store.url, deep=True).problems == []


def test_a_folder_with_some_arrays_of_a_layout_says_how_to_import_them(store, folder, capsys):
    shutil.rmtree(folder / "res152")
    assert run("import", store.url, folder, "--layout", "avvp-eccv20") == 2
    err = capsys.readouterr().err
    assert "no file of resnet152 for any of the 7 clips; expected res152/{id}.npy" in err
    alone = re.findall(r"'([^']+:(?:audio|visual):[^']+)'", err)
    assert alone[0] == "vggish=vggish/{id}.npy:10x128:audio:1s"
    for layout in alone:
        assert run("import", store.url, folder, "--layout", layout) in (0, 3)
    assert [part.array for part in LAYOUTS["avvp-eccv20"] if part.array in store.features] == ["vggish", "r2plus1d_18"]
