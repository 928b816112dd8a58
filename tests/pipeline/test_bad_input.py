"""Every bad file ends as one row with a reason, and every mistake on the command line as one line and exit code 2."""

import numpy as np
import pytest

from extractors.engines.compiling import _cpp_problem
from pipeline.cli import main as cli
from storage.store import FeatureStore

TOYS = ("--backbone", "toy_visual", "--backbone", "toy_audio", "--weights", "random:0", "--clip-seconds", "2")


@pytest.fixture(scope="module")
def zoo(make_clip, ffmpeg, tmp_path_factory):
    """One file of each kind that people's folders hold. Returns the folder."""
    folder = tmp_path_factory.mktemp("zoo")
    whole = make_clip(folder / "good.mp4", seconds=3)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "cut_off.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (folder / "text.mp4").write_text("not a film\n" * 50)
    make_clip(folder / "mute.mp4", audio=False)
    make_clip(folder / "blind.mp4", video=False)
    make_clip(folder / "half.mp4", seconds=0.5)
    make_clip(folder / "long.mp4", seconds=660, rate=1, extra=("-g", "50"))
    make_clip(folder / "mp3.mkv", extra=("-c:a", "libmp3lame"))
    make_clip(folder / "phone.mp4", extra=("-ac", "1", "-ar", "8000"))
    make_clip(folder / 'it\'s a "näme" 犬.mp4', colour="red")
    make_clip(folder / "odd.mp4", size="319x241", extra=("-pix_fmt", "yuv444p"))
    ffmpeg("-display_rotation", 90, "-i", whole, "-c", "copy", folder / "turned.mp4")
    ffmpeg("-i", whole, "-i", whole, "-map", 0, "-map", 1, "-c", "copy", folder / "two_of_each.mkv")
    ffmpeg("-i", whole, "-vf", "select='not(mod(n,3))+lt(n,9)'", "-fps_mode", "vfr", "-c:a", "copy", folder / "vfr.mp4")
    return folder


def test_every_kind_of_file_ends_as_it_should(avvp, zoo, tmp_path):
    store = tmp_path / "s.zarr"
    code, out, err = avvp("extract", "--clips", zoo, "--store", store, *TOYS)
    assert code == 3
    assert "Traceback" not in out + err
    opened = FeatureStore.open(store)
    records = [opened.ledger(name).newest()[0].rows for name in ("toy_visual", "toy_audio")]
    ends = {row.id: (row.status, row.reason) for row in records[0]}
    good = {name for name, (status, _) in ends.items() if status == "ok"}
    assert good == {
        "good", "long", "mp3", "phone", "it's a \"näme\" 犬", "odd", "turned", "two_of_each", "vfr",
    }  # fmt: skip
    assert ends["empty"] == ("unreadable", "the file is empty (0 bytes)")
    assert ends["text"][0] == "unreadable"
    assert ends["cut_off"][0] in ("unreadable", "decode_error")
    assert "moov" in ends["cut_off"][1] or "truncated" in ends["cut_off"][1]
    assert ends["mute"] == ("partial", "no audio stream")
    assert ends["blind"] == ("partial", "no video stream")
    assert ends["half"][0] == "too_short"
    assert "0.5" in ends["half"][1]
    assert "first 2 s" in ends["long"][1]
    assert not any("System error" in reason or "Error" in reason.split(":")[0] for _, reason in ends.values())
    stored = [{row.id for row in rows if row.stored} for rows in records]
    assert stored == [good | {"mute"}, good | {"blind"}]
    for name, ids in zip(("toy_visual", "toy_audio"), stored, strict=True):
        rows = [opened.ids.index(clip) for clip in sorted(ids)]
        assert np.isfinite(opened.read(name, rows)).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--clips", "{tmp}/nowhere", "--backbone", "toy_visual"], "no such file or folder"),
        (["--clips", "{tmp}", "--backbone", "toy_visual"], "no clips"),
        (["--clips", "{zoo}", "--backbone", "toy_visaul"], "Did you mean 'toy_visual'?"),
        (["--clips", "{zoo}"], "nothing to extract"),
        (["--clips", "{zoo}", "--backbone", "toy_visual", "--keep", "pixels"], "keep 'pixels': expected some of"),
        (["--clips", "{zoo}", "--backbone", "toy_visual", "--keep", "logmel"], "add --backbone vggish"),
        (["--clips", "{zoo}", "--backbone", "toy_visual", "--weights", "random:x"], "random:"),
        (["--clips", "{zoo}", "--backbone", "toy_visual", "--weights", "{tmp}/w.pth"], "w.pth"),
        (["--clips", "{zoo}", "--backbone", "toy_visual", "--weights", "vgg=random:0"], "not among the backbones"),
        (["--clips", "{zoo}", "--backbone", "toy_visual", "--device", "cuda:7"], "CUDA devices"),
        (["--clips", "{zoo}", "--backbone", "toy_visual", "--precision", "float16", "--device", "cpu"], "needs a GPU"),
        (["--clips", "{zoo}", "--backbone", "toy_visual", "--precision", "tf32", "--device", "cpu"], "use float32"),
        (["--clips", "{zoo}", "--backbone", "toy_visual", "--sampling", "random"], "--sampling"),
        (["--clips", "{zoo}", "--backbone", "toy_visual", "--shard-size", "0"], "--shard-size"),
        (["--backbone", "toy_visual"], "Missing option '--clips'"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(avvp, zoo, tmp_path, arguments, words):
    arguments = [text.format(tmp=tmp_path, zoo=zoo) for text in arguments]
    if "--weights" not in arguments:
        arguments += ["--weights", "random:0"]
    code, out, err = avvp("extract", "--store", tmp_path / "s.zarr", *arguments)
    assert code == 2
    assert out == ""
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "s.zarr").exists()


def test_compiling_without_a_compiler_is_refused_before_a_clip_is_read(avvp, zoo, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    _cpp_problem.cache_clear()
    code, out, err = avvp("extract", "--clips", zoo, "--store", tmp_path / "s.zarr", "--compile", *TOYS)
    _cpp_problem.cache_clear()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "no no-such-compiler on the path" in err
    assert not (tmp_path / "s.zarr").exists()


def test_offline_weights_name_the_url_and_the_file(avvp, zoo, tmp_path, monkeypatch):
    monkeypatch.setenv("AVVP_CACHE", str(tmp_path / "cache"))
    code, _, err = avvp("extract", "--clips", zoo, "--store", tmp_path / "s.zarr", "--backbone", "toy_visual")
    assert code == 2
    assert err.count("\n") == 1
    for words in ("http://127.0.0.1:9/toy.pth", str(tmp_path / "cache" / "toy.pth"), "--weights random:0"):
        assert words in err


def test_a_bad_line_in_a_table_is_named(avvp, tmp_path):
    (tmp_path / "t.csv").write_text("id,path,start_seconds\na,a.mp4,soon\n")
    code, _, err = avvp("extract", "--clips", tmp_path / "t.csv", "--store", tmp_path / "s.zarr", *TOYS)
    assert code == 2
    assert "line 2: start_seconds is 'soon'" in err


@pytest.mark.parametrize("command", ["status", "inspect"])
def test_a_store_that_is_not_there(avvp, tmp_path, command):
    code, _, err = avvp(command, tmp_path / "s.zarr")
    assert code == 2
    assert "no feature store here" in err


def test_inspecting_what_is_not_there(avvp, six_clips, tmp_path):
    store = tmp_path / "s.zarr"
    avvp("extract", "--clips", six_clips, "--store", store, *TOYS)
    assert "no features 'x'" in avvp("inspect", store, "x")[2]
    assert "no clip 'x'" in avvp("inspect", store, "--clip", "x")[2]
    assert "no features 'x'" in avvp("inspect", store, "x", "--clip", "0 red")[2]
    code, out, _ = avvp("inspect", store)
    assert code == 0
    assert "features/toy_visual/values" in out
    assert "zstd+crc32c" in out
    code, out, _ = avvp("inspect", store, "toy_visual")
    assert (code, "random:0" in out, "L2 norm" in out) == (0, True, True)
    code, out, _ = avvp("inspect", store, "--clip", "0 red")
    assert (code, "toy_audio" in out, "8/8" in out) == (0, True, True)


@pytest.mark.parametrize("bug", [ZeroDivisionError, EOFError])
def test_our_own_bugs_keep_their_traceback(monkeypatch, avvp, bug):
    def broken(**_):
        raise bug

    monkeypatch.setattr(cli.avvp.commands["status"], "callback", broken)
    with pytest.raises(bug):
        cli.main(["status", "x"])


def test_backbones_are_listed(avvp):
    code, out, _ = avvp("backbones")
    assert code == 0
    for words in ("resnet152", "80×2048", "clap_map", "64×768"):
        assert words in out


def test_a_store_path_that_is_a_file(avvp, six_clips, tmp_path):
    (tmp_path / "s.zarr").write_text("x")
    code, _, err = avvp("extract", "--clips", six_clips, "--store", tmp_path / "s.zarr", *TOYS)
    assert (code, err.count("\n")) == (2, 1)
    assert "s.zarr" in err


@pytest.mark.parametrize("address", ["ftp://127.0.0.1:9/s.zarr", "http://127.0.0.1:9/s.zarr", "foo://host/s.zarr"])
@pytest.mark.parametrize("command", ["extract", "status"])
def test_a_store_at_an_address_that_cannot_serve_is_one_line(avvp, make_clip, tmp_path, address, command):
    make_clip(tmp_path / "a" / "clip.mp4")
    arguments = ("extract", "--clips", tmp_path / "a", "--store", address, *TOYS)
    code, out, err = avvp(*(arguments if command == "extract" else ("status", address)))
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert err.startswith(f"avvp: {address}: ")
    assert "loading" not in out + err


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_names_beyond_ascii_in_any_locale(avvp_process, make_clip, tmp_path, locale):
    make_clip(tmp_path / "a" / "Hündchen 犬.mp4")
    place = ("--clips", tmp_path / "a", "--store", tmp_path / "s.zarr")
    assert avvp_process("extract", *place, *TOYS, "--workers", "1", LC_ALL=locale).wait(100) == 0
    assert avvp_process("inspect", tmp_path / "s.zarr", "--clip", "Hündchen 犬", LC_ALL=locale).wait(60) == 0
    assert FeatureStore.open(tmp_path / "s.zarr").ids == ["Hündchen 犬"]
    assert "Hündchen 犬" in (tmp_path / "log.txt").read_text(encoding="utf-8")
