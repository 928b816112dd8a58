"""The window of submitted tasks."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from flows.window import in_window


def test_a_task_goes_out_as_one_ends_and_never_more_than_asked_for():
    open_now, most_open = set(), 0
    begun = {}

    def submit(item):
        nonlocal most_open
        begun[item] = Future()
        open_now.add(item)
        most_open = max(most_open, len(open_now))
        return begun[item]

    ended = []
    running = in_window(submit, range(7), most=3)

    def end(item):
        open_now.discard(item)
        begun[item].set_result(item)

    end_first = threading.Timer(0.05, end, [1])
    end_first.start()
    ended.append(next(running)[0])
    assert list(begun) == [0, 1, 2, 3], "the next one does not wait for the whole block"
    for item in (3, 0, 2, 4, 6, 5):
        while item not in begun:
            ended.append(next(running)[0])
        end(item)
        ended.append(next(running)[0])
    assert ended == [1, 3, 0, 2, 4, 6, 5]
    assert list(running) == []
    assert most_open == 3


def test_tasks_of_a_pool_come_back_with_their_items_however_they_end():
    def work(item):
        if item % 10 == 3:
            raise RuntimeError(item)
        return item * 2

    with ThreadPoolExecutor(4) as pool:
        seen = dict(in_window(lambda item: pool.submit(work, item), range(50), most=5))
    assert sorted(seen) == list(range(50))
    assert {item for item, future in seen.items() if future.exception()} == {3, 13, 23, 33, 43}
    assert all(seen[item].result() == item * 2 for item in seen if item % 10 != 3)


def test_tasks_that_have_ended_when_they_are_submitted():
    def submit(item):
        future = Future()
        future.set_result(item)
        return future

    assert [item for item, _ in in_window(submit, range(9), most=2)] == list(range(9))


def test_nothing_to_do_and_no_window():
    assert list(in_window(Future, [], most=4)) == []
    with pytest.raises(ValueError, match="expected 1 or more"):
        next(in_window(Future, [1], most=0))
