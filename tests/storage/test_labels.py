import json
from dataclasses import replace

import numpy as np
import pytest
import zarr

from storage.clips import Clip, ClipTable
from storage.errors import InvalidInput, SchemaMismatch, StoreError
from storage.files.local import LocalRoot
from storage.labels import LabelStore
from storage.layout.label_schema import LabelEmbeddings, LabelProvenance, LabelSpec, PseudoLabels
from storage.store import FeatureStore

CLASSES = ("Dog", "Cat")


@pytest.fixture
def store(tmp_path):
    FeatureStore.create(tmp_path / "s.zarr", ClipTable([Clip(f"c{i}", f"/m/c{i}.mp4") for i in range(3)]))
    return LabelStore.open(tmp_path / "s.zarr")


@pytest.fixture
def embeddings():
    provenance = LabelProvenance("glove", "1", "sha256:ab", {"oov": "error"}, None, "glove.txt", {"gensim": "4"}, "now")
    vectors = np.arange(6, dtype=np.float32).reshape(2, 3)
    return LabelEmbeddings(LabelSpec("glove", "toy", 3), provenance, CLASSES, (("a dog",), ("a cat",)), vectors)


@pytest.fixture
def pseudo():
    audio = np.zeros((3, 4, 2), np.uint8)
    audio[0, 1, 0] = 1
    logits = np.full((3, 4, 2), np.nan, np.float32)
    logits[:2] = 0.5
    known = np.array([True, True, False])
    return PseudoLabels("valor", LabelProvenance("valor", "1"), CLASSES, audio, 1 - audio, known, logits, logits + 1)


def test_embeddings_go_round(store, embeddings):
    assert store.embedders == ()
    assert store.write_embeddings(embeddings)
    found = LabelStore.open(store.url).read_embeddings("glove", classes=CLASSES)
    assert (found.spec, found.classes, found.prompts) == (embeddings.spec, CLASSES, embeddings.prompts)
    assert found.provenance == embeddings.provenance
    assert found.vectors.dtype == np.float32
    np.testing.assert_array_equal(found.vectors, embeddings.vectors)
    assert store.embedders == ("glove",)


def test_plain_zarr_reads_everything(store, embeddings, pseudo):
    store.write_embeddings(embeddings)
    store.write_pseudo_labels(pseudo)
    root = zarr.open_group(store.url, mode="r")
    np.testing.assert_array_equal(root["labels/glove/vectors"][:], embeddings.vectors)
    assert root["labels/glove/classes"][:].tolist() == list(CLASSES)
    assert root["labels/glove/prompts"].shape == (2, 1)
    assert root["labels/glove"].attrs["avvp"]["provenance"]["weights"] == "sha256:ab"
    assert root["pseudo_labels/valor/audio"].dtype == np.uint8
    assert root["pseudo_labels/valor/known"][:].tolist() == [True, True, False]


def test_pseudo_labels_go_round(store, pseudo):
    store.write_pseudo_labels(pseudo)
    found = store.read_pseudo_labels("valor")
    for part in ("audio", "visual", "known", "audio_logits", "visual_logits"):
        np.testing.assert_array_equal(getattr(found, part), getattr(pseudo, part))
    assert found.audio_video.tolist() == [[1, 0], [0, 0], [0, 0]]
    assert found.visual_video.tolist() == [[1, 1]] * 3
    assert store.teachers == ("valor",)
    bare = replace(pseudo, audio_logits=None, visual_logits=None)
    store.write_pseudo_labels(bare, rebuild=True)
    assert store.read_pseudo_labels("valor").audio_logits is None
    assert not (LocalRoot(store.url).path / "pseudo_labels/valor/audio_logits").exists()


def test_many_clips_span_several_chunks(tmp_path, pseudo):
    FeatureStore.create(tmp_path / "b.zarr", ClipTable([Clip(f"c{i}", "/m") for i in range(1500)]))
    many = {part: np.repeat(getattr(pseudo, part), 500, axis=0) for part in ("audio", "visual", "known")}
    many |= {part: np.repeat(getattr(pseudo, part), 500, axis=0) for part in ("audio_logits", "visual_logits")}
    LabelStore.open(tmp_path / "b.zarr").write_pseudo_labels(replace(pseudo, **many))
    found = LabelStore.open(tmp_path / "b.zarr").read_pseudo_labels("valor")
    np.testing.assert_array_equal(found.audio, many["audio"])


def test_the_same_again_writes_nothing_and_another_needs_rebuild(store, embeddings):
    store.write_embeddings(embeddings)
    later = replace(embeddings, provenance=replace(embeddings.provenance, created="later"))
    assert not store.write_embeddings(later)
    other = replace(embeddings, provenance=replace(embeddings.provenance, weights="sha256:cd"))
    with pytest.raises(SchemaMismatch, match=r"weights 'sha256:ab', now it is 'sha256:cd'. Replace it: add --rebuild"):
        store.write_embeddings(other)
    moved = replace(embeddings, vectors=embeddings.vectors + 1)
    with pytest.raises(SchemaMismatch, match="labels/glove has other vectors"):
        store.write_embeddings(moved)
    assert store.write_embeddings(other, rebuild=True)
    assert store.read_embeddings("glove").provenance.weights == "sha256:cd"


def test_class_lists_must_agree(store, embeddings, pseudo):
    store.write_embeddings(embeddings)
    with pytest.raises(SchemaMismatch, match="labels/glove is for other classes: it lacks 'Rain'"):
        store.read_embeddings("glove", classes=("Dog", "Rain"))
    with pytest.raises(SchemaMismatch, match="it has 'Cat'"):
        store.read_embeddings("glove", classes=("Dog",))
    with pytest.raises(SchemaMismatch, match="the same classes in another order"):
        store.read_embeddings("glove", classes=("Cat", "Dog"))
    with pytest.raises(SchemaMismatch, match="labels/glove has the same classes in another order"):
        store.write_pseudo_labels(replace(pseudo, classes=("Cat", "Dog")))


def test_shapes_must_fit(store, embeddings, pseudo):
    with pytest.raises(InvalidInput, match=r"expected vectors \[2, 3\]"):
        store.write_embeddings(replace(embeddings, vectors=np.zeros((2, 4), np.float32)))
    with pytest.raises(InvalidInput, match="as many prompts for each class"):
        store.write_embeddings(replace(embeddings, prompts=(("a",), ("b", "c"))))
    with pytest.raises(InvalidInput, match="not finite"):
        store.write_embeddings(replace(embeddings, vectors=np.full((2, 3), np.nan, np.float32)))
    with pytest.raises(InvalidInput, match=r"audio is \[2, 4, 2\], expected \[3, 4, 2\]"):
        store.write_pseudo_labels(replace(pseudo, audio=pseudo.audio[:2]))
    with pytest.raises(InvalidInput, match="both or neither"):
        store.write_pseudo_labels(replace(pseudo, visual_logits=None))
    with pytest.raises(InvalidInput, match="letters, digits"):
        store.write_pseudo_labels(replace(pseudo, teacher="a/b"))
    assert store.embedders == store.teachers == ()


def test_what_is_not_there_is_named(store, embeddings, tmp_path):
    store.write_embeddings(embeddings)
    with pytest.raises(
        StoreError, match=r"no labels 'bert'; there are glove. Make them: avvp labels .*--embedder bert"
    ):
        store.read_embeddings("bert")
    with pytest.raises(StoreError, match=r"no pseudo_labels 'valor'; there are none yet"):
        store.read_pseudo_labels("valor")
    with pytest.raises(StoreError, match="no feature store here"):
        LabelStore.open(tmp_path / "none")


@pytest.mark.parametrize("stop_at", range(4))
def test_a_writer_cut_off_leaves_nothing_that_reads_as_done(store, embeddings, monkeypatch, stop_at):
    store.write_embeddings(embeddings)
    put, calls = LabelStore._put_array, []

    def failing(self, path, values):
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        calls.append(path)
        put(self, path, values)

    monkeypatch.setattr(LabelStore, "_put_array", failing)
    if stop_at == 3:
        monkeypatch.setattr(LocalRoot, "put", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        store.write_embeddings(replace(embeddings, vectors=embeddings.vectors + 1), rebuild=True)
    assert store.embedders == ()
    with pytest.raises(StoreError, match="no labels 'glove'"):
        store.read_embeddings("glove")
    monkeypatch.undo()
    assert store.write_embeddings(embeddings)
    assert not (LocalRoot(store.url).path / "ledger/labels.glove.lock").exists()


def test_a_store_in_memory(embeddings):
    FeatureStore.create("memory://labels-test.zarr", ClipTable([Clip("a", "/m/a.mp4")]))
    store = LabelStore.open("memory://labels-test.zarr")
    store.write_embeddings(embeddings)
    np.testing.assert_array_equal(store.read_embeddings("glove").vectors, embeddings.vectors)


def test_attributes_are_strict_json(store, embeddings):
    store.write_embeddings(embeddings)
    body = json.loads((LocalRoot(store.url).path / "labels/glove/zarr.json").read_text())
    assert body["attributes"]["avvp"]["spec"] == {"name": "glove", "dataset": "toy", "dim": 3, "description": ""}


def test_damaged_metadata_is_one_line(store, embeddings):
    store.write_embeddings(embeddings)
    store.root.put("labels/glove/zarr.json", b'{"attributes": ')
    with pytest.raises(StoreError, match=r"labels/glove/zarr\.json: is damaged .*avvp verify") as caught:
        store.read_embeddings("glove")
    assert "\n" not in str(caught.value)


def test_soft_pseudo_labels_stay_as_they_are(store, pseudo):
    soft = replace(pseudo, audio=pseudo.audio * np.float32(0.3), visual=pseudo.visual * np.float32(0.7))
    store.write_pseudo_labels(soft)
    found = store.read_pseudo_labels("valor")
    assert found.soft
    assert found.audio.dtype == found.visual.dtype == np.float32
    np.testing.assert_array_equal(found.visual, soft.visual)
    assert found.audio_video[0].tolist() == [np.float32(0.3), 0]
    assert [part.sum() for part in found.decided()] == [0, pseudo.visual.sum()]
    with pytest.raises(SchemaMismatch, match="has other"):
        store.write_pseudo_labels(pseudo)
    with pytest.raises(InvalidInput, match="must lie between 0 and 1"):
        store.write_pseudo_labels(replace(soft, audio=soft.audio + 1), rebuild=True)
