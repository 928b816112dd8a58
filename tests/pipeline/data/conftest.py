"""A small dataset of its own: four clips, three classes, five segments of two seconds."""

from textwrap import dedent

import pytest

from pipeline.data.dataset_description import load_description

DESCRIPTION = """\
name = "toy"
clip_seconds = 10
segments = 5
classes = ["Dog", "Cat", "Rain"]
[weak_files]
train = "train.csv"
test = "test.csv"
[dense_files]
audio = "audio.csv"
visual = "visual.csv"
splits = ["test"]
[revisions]
"first" = ["old name"]
"""
FILES = {
    "train.csv": "filename\tevent_labels\nt1\tDog\nt2\tCat,Rain\n",
    "test.csv": "filename\tevent_labels\ne1\tDog,Rain\ne2\tCat\n",
    "audio.csv": "filename\tonset\toffset\tevent_labels\ne1\t0\t4\tDog\ne1\t8\t10\tRain\n",
    "visual.csv": "filename\tonset\toffset\tevent_labels\ne1\t2\t6\tDog\ne2\t0\t10\tCat\n",
}


@pytest.fixture
def toy(tmp_path):
    """The description."""
    (tmp_path / "toy.toml").write_text(dedent(DESCRIPTION))
    return load_description(tmp_path / "toy.toml")


@pytest.fixture
def toy_files(tmp_path):
    """Write its label files, some of them changed; gives the folder."""

    def write(**changed):
        folder = tmp_path / "annotations"
        folder.mkdir(exist_ok=True)
        for name, text in FILES.items():
            (folder / name).write_text(changed.get(name.removesuffix(".csv"), text))
        return folder

    return write
