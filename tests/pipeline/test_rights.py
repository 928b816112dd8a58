"""A user who may not write: home, cache, store, media and runs that belong to others."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import toy_store as toy

DATA = Path(__file__).resolve().parents[1] / "data"
TOYS = ("--backbone", "toy_visual", "--weights", "random:1", "--clip-seconds", "2", "--workers", "1")


@pytest.fixture
def open_folder():
    """A folder that others may enter, unlike those of pytest."""
    folder = Path(tempfile.mkdtemp(prefix="avvp-rights-"))
    folder.chmod(0o755)
    yield folder
    subprocess.run(["chmod", "-R", "u+rwX", folder], check=False)
    shutil.rmtree(folder)


@pytest.fixture
def rightless(open_folder):
    """Run the command line without the right to pass over rights; gives exit code, standard output and error."""
    before = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may do anything, and there is no setpriv to take that away")
        before = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    home = open_folder / "home"
    home.mkdir(mode=0o555)
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(DATA.parents[1]), "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip

    def run(*arguments):
        command = [*before, sys.executable, DATA / "avvp_with_toys.py", *arguments]
        done = subprocess.run(
            list(map(str, command)), cwd=open_folder, capture_output=True, text=True, env=environment, check=False
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def clips(open_folder, make_clip):
    made = make_clip(open_folder / "made.mp4", seconds=2)
    folder = open_folder / "clips"
    folder.mkdir()
    for name in ("a", "b"):
        shutil.copy(made, folder / f"{name}.mp4")
    made.unlink()
    return folder


def closed(folder):
    """Leave a tree readable and take the right to write away."""
    subprocess.run(["chmod", "-R", "a+rX,a-w", folder], check=True)
    return folder


def is_one_line(done, *words):
    code, _, err = done
    assert code == 2, err
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    for word in words:
        assert word in err


def test_a_place_that_is_closed_for_a_new_store(rightless, clips, open_folder):
    place = closed(open_folder / "home")
    is_one_line(rightless("extract", "--clips", clips, "--store", place / "s.zarr", *TOYS), "Permission denied")


def test_a_store_of_others_is_read_and_not_written(rightless, clips, open_folder, avvp):
    store = open_folder / "s.zarr"
    assert avvp("extract", "--clips", clips, "--store", store, *TOYS)[0] == 0
    closed(store)
    for command in (["status"], ["inspect"], ["verify", "--deep"]):
        code, out, err = rightless(command[0], store, *command[1:])
        assert (code, err) == (0, ""), err
        assert out
    is_one_line(
        rightless("extract", "--clips", clips, "--store", store, "--backbone", "toy_audio", *TOYS[2:]),
        "Permission denied",
    )


def test_a_home_that_cannot_be_written_is_no_hindrance(rightless, clips, open_folder):
    (open_folder / "out").mkdir()
    (open_folder / "out").chmod(0o777)
    code, out, err = rightless("extract", "--clips", clips, "--store", open_folder / "out/s.zarr", *TOYS)
    assert code == 0, err
    assert "2 clips read" in out


def test_media_that_may_not_be_read_are_failures_of_their_clips(rightless, clips, open_folder):
    (clips / "b.mp4").chmod(0)
    (open_folder / "out").mkdir()
    (open_folder / "out").chmod(0o777)
    code, out, err = rightless("extract", "--clips", clips, "--store", open_folder / "out/s.zarr", *TOYS)
    assert code == 3, err
    assert "Permission denied" in out


def test_a_closed_place_for_a_run(rightless, open_folder):
    from pipeline.synthetic.features import write_features

    write_features(open_folder / "toy", count=12, seed=1)
    subprocess.run(["chmod", "-R", "a+rX", open_folder / "toy"], check=True)
    command = ["train", "--recipe", "han", "--store", "toy/features.zarr", "--annotations", "toy/annotations"]
    done = rightless(*command, "--out", "home/run", "--device", "cpu", "--epochs", "1", "--set", "model.width=8")
    is_one_line(done, "home/run", "Permission denied")


def test_a_merge_into_a_closed_place(rightless, open_folder):
    store = toy.make(open_folder / "a.zarr", kept=False)
    closed(Path(store.url))
    is_one_line(rightless("store", "merge", store.url, "home/two.zarr"), "Permission denied")
