"""Which shards a process takes, with others at the same store."""

import pytest
import toy_store as toy

from pipeline.extraction.claims import Claims
from pipeline.extraction.plan import ShardTask, make_plan
from storage.ledger import Ledger
from storage.store import FeatureStore

SPEC = toy.SPECS[1]


@pytest.fixture
def store(tmp_path):
    made = FeatureStore.open_or_create(str(tmp_path / "s.zarr"), toy.table(40), shard_size=2)
    made.ensure_feature(SPEC, toy.origin(SPEC.name))
    return made


def tasks(store):
    return make_plan(store, [SPEC.name], store.clips, fingerprint_of=lambda clip: clip.id).tasks


def test_a_process_that_is_alone_goes_through_them_in_order(store):
    claims = Claims(store, tasks(store))
    assert [task.shard for task in claims] == list(range(20))
    assert claims.others == []


def test_one_that_meets_another_goes_on_elsewhere_and_skips_what_is_done(store, monkeypatch):
    claims = Claims(store, tasks(store), seed=1)
    other = FeatureStore.open(store.url, read_only=False)
    toy.fill(other, SPEC, shards=range(15))
    order = iter(claims)
    first = next(order)
    claims.met(first)
    monkeypatch.setattr(Ledger, "state", lambda *_: pytest.fail("asked for a shard"))
    monkeypatch.setattr(Ledger, "states", lambda *_: pytest.fail("listed again"))
    left = [task.shard for task in order]
    assert sorted(left) == [15, 16, 17, 18, 19]
    assert sorted(task.shard for task in claims.others) == list(range(15))


def test_a_task_of_rows_that_are_there_is_compared_with_its_own_commit(store):
    toy.fill(store, SPEC, shards=[0])
    store.ledger(SPEC.name).states()
    again = ShardTask(0, {SPEC.name: frozenset({1})}, {SPEC.name: 1})
    stale = ShardTask(0, {SPEC.name: frozenset({1})})
    assert list(Claims(store, [again, stale])) == [again]
