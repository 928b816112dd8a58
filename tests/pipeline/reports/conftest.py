"""Four videos of LLP's form whose scores can be worked out by hand."""

import xml.etree.ElementTree

import numpy as np
import pytest

from pipeline.datasets.llp import load_annotations

CLIPS = ("aaaaaaaaaaa_0_10", "bbbbbbbbbbb_0_10", "ccccccccccc_0_10", "ddddddddddd_0_10")
HEARD = ((0, 0, 10, "Speech"), (1, 0, 4, "Dog"), (1, 2, 6, "Speech"), (2, 0, 10, "Dog"))
SEEN = ((0, 0, 10, "Speech"), (1, 0, 4, "Dog"), (2, 0, 10, "Cat"), (3, 0, 2, "Cat"))


@pytest.fixture
def folder(tmp_path):
    """A folder of label files with a test split."""
    place = tmp_path / "annotations"
    place.mkdir()
    weak = {name: [] for name in CLIPS}
    for kind, rows in (("audio", HEARD), ("visual", SEEN)):
        lines = ["filename\tonset\toffset\tevent_labels"]
        for clip, onset, offset, label in rows:
            lines.append(f"{CLIPS[clip]}\t{onset}\t{offset}\t{label}")
            weak[CLIPS[clip]].append(label)
        (place / f"AVVP_eval_{kind}.csv").write_text("\n".join(lines) + "\n")
    lines = [f"{name}\t{','.join(dict.fromkeys(labels))}" for name, labels in weak.items()]
    (place / "AVVP_test_pd.csv").write_text("\n".join(["filename\tevent_labels", *lines]) + "\n")
    return place


@pytest.fixture
def truth(folder):
    return load_annotations(folder).split("test")


@pytest.fixture
def predicted(tmp_path, truth):
    """A function: a predictions file with these probabilities."""

    def write(name, audio, visual, **more):
        path = tmp_path / name
        np.savez(path, id=np.asarray(truth.ids), audio_segment=audio * 1.0, visual_segment=visual * 1.0, **more)
        return path

    return write


@pytest.fixture
def texts_of():
    """A function: the texts of a picture, which must be XML."""

    def read(svg):
        root = xml.etree.ElementTree.fromstring(svg)
        return ["".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")]

    return read
