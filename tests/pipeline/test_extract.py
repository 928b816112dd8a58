import hashlib
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from pipeline.extraction import worker_process
from pipeline.extraction.extract import extract as extract_features
from pipeline.extraction.options import ExtractOptions
from storage.clips import ClipTable
from storage.store import FeatureStore

TOYS = ("--backbone", "toy_visual", "--backbone", "toy_audio", "--weights", "random:0", "--clip-seconds", 2)


def extract(avvp, clips, store, *arguments, toys=TOYS):
    return avvp("extract", "--clips", clips, "--store", store, *toys, *arguments)


def hashes(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def filled(avvp, six_clips, tmp_path):
    store = tmp_path / "s.zarr"
    code, out, _ = extract(avvp, six_clips, store, "--shard-size", 4)
    assert (code, "2 shards, 6 clips read" in out, "0 failed" in out) == (0, True, True)
    return store


def test_every_clip_has_its_features(filled):
    store = FeatureStore.open(filled)
    assert store.features == ("toy_audio", "toy_visual")
    colours = store.read("toy_visual").mean(axis=1)
    assert store.read("toy_visual").shape == (6, 8, 3)
    assert colours[0].argmax() == 0
    assert colours[2].argmax() == 2
    assert store.status("toy_audio").tolist() == [1] * 6
    assert np.isfinite(store.read("toy_audio")).all()
    assert store.valid("toy_visual").all()


def test_running_again_does_nothing(avvp, six_clips, filled):
    before = hashes(filled)
    code, out, _ = extract(avvp, six_clips, filled)
    assert code == 0
    assert "nothing to do" in out
    assert hashes(filled) == before


def test_a_part_to_which_no_shard_falls_says_so(avvp, six_clips, filled):
    code, out, _ = extract(avvp, six_clips, filled, "--shards", "2/5")
    assert (code, "nothing to do, it has 2 shards; none falls to --shards 2/5" in " ".join(out.split())) == (0, True)
    code, out, _ = extract(avvp, six_clips, filled, "--shards", "0/2")
    assert code == 0
    assert re.search("nothing to do, all rows of .* in shards 0/2 are there", " ".join(out.split()))


def test_adding_a_backbone_changes_no_other_array(avvp, six_clips, filled):
    before = hashes(filled)
    code, _, _ = extract(avvp, six_clips, filled, "--backbone", "toy_visual@8fps")
    assert code == 0
    after = hashes(filled)
    assert {path: after[path] for path in before} == before
    assert FeatureStore.open(filled).read("toy_visual_8fps").shape == (6, 16, 3)


def test_scores_join_the_features_that_a_store_has(avvp, six_clips, tmp_path):
    """The variant's features are the plain backbone's: neither run finds a difference, nor writes them again."""
    plain, scores = (
        ("--backbone", name, "--weights", "random:0", "--clip-seconds", 2)
        for name in ("efficientnet_lite0@1fps", "efficientnet_lite0:scores@1fps")
    )
    store = tmp_path / "s.zarr"
    assert extract(avvp, six_clips, store, toys=plain)[0] == 0
    before = hashes(store)
    assert extract(avvp, six_clips, store, toys=scores)[0] == 0
    after = hashes(store)
    assert {path: after[path] for path in before} == before
    opened = FeatureStore.open(store)
    np.testing.assert_allclose(opened.read("efficientnet_lite0_scores_1fps").sum(axis=2), 1, atol=1e-5)
    assert "nothing to do" in extract(avvp, six_clips, store, toys=plain)[1]
    assert opened.provenance("efficientnet_lite0_1fps").backbone == "efficientnet_lite0@1fps"
    assert opened.provenance("efficientnet_lite0_scores_1fps").backbone == "efficientnet_lite0:scores@1fps"
    code, _, err = extract(avvp, six_clips, store, "--backbone", "efficientnet_lite0@1fps", toys=scores)
    assert code == 2
    assert "both give the array efficientnet_lite0_1fps: leave out one of them" in err


def test_rebuild_replaces_that_array_only(avvp, six_clips, filled):
    other = ("--backbone", "toy_visual", "--weights", "random:5", "--clip-seconds", 2)
    code, _, err = extract(avvp, six_clips, filled, toys=other)
    assert code == 2
    assert "weights 'random:0', asked for 'random:5'" in err
    before = {path: digest for path, digest in hashes(filled).items() if "toy_audio" in path}
    values = FeatureStore.open(filled).read("toy_visual")
    code, _, _ = extract(avvp, six_clips, filled, "--rebuild", toys=other)
    assert code == 0
    np.testing.assert_allclose(FeatureStore.open(filled).read("toy_visual"), values + 5, atol=1e-4)
    after = hashes(filled)
    assert {path: after[path] for path in before} == before


def test_a_run_does_not_depend_on_its_shards(avvp, six_clips, filled, tmp_path):
    extract(avvp, six_clips, tmp_path / "one.zarr", "--shard-size", 1, "--workers", 1)
    for name in ("toy_visual", "toy_audio"):
        one, many = FeatureStore.open(tmp_path / "one.zarr").read(name), FeatureStore.open(filled).read(name)
        np.testing.assert_array_equal(one, many)


def test_failures_are_named_and_the_others_stored(avvp, six_clips, tmp_path):
    clips = shutil.copytree(six_clips, tmp_path / "clips")
    (clips / "7 empty.mp4").write_bytes(b"")
    (clips / "8 text.mp4").write_text("this is not a film\n" * 100)
    store = tmp_path / "s.zarr"
    code, out, _ = extract(avvp, clips, store)
    assert code == 3
    assert "2 failed" in out
    assert "the file is empty" in out
    assert FeatureStore.open(store).status("toy_visual").tolist() == [1] * 6 + [4, 4]
    code, out, _ = avvp("status", store)
    assert code == 0
    assert "7 empty" in out
    code, out, _ = avvp("status", store, "--json")
    arrays = json.loads(out)["arrays"]
    assert arrays["toy_audio"]["statuses"] == {"ok": 6, "unreadable": 2}
    assert arrays["toy_audio"]["failures"][0]["count"] == 1
    code, out, _ = extract(avvp, clips, store)
    assert (code, "2 clips failed in earlier runs" in out) == (3, True)


def test_retry_redoes_the_failed_only_and_counts_the_attempt(avvp, six_clips, make_clip, tmp_path):
    clips = shutil.copytree(six_clips, tmp_path / "clips")
    (clips / "9 late.mp4").write_bytes(b"")
    store = tmp_path / "s.zarr"
    extract(avvp, clips, store, "--shard-size", 3)
    before = hashes(store)
    code, _, _ = extract(avvp, clips, store, "--retry-failed")
    assert code == 3
    changed = {path for path, digest in hashes(store).items() if before.get(path) != digest}
    assert all("/2" in path or "/00002." in path for path in changed)
    record = FeatureStore.open(store).ledger("toy_visual").newest()[2]
    assert record.rows[0].attempt == 2
    make_clip(clips / "9 late.mp4", colour="blue")
    code, out, _ = extract(avvp, clips, store)
    assert code == 0
    assert "1 clip had changed on disk" in out
    opened = FeatureStore.open(store)
    assert opened.status("toy_visual").tolist() == [1] * 7
    assert opened.ledger("toy_visual").newest()[2].rows[0].attempt == 3


def test_an_internal_error_is_one_clips_and_can_be_tried_again(avvp, six_clips, tmp_path, monkeypatch):
    store = tmp_path / "s.zarr"
    with monkeypatch.context() as broken:
        patched = worker_process._BEGIN.replace("import main; main()", "import main; import x_breaks_blue; main()")
        (tmp_path / "x_breaks_blue.py").write_text(
            "from pipeline.extraction import worker_process as worker\n"
            "real = worker.decode_clip\n"
            "def decode_clip(request, buffer):\n"
            "    return () [1] if 'blue' in request.path else real(request, buffer)\n"
            "worker.decode_clip = decode_clip\n"
        )
        broken.setattr(worker_process, "_BEGIN", patched)
        broken.syspath_prepend(str(tmp_path))
        code, out, _ = extract(avvp, six_clips, store)
    assert (code, "1 failed" in out) == (3, True)
    assert "1 decode_error: internal error: IndexError: tuple index out of range (logged in" in " ".join(out.split())
    assert FeatureStore.open(store).status("toy_visual").tolist().count(1) == 5
    assert "clip '2 blue', file" in (tmp_path / "s.zarr.log").read_text()
    assert avvp("verify", store)[0] == 0
    assert extract(avvp, six_clips, store, "--retry-failed")[0] == 0
    assert FeatureStore.open(store).status("toy_visual").tolist() == [1] * 6


def test_a_missing_modality_is_partial(avvp, make_clip, tmp_path):
    make_clip(tmp_path / "clips" / "a mute.mp4", audio=False)
    make_clip(tmp_path / "clips" / "b blind.mp4", video=False)
    store = tmp_path / "s.zarr"
    code, out, _ = extract(avvp, tmp_path / "clips", store)
    assert code == 3
    opened = FeatureStore.open(store)
    assert opened.status("toy_visual").tolist() == [2, 2]
    assert opened.valid("toy_visual").any(axis=1).tolist() == [True, False]
    assert opened.valid("toy_audio").any(axis=1).tolist() == [False, True]
    assert "no audio stream" in out
    assert "no video stream" in out
    visual_only = ("--backbone", "toy_visual", "--weights", "random:0", "--clip-seconds", 2)
    (tmp_path / "clips" / "b blind.mp4").unlink()
    code, out, _ = extract(avvp, tmp_path / "clips", tmp_path / "v.zarr", toys=visual_only)
    assert (code, "0 failed, 1 with one modality only" in out) == (0, True)


def test_a_backbone_that_raises_on_one_clip(avvp, six_clips, tmp_path):
    store = tmp_path / "s.zarr"
    code, out, _ = extract(avvp, six_clips, store, "--backbone", "toy_fragile")
    assert code == 3
    assert "toy_fragile: RuntimeError: cannot stand red" in out
    opened = FeatureStore.open(store)
    assert opened.status("toy_fragile").tolist() == [10, 1, 1, 1, 1, 1]
    assert opened.status("toy_visual").tolist() == [1] * 6
    assert np.isfinite(opened.read("toy_fragile")[1:]).all()


def test_a_new_backbone_from_kept_frames_needs_no_media(avvp, six_clips, tmp_path):
    clips = shutil.copytree(six_clips, tmp_path / "clips")
    store = tmp_path / "s.zarr"
    assert extract(avvp, clips, store, "--keep", "frames,waveform")[0] == 0
    direct = FeatureStore.open(store)
    assert direct.decoded == ("frames", "waveform_16000")
    assert direct.array("decoded/frames").shape == (6, 8, 456, 456, 3)
    visual, audio = direct.read("toy_visual"), direct.read("toy_audio")
    for path in clips.iterdir():
        path.unlink()
    new = ("--backbone", "toy_visual@2fps", "--weights", "random:0", "--clip-seconds", 2)
    table = tmp_path / "table.csv"
    direct.clips.to_csv(table)
    assert extract(avvp, table, store, toys=new)[0] == 0
    opened = FeatureStore.open(store)
    np.testing.assert_array_equal(opened.read("toy_visual_2fps"), visual[:, ::2])
    assert opened.provenance("toy_visual_2fps").source == "decoded"
    again = ("--backbone", "toy_audio", "--weights", "random:1", "--clip-seconds", 2, "--rebuild")
    assert extract(avvp, table, store, toys=again)[0] == 0
    np.testing.assert_allclose(FeatureStore.open(store).read("toy_audio"), audio + 1, atol=1e-5)


def test_a_first_look_at_a_split(avvp, six_clips, tmp_path):
    table = tmp_path / "t.csv"
    rows = [
        f"{path.stem},{path},{'val' if number % 2 else 'train'}"
        for number, path in enumerate(sorted(six_clips.iterdir()))
    ]
    table.write_text("\n".join(["id,path,split", *rows]) + "\n")
    code, _, err = extract(avvp, table, tmp_path / "s.zarr", "--split", "val", "--limit", 2)
    assert code == 0
    assert "taking 2 of 6 clips: the first 2 of split val" in err
    store = FeatureStore.open(tmp_path / "s.zarr")
    assert store.ids == [rows[1].split(",")[0], rows[3].split(",")[0]]
    assert store.status("toy_visual").tolist() == [1, 1]
    code, _, err = extract(avvp, table, tmp_path / "s.zarr")
    assert code == 2
    assert "holds 2 clips, " in err
    assert "has 4 more, e.g. " in err
    assert "Ask for the same clips (--split, --limit), or take in the new ones: avvp store append" in err
    code, _, err = extract(avvp, table, tmp_path / "s.zarr", "--split", "test")
    assert (code, err.count("its splits are: train, val")) == (2, 1)


def test_kept_logmels(avvp, six_clips, tmp_path):
    store = tmp_path / "s.zarr"
    vggish = ("--backbone", "vggish", "--weights", "random:0", "--clip-seconds", 2)
    assert extract(avvp, six_clips, store, "--keep", "logmel", toys=vggish)[0] == 0
    kept = FeatureStore.open(store).array("decoded/logmel")[:]
    assert kept.shape == (6, 2, 96, 64)
    assert np.isfinite(kept).all()
    assert kept.std() > 0.1


def test_kept_previews(avvp, six_clips, make_clip, tmp_path):
    clips = shutil.copytree(six_clips, tmp_path / "clips")
    make_clip(clips / "6 mute.mp4", audio=False, size="320x240")
    make_clip(clips / "7 dark.mp4", video=False)
    make_clip(clips / "8 short.mp4", seconds=1.02)
    store = tmp_path / "s.zarr"
    code, out, _ = extract(avvp, clips, store, "--keep", "frames,waveform,preview")
    assert (code, "2 with one modality only" in out) == (3, True)
    direct = FeatureStore.open(store)
    assert direct.decoded == ("envelope", "frames", "thumbnails", "waveform_16000")
    assert direct.array("decoded/thumbnails").shape == (9, 2, 160, 160, 3)
    assert direct.array("decoded/thumbnails")[0, 1, :64, :96].mean(axis=(0, 1)).argmax() == 0
    assert direct.array("decoded/thumbnails_size")[:, 0].tolist() == [[64, 96]] * 6 + [[90, 120], [0, 0], [64, 96]]
    assert direct.array("decoded/thumbnails_valid")[6:].tolist() == [[True, True], [False, False], [True, True]]
    samples = direct.array("decoded/waveform_16000")[:].reshape(9, 40, 800)
    expected = np.stack([samples.min(axis=-1), samples.max(axis=-1)], axis=-1)
    whole = [0, 1, 2, 3, 4, 5, 7]
    np.testing.assert_array_equal(direct.array("decoded/envelope")[whole], expected[whole])
    assert direct.array("decoded/envelope_steps")[:].tolist() == [40] * 6 + [0, 40, 21]
    assert not direct.array("decoded/envelope")[6].any()
    assert direct.array("decoded/envelope")[8, :20].all()
    assert not direct.array("decoded/envelope")[8, 21:].any()


def test_previews_change_nothing_else_and_are_made_without_a_backbone(avvp, six_clips, tmp_path):
    with_, without, alone = (tmp_path / f"{name}.zarr" for name in ("with", "without", "alone"))
    assert extract(avvp, six_clips, with_, "--keep", "frames,preview,waveform")[0] == 0
    assert extract(avvp, six_clips, without, "--keep", "frames,waveform")[0] == 0
    assert extract(avvp, six_clips, alone, "--keep", "preview", toys=("--clip-seconds", 2))[0] == 0

    def rows(store):
        return {path: digest for path, digest in hashes(store).items() if "/c/" in path}

    both = {path: digest for path, digest in rows(with_).items() if "thumbnails" not in path and "envelope" not in path}
    assert both == rows(without)
    assert rows(alone).items() <= rows(with_).items()
    assert avvp("verify", with_, "--deep")[0] == 0
    merged = tmp_path / "merged.zarr"
    assert avvp("store", "merge", with_, alone, merged)[0] == 0
    stores = [FeatureStore.open(store) for store in (merged, alone)]
    for name in ("thumbnails", "thumbnails_size", "thumbnails_valid", "envelope", "envelope_steps"):
        np.testing.assert_array_equal(*[store.array(f"decoded/{name}")[:] for store in stores])


def test_published_sampling_is_written_down(avvp, six_clips, tmp_path):
    store = tmp_path / "s.zarr"
    assert extract(avvp, six_clips, store, "--sampling", "published")[0] == 0
    assert FeatureStore.open(store).provenance("toy_visual").sampling == "published"
    code, _, err = extract(avvp, six_clips, store)
    assert code == 2
    assert "sampling 'published', asked for 'uniform'" in err


def test_a_whole_video_is_cut(avvp, ffmpeg, make_clip, tmp_path):
    for colour in ("red", "blue"):
        make_clip(tmp_path / f"{colour}.mp4", colour=colour, seconds=6)
    (tmp_path / "list.txt").write_text(f"file '{tmp_path}/red.mp4'\nfile '{tmp_path}/blue.mp4'\n")
    ffmpeg("-f", "concat", "-safe", 0, "-i", tmp_path / "list.txt", "-c", "copy", tmp_path / "film.mp4")
    (tmp_path / "t.csv").write_text(
        "id,path,start_seconds,end_seconds\nearly,film.mp4,1,3\nlate,film.mp4,8,10\nnever,film.mp4,30,32\n"
    )
    code, out, _ = extract(avvp, tmp_path / "t.csv", tmp_path / "s.zarr")
    assert code == 3
    assert "starts at 30 s" in out
    means = FeatureStore.open(tmp_path / "s.zarr").read("toy_visual").mean(axis=1)
    assert means[:2].argmax(axis=1).tolist() == [0, 2]


def test_several_devices_are_several_workers_on_one_store(six_clips, filled, tmp_path):
    vggish = ExtractOptions(("vggish",), ("random:0",), device="cpu,cpu", clip_seconds=2, shard_size=1, memory="100MB")
    table = ClipTable.load(six_clips)
    report = extract_features(table, str(tmp_path / "two.zarr"), vggish)
    assert (report.shards, report.read, report.failed) == (set(range(6)), 6, {})
    extract_features(table, str(tmp_path / "one.zarr"), replace(vggish, device="cpu"))
    two, one = (FeatureStore.open(tmp_path / name).read("vggish") for name in ("two.zarr", "one.zarr"))
    np.testing.assert_array_equal(two, one)


STICKY = ("--backbone", "toy_sticky", "--weights", "random:0", "--clip-seconds", 2, "--shard-size", 1, "--workers", 1)


def test_a_broken_device_ends_the_command_with_one_line(avvp, six_clips, tmp_path, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setenv("TOY_STICKY_AT", "3")
        code, out, err = extract(avvp, six_clips, tmp_path / "s.zarr", toys=STICKY)
    assert (code, out) == (1, "")
    (line,) = [line for line in err.splitlines() if "CUDA error" in line]
    assert "backbone toy_sticky: RuntimeError: CUDA error: an illegal memory access was encountered" in line
    assert "Traceback" not in err
    assert extract(avvp, six_clips, tmp_path / "s.zarr", toys=STICKY)[0] == 0
    assert FeatureStore.open(tmp_path / "s.zarr").status("toy_sticky").tolist() == [1] * 6


def test_one_broken_device_of_two_costs_no_row(avvp_process, six_clips, tmp_path):
    store, log = tmp_path / "s.zarr", tmp_path / "log.txt"
    command = ("extract", "--clips", six_clips, "--store", store, *STICKY, "--device", "cpu,cpu")
    broken = {"TOY_STICKY_AT": "1", "TOY_SLEEP": "0.1"}
    process = avvp_process(*command, **broken, TOY_STICKY_ONCE=str(tmp_path / "once"))
    assert process.wait(200) == 0, log.read_text()
    assert "the worker of cpu #" in log.read_text()
    assert "ended: backbone toy_sticky: RuntimeError: CUDA error" in log.read_text()
    assert "it is started again" in log.read_text()
    assert FeatureStore.open(store).status("toy_sticky").tolist() == [1] * 6
    assert not [line for line in log.read_text().splitlines() if line.startswith("Traceback")]
    command = tuple(tmp_path / "none.zarr" if part == store else part for part in command)
    assert avvp_process(*command, **broken).wait(120) == 1
    assert "cpu #1: backbone toy_sticky: RuntimeError: CUDA error" in log.read_text().splitlines()[-1]


def test_a_device_that_is_not_there_is_refused_before_any_worker_starts(avvp, six_clips, tmp_path):
    code, _, err = extract(avvp, six_clips, tmp_path / "s.zarr", "--device", "cpu,gpu")
    assert (code, "expected auto, cpu or cuda:N" in err, err.count("\n")) == (2, True, 1)


def test_memory_too_small_is_refused(avvp, six_clips, tmp_path):
    code, _, err = extract(avvp, six_clips, tmp_path / "s.zarr", "--memory", "10 kB")
    assert (code, "two of" in err) == (2, True)
    code, _, err = extract(avvp, six_clips, tmp_path / "s.zarr", "--memory", "lots")
    assert (code, "expected a number of bytes" in err) == (2, True)
    assert extract(avvp, six_clips, tmp_path / "s.zarr", "--memory", "1MB")[0] == 0


def test_two_processes_make_and_fill_one_store(avvp_process, six_clips, filled, tmp_path):
    store = tmp_path / "both.zarr"
    arguments = ("extract", "--clips", six_clips, "--store", store, *TOYS, "--shard-size", 1, "--workers", 1)
    both = [avvp_process(*arguments, TOY_SLEEP="0.02") for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    opened, alone = FeatureStore.open(store), FeatureStore.open(filled)
    for name in ("toy_visual", "toy_audio"):
        np.testing.assert_array_equal(opened.read(name), alone.read(name))
        assert {state.commit for state in opened.ledger(name).states().values()} == {1}
    assert "Traceback" not in (tmp_path / "log.txt").read_text()


def test_short_clips_among_long_ones_keep_their_own_masks(avvp, make_clip, tmp_path):
    for number in range(12):
        make_clip(tmp_path / "clips" / f"{number:02d}.mp4", seconds=1 if number % 2 else 2)
    assert extract(avvp, tmp_path / "clips", tmp_path / "s.zarr", "--workers", 2)[0] == 0
    steps = FeatureStore.open(tmp_path / "s.zarr").valid("toy_visual").sum(axis=1)
    assert steps.tolist() == [8, 4] * 6
