from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flows.state.queue import Queue, pop, push


@given(st.lists(st.one_of(st.integers(0, 50), st.none()), max_size=200))
def test_the_soonest_comes_first_and_every_row_comes_once(story: list[int | None]) -> None:
    queue = Queue(2)
    waiting: list[tuple[int, int]] = []
    for number, time in enumerate(story):
        if time is not None:
            queue.reserve(1)
            push(queue.heap, queue.size, np.array([time, number]))
            waiting.append((time, number))
        elif waiting:
            row = np.empty(2, np.int64)
            pop(queue.heap, queue.size, row)
            assert row[0] == min(waiting)[0]
            waiting.remove((int(row[0]), int(row[1])))
        assert queue.size[0] == len(waiting)


def test_a_saved_queue_has_the_same_rows() -> None:
    queue, other = Queue(2), Queue(2)
    queue.reserve(100)
    for number in range(100):
        push(queue.heap, queue.size, np.array([number * 37 % 100, number]))
    other.load(queue.save(0), 0)
    row = np.empty(2, np.int64)
    times = []
    for _ in range(100):
        pop(other.heap, other.size, row)
        times.append(int(row[0]))
    assert times == list(range(100))
