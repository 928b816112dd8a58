import numpy as np
import pytest

from extractors.text.embedder import TextEmbedder
from pipeline.datasets.dataset_description import DatasetDescription, load_description
from pipeline.labels.embeddings import embed_labels, import_labels, make_labels
from storage.clips import Clip, ClipTable
from storage.errors import InvalidInput, SchemaMismatch, StoreError
from storage.labels import LabelStore
from storage.store import FeatureStore

TOY = DatasetDescription("toy", ("Dog", "Fire_alarm"), 10, 10)
LLP = load_description("llp")


class Letters(TextEmbedder):
    """Counts of `a` and of all letters, brought to length 1."""

    normalised = True
    weights = "random:0"

    def load(self, weights, *, device="cpu"):
        """Nothing to do."""

    def embed(self, texts):
        counts = np.array([[text.count("a"), len(text)] for text in texts], np.float32)
        return counts / np.linalg.norm(counts, axis=1, keepdims=True)


@pytest.fixture
def store_url(tmp_path):
    FeatureStore.create(tmp_path / "s.zarr", ClipTable([Clip("a", "/m/a.mp4")]))
    return str(tmp_path / "s.zarr")


@pytest.fixture
def published(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "e.npz", **arrays)
        return tmp_path / "e.npz"

    return write


def test_several_prompts_are_averaged_to_length_one():
    one = embed_labels(Letters(name="letters"), TOY, (("aa",), ("bb",))).vectors
    np.testing.assert_allclose(one, [[0.5**0.5, 0.5**0.5], [0, 1]])
    both = embed_labels(Letters(name="letters"), TOY, (("aa", "bb"), ("bb", "bb"))).vectors
    middle = np.array([0.5**0.5, 0.5**0.5 + 1])
    np.testing.assert_allclose(both, [middle / np.linalg.norm(middle), [0, 1]], rtol=1e-6)


class Pictures(Letters):
    """An embedder of another name whose prompts are CLIP's, with SigLIP's bias."""

    logit_scale, logit_bias = 100.0, -12.5

    @property
    def prompts_of(self):
        return "clip"

    @property
    def facts(self):
        return {"logit_bias": self.logit_bias}


def test_an_embedder_may_take_the_prompts_of_another(store_url, monkeypatch):
    monkeypatch.setattr("pipeline.labels.embeddings.text_registry.create", lambda name, options: Pictures(name=name))
    made, _ = make_labels(store_url, embedder="hf:org/model", dataset=LLP)
    assert (made.spec.name, made.spec.description) == ("hf_org_model", "prompts: valor")
    assert made.prompts[LLP.classes.index("Dog")] == ("A photo of a dog.",)
    assert made.provenance.facts["logit_bias"] == -12.5


def test_made_labels_lie_in_the_store(store_url):
    made, written = make_labels(store_url, embedder="glove", dataset=LLP, weights="random:0")
    assert written
    found = LabelStore.open(store_url).read_embeddings("glove", classes=LLP.classes)
    np.testing.assert_array_equal(found.vectors, made.vectors)
    assert found.vectors.shape == (25, 300)
    assert found.prompts[5] == ("Fry food",)
    assert (found.provenance.weights, found.spec.description) == ("random:0", "prompts: leap")
    assert found.provenance.libraries["gensim"][0].isdigit()
    assert not make_labels(store_url, embedder="glove", dataset=LLP, weights="random:0")[1]
    with pytest.raises(SchemaMismatch, match="labels/glove has other vectors; other prompts"):
        make_labels(store_url, embedder="glove", dataset=LLP, weights="random:0", prompts="names")
    assert make_labels(store_url, embedder="glove", dataset=LLP, weights="random:1", rebuild=True)[1]


def test_other_classes_do_not_go_beside(store_url):
    make_labels(store_url, embedder="glove", dataset=LLP, weights="random:0")
    with pytest.raises(SchemaMismatch, match="labels/glove is for other classes: it lacks 'Hose'"):
        make_labels(store_url, embedder="clip", dataset=DatasetDescription("t", ("Hose",), 1, 1), weights="random:0")


def test_leaps_published_file(store_url, shared_dir):
    path = shared_dir / "reference" / "llp_glove300.npz"
    imported, written = import_labels(store_url, path, embedder="glove", dataset=LLP)
    assert written
    found = LabelStore.open(store_url).read_embeddings("glove", classes=LLP.classes)
    np.testing.assert_array_equal(found.vectors, np.load(path)["embeddings"])
    assert found.prompts == tuple((phrase,) for phrase in np.load(path)["phrases"])
    assert found.provenance.facts == {"imported": True}
    assert found.provenance.weights_source == str(path)
    assert imported.spec.name == "glove"
    norms = np.linalg.norm(found.vectors, axis=1)
    words = np.array([len(texts[0].split()) for texts in found.prompts])
    assert norms[words > 1].max() < 6.5 < norms.max()


def test_import_puts_classes_in_order(store_url, published):
    path = published(embeddings=np.eye(2, dtype=np.float64), classes=np.array(["Fire alarm", "Dog"]))
    found, _ = import_labels(store_url, path, embedder="bert", dataset=TOY)
    assert found.vectors.tolist() == [[0, 1], [1, 0]]
    assert found.prompts == (("Dog",), ("Fire alarm",))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"embeddings": np.eye(2)}, "lacks the array 'classes'; it has embeddings"),
        ({"embeddings": np.eye(3), "classes": ["Dog", "Fire_alarm"]}, r"got float64 \[3, 3\], 2 and 2"),
        ({"embeddings": np.eye(2), "classes": ["Dog", "Hose"]}, "class 'Hose' is none of the 2 of toy"),
        ({"embeddings": np.eye(1), "classes": ["Dog"]}, "lacks class 'Fire_alarm'"),
        ({"embeddings": np.eye(3), "classes": ["Dog", "Fire alarm", "Fire_alarm"]}, "3 rows for 2 classes"),
        ({"embeddings": np.eye(2) * np.nan, "classes": ["Dog", "Fire_alarm"]}, "not finite"),
    ],
)
def test_bad_published_files(store_url, published, arrays, message):
    with pytest.raises(InvalidInput, match=message):
        import_labels(store_url, published(**arrays), embedder="glove", dataset=TOY)


def test_what_is_no_npz(store_url, tmp_path):
    (tmp_path / "e.npz").write_bytes(b"PK nonsense")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.save(tmp_path / "one.npy", np.zeros(3))
    for path in (tmp_path / name for name in ("e.npz", "none.npz", "empty.npz", "one.npy")):
        with pytest.raises(InvalidInput, match=r"not a \.npz file of embeddings"):
            import_labels(store_url, path, embedder="glove", dataset=TOY)
    with pytest.raises(StoreError, match="no feature store here"):
        import_labels(tmp_path / "none.zarr", tmp_path / "e.npz", embedder="glove", dataset=TOY)
