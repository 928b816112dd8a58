"""A store that grows keeps its rows where they are, and is whole at every instant."""

import threading

import numpy as np
import pytest
import toy_store as toy
import zarr
from killed_puts import Killed, dying_after

from pipeline.exchange.repair import mark_rows
from pipeline.exchange.verify import verify
from pipeline.extraction.plan import make_plan
from storage import growth
from storage.clips import Clip, ClipTable
from storage.errors import ClipTableError, SchemaMismatch, StoreError
from storage.growth import append_clips
from storage.labels import LabelStore, PseudoLabels
from storage.layout.label_schema import LabelProvenance
from storage.ledger import Row
from storage.store import FeatureStore
from storage.writer import claim, commit_features

SPEC = toy.SPECS[1]


def made(url, clips=10):
    store = FeatureStore.open_or_create(str(url), toy.table(clips), shard_size=toy.SHARD)
    store.ensure_feature(SPEC, toy.origin(SPEC.name))
    toy.fill(store, SPEC)
    toy.keep(store)
    LabelStore.open(store.url).write_pseudo_labels(labels(clips))
    return store


def labels(clips):
    known = np.arange(clips) % 2 == 0
    audio = np.ones((clips, 2, 3), np.uint8)
    return PseudoLabels("valor", LabelProvenance("valor", {}), ("a", "b", "c"), audio, audio, known)


def expected(ids):
    return np.stack([toy.values_of(name, SPEC) for name in ids])


def refill(store):
    """What an extraction does: the rows that are to be made, with the others as they are."""
    for task in make_plan(store, [SPEC.name], store.clips, fingerprint_of=lambda clip: clip.id).tasks:
        span = store.shard_rows(task.shard)
        record = store.ledger(SPEC.name).newest_of(task.shard)
        known = record.rows if record else ()
        made_now = [Row(store.ids[row], "ok", stored=True) for row in span]
        rows = [made_now[at] if row in task.clips else known[at] for at, row in enumerate(span)]
        values = expected([store.ids[row] for row in span])
        with claim(store, [SPEC.name], task.shard):
            valid = np.ones(values.shape[:2], bool)
            commit_features(store, SPEC.name, task.shard, values=values, valid=valid, rows=rows)


@pytest.mark.parametrize("more", [1, 2, 7, 40])
def test_rows_stay_and_new_ones_are_missing_until_they_are_made(tmp_path, more):
    before = made(tmp_path / "s.zarr")
    new = append_clips(before.url, toy.table(10 + more))
    assert [clip.id for clip in new] == toy.table(more, first=10).ids
    store = FeatureStore.open(before.url, read_only=False)
    assert (store.info.clips, store.info.grown_at, len(store.clips)) == (10 + more, (10,), 10 + more)
    assert store.clips.hash == store.info.clip_table_hash
    np.testing.assert_array_equal(store.read(SPEC.name)[:10], expected(store.ids[:10]))
    assert np.isnan(store.read(SPEC.name)[10:]).all()
    assert store.committed(SPEC.name).tolist() == [True] * 10 + [False] * more
    found = LabelStore.open(store.url).read_pseudo_labels("valor")
    assert found.known.tolist() == [*labels(10).known, *[False] * more]
    assert verify(store.url, deep=True).problems == []

    plan = make_plan(store, [SPEC.name], store.clips, fingerprint_of=lambda clip: clip.id)
    assert sorted(row for task in plan.tasks for row in task.clips) == list(range(10, 10 + more))
    refill(store)
    fresh = FeatureStore.open(store.url)
    np.testing.assert_array_equal(fresh.read(SPEC.name), expected(fresh.ids))
    assert verify(store.url, deep=True).problems == []
    assert make_plan(fresh, [SPEC.name], fresh.clips, fingerprint_of=lambda clip: clip.id).tasks == ()
    group = zarr.open_group(store.url, mode="r")
    assert group["features/ear/values"].shape[0] == group["clips/id"].shape[0] == 10 + more
    assert group["clips/id"][:].tolist() == fresh.ids


def test_it_grows_again_and_again(tmp_path):
    url = made(tmp_path / "s.zarr", clips=3).url
    for total in (4, 5, 9, 10):
        append_clips(url, toy.table(total))
        refill(FeatureStore.open(url, read_only=False))
    store = FeatureStore.open(url)
    assert store.info.grown_at == (3, 4, 5, 9)
    np.testing.assert_array_equal(store.read(SPEC.name), expected(toy.table(10).ids))
    assert verify(url, deep=True).problems == []


def test_clips_that_are_there_are_not_appended(tmp_path):
    store = made(tmp_path / "s.zarr")
    assert append_clips(store.url, toy.table(4)) == ()
    assert FeatureStore.open(store.url).info == store.info
    moved = ClipTable([Clip(toy.table(1).ids[0], "/m/0.mp4", 3, 13)])
    with pytest.raises(SchemaMismatch, match="A clip's span cannot change"):
        append_clips(store.url, moved)


def test_a_place_without_a_store(tmp_path):
    with pytest.raises(StoreError, match="no feature store here"):
        append_clips(str(tmp_path / "none.zarr"), toy.table(2))
    assert not (tmp_path / "none.zarr").exists()


def test_an_id_in_another_unicode_form_is_no_new_clip(tmp_path):
    table = ClipTable([Clip("caf\u00e9", "/m/1.mp4")])
    store = FeatureStore.open_or_create(str(tmp_path / "s.zarr"), table)
    with pytest.raises(ClipTableError, match="Unicode"):
        append_clips(store.url, ClipTable([Clip("cafe\u0301", "/m/1.mp4")]))


def test_a_run_that_does_not_know_yet_finishes_what_it_knows_of(tmp_path):
    store = FeatureStore.open_or_create(str(tmp_path / "s.zarr"), toy.table(10), shard_size=toy.SHARD)
    store.ensure_feature(SPEC, toy.origin(SPEC.name))
    append_clips(store.url, toy.table(11))
    toy.fill(store, SPEC)  # opened before
    fresh = FeatureStore.open(store.url, read_only=False)
    assert fresh.committed(SPEC.name).tolist() == [True] * 10 + [False]
    refill(fresh)
    np.testing.assert_array_equal(FeatureStore.open(store.url).read(SPEC.name), expected(toy.table(11).ids))
    assert verify(store.url, deep=True).problems == []


def lengths(store):
    """Rows of each array of the store's clips, by path."""
    paths = [key.removesuffix("/zarr.json") for key, _ in store.root.walk("") if key.endswith("/zarr.json")]
    arrays = [(path, zarr.open(store.url, path=path, mode="r")) for path in paths if not path.startswith("ledger")]
    return {path: one.shape[0] for path, one in arrays if isinstance(one, zarr.Array) and not path.endswith("/classes")}


def make_arrays(store):
    store.ensure_feature(SPEC, toy.origin(SPEC.name))
    toy.keep(store)


def test_an_array_made_by_a_run_that_does_not_know_yet_is_as_long_as_the_store(tmp_path):
    store = FeatureStore.open_or_create(str(tmp_path / "s.zarr"), toy.table(10), shard_size=toy.SHARD)
    pseudo = LabelStore.open(store.url)
    append_clips(store.url, toy.table(13))
    make_arrays(store)
    with pytest.raises(SchemaMismatch, match=r"has grown from 10 to 13 clips meanwhile. Run the command again"):
        pseudo.write_pseudo_labels(labels(10))
    toy.fill(store, SPEC)
    LabelStore.open(store.url).write_pseudo_labels(labels(13))
    assert set(lengths(store).values()) == {13}
    refill(FeatureStore.open(store.url, read_only=False))
    np.testing.assert_array_equal(FeatureStore.open(store.url).read(SPEC.name), expected(toy.table(13).ids))
    assert verify(store.url, deep=True).problems == []


def test_an_array_made_while_the_store_grows_waits_for_its_length(tmp_path, monkeypatch):
    store = FeatureStore.open_or_create(str(tmp_path / "s.zarr"), toy.table(10), shard_size=toy.SHARD)
    maker = threading.Thread(target=make_arrays, args=(store,))
    put_root = growth._put_root

    def put_root_late(*arguments):
        maker.start()
        maker.join(0.5)
        assert maker.is_alive(), "it did not wait"
        put_root(*arguments)

    monkeypatch.setattr(growth, "_put_root", put_root_late)
    append_clips(store.url, toy.table(13))
    maker.join()
    assert set(lengths(store).values()) == {13}
    assert verify(store.url, deep=True).problems == []


def test_a_table_that_lists_new_clips_among_the_old_is_the_same_table(tmp_path):
    store = made(tmp_path / "s.zarr", clips=8)
    with pytest.raises(SchemaMismatch, match="row 0 is"):
        FeatureStore.open_or_create(store.url, ClipTable(list(reversed(toy.table(8))), source="folder"))
    append_clips(store.url, toy.table(10))
    store = FeatureStore.open(store.url)
    mixed = ClipTable(list(reversed(toy.table(10))), source="folder")
    again = FeatureStore.open_or_create(store.url, mixed)
    assert again.in_row_order(mixed).ids == store.ids
    with pytest.raises(SchemaMismatch, match=r"has 2 more, e.g. .* or take in the new ones: avvp store append"):
        FeatureStore.open_or_create(store.url, toy.table(12))
    with pytest.raises(SchemaMismatch, match=r"6 of which .* lacks"):
        FeatureStore.open_or_create(store.url, toy.table(4))


def test_damage_in_the_shard_that_grew_is_repaired(tmp_path):
    store = made(tmp_path / "s.zarr")
    append_clips(store.url, toy.table(11))
    file = store.root.path / store.direct(f"features/{SPEC.name}/valid").key(2)
    file.write_bytes(file.read_bytes()[:-1])
    problems = verify(store.url).problems
    assert problems
    mark_rows(store.url, problems)
    grown = FeatureStore.open(store.url, read_only=False)
    refill(grown)
    np.testing.assert_array_equal(FeatureStore.open(store.url).read(SPEC.name), expected(toy.table(11).ids))
    assert verify(store.url, deep=True).problems == []


@pytest.mark.slow
def test_killed_at_every_put(tmp_path, monkeypatch):
    puts = 0
    while True:
        url = made(tmp_path / f"{puts}.zarr").url
        try:
            with dying_after(monkeypatch, puts):
                append_clips(url, toy.table(13))
            break
        except Killed:
            pass
        store = FeatureStore.open(url)
        assert store.info.clips == 10
        np.testing.assert_array_equal(store.read(SPEC.name), expected(store.ids))
        assert len(LabelStore.open(url).read_pseudo_labels("valor").known) == 10
        append_clips(url, toy.table(13))
        refill(FeatureStore.open(url, read_only=False))
        assert verify(url, deep=True).problems == [], f"killed at put {puts}"
        np.testing.assert_array_equal(FeatureStore.open(url).read(SPEC.name), expected(toy.table(13).ids))
        puts += 1
    assert puts > 10
