"""Directions of classes follow their label embeddings, where that is asked for."""

import numpy as np
import pytest

from pipeline.synthetic.features import write_features
from pipeline.synthetic.label_directions import KINDS, class_directions, embeddings_by_kind, made_up_embeddings
from pipeline.synthetic.label_geometry import read_label_geometry
from storage.errors import AvvpError, InvalidInput
from storage.labels import LabelStore
from storage.tables.llp_names import LLP_CLASSES


def cosines(vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit @ unit.T


def test_every_class_is_of_one_kind():
    assert sorted(name for names in KINDS.values() for name in names) == sorted(LLP_CLASSES)


def test_directions_have_the_angles_of_the_embeddings():
    vectors = embeddings_by_kind(0).vectors
    found = class_directions(2048, 0, vectors)
    np.testing.assert_allclose(cosines(found), cosines(vectors), atol=0.1)
    assert found.std() == pytest.approx(1, abs=0.05)
    assert np.abs(cosines(class_directions(2048, 0))[~np.eye(25, dtype=bool)]).max() < 0.12


def test_classes_of_a_kind_are_near_each_other():
    found = cosines(embeddings_by_kind(0).vectors)
    dog, cat, car = (LLP_CLASSES.index(name) for name in ("Dog", "Cat", "Car"))
    assert found[dog, cat] > 0.35
    assert abs(found[dog, car]) < 0.2


def test_embeddings_without_a_direction_are_refused():
    with pytest.raises(InvalidInput, match="expected 25 embeddings, none of them zero; got 25, of which 25 are zero"):
        class_directions(8, 0, np.zeros((25, 4), np.float32))


def test_a_file_or_a_store_of_embeddings_is_followed(tmp_path):
    given = made_up_embeddings(LLP_CLASSES, 5)
    np.savez(tmp_path / "e.npz", embeddings=given.vectors, classes=np.array(LLP_CLASSES))
    read = read_label_geometry(str(tmp_path / "e.npz"))
    store = write_features(tmp_path / "made", count=6, label_geometry=read)
    np.testing.assert_array_equal(LabelStore.open(store.url).read_embeddings("glove").vectors, given.vectors)
    assert store.provenance("vggish").preprocessing["label_geometry"].startswith("sha256:")
    np.testing.assert_array_equal(read_label_geometry(store.url).vectors, given.vectors)
    np.testing.assert_array_equal(read_label_geometry("kinds", seed=2).vectors, embeddings_by_kind(2).vectors)


def test_what_is_no_source_of_embeddings_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"expected kinds, a \.npz of label embeddings or a store"):
        read_label_geometry("nothing.npz")
    with pytest.raises(AvvpError):
        read_label_geometry(str(tmp_path))
