import numpy as np
import pytest

from pipeline.datasets.ave import load_events
from pipeline.datasets.dataset_description import load_description
from pipeline.synthetic.events import EventDifficulty, plan_events, write_event_features


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ave")
    level = EventDifficulty(noise=0.1, clip_noise=0.0, empty=0.3)
    return write_event_features(folder, count=60, seed=3, channels=8, difficulty=level), folder


def test_an_event_is_where_its_class_is_heard_and_seen():
    clips = plan_events(300, seed=1, level=EventDifficulty(empty=0.2), dataset=load_description("ave"))
    alone = 0
    for clip in clips:
        inside = np.zeros(10, dtype=bool)
        inside[clip.span[0] : clip.span[1]] = True
        assert (inside == (clip.heard & clip.seen)).all()
        assert (clip.label == 28) == (not inside.any())
        alone += (clip.heard != clip.seen).any()
    assert 30 < alone < 150
    assert {clip.split for clip in clips if clip.label == 28} == {"train"}
    share = np.mean([clip.span[1] - clip.span[0] for clip in clips if clip.label != 28]) / 10
    assert 0.7 < share < 0.9  # AVE's is 0.83


def test_the_files_are_read_back_as_planned(made):
    store, folder = made
    labels = load_events(folder / "annotations")
    assert set(labels.ids) == set(store.ids)
    level = EventDifficulty(noise=0.1, clip_noise=0.0, empty=0.3)
    plan = {clip.name: clip for clip in plan_events(60, seed=3, level=level, dataset=labels.dataset)}
    for name, segments, weak in zip(labels.ids, labels.segments, labels.weak, strict=True):
        assert ((segments != 28) == (plan[name].heard & plan[name].seen)).all()
        assert weak[plan[name].label] == 1


def test_pictures_show_the_event_at_some_positions(made):
    store, folder = made
    grids = store.read("vgg19_pool5", None).reshape(60, 10, 7, 7, 8)
    labels = load_events(folder / "annotations").align(store.ids)
    loud = grids.max(axis=-1) > 1.0
    row = int(np.flatnonzero((labels.segments != 28).all(axis=1))[0])
    assert 4 <= loud[row, 0].sum() <= 9
    assert (loud[row] == loud[row, :1]).all()


def test_the_same_seed_gives_the_same_numbers(made, tmp_path):
    store, _ = made
    level = EventDifficulty(noise=0.1, clip_noise=0.0, empty=0.3)
    again = write_event_features(tmp_path, count=60, seed=3, channels=8, difficulty=level)
    np.testing.assert_array_equal(store.read("vggish", None), again.read("vggish", None))
