from __future__ import annotations

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
            queue.heap.rows[push(queue.heap, time), 1] = number
            waiting.append((time, number))
        elif waiting:
            pop(queue.heap)
            assert queue.heap.top[0] == min(waiting)[0]
            waiting.remove((int(queue.heap.top[0]), int(queue.heap.top[1])))
        assert queue.heap.size[0] == len(waiting)


def test_a_saved_queue_has_the_same_rows() -> None:
    queue, other = Queue(2), Queue(2)
    queue.reserve(100)
    for number in range(100):
        queue.heap.rows[push(queue.heap, number * 37 % 100), 1] = number
    other.load(queue.save(0), 0)
    times = []
    for _ in range(100):
        pop(other.heap)
        times.append(int(other.heap.top[0]))
    assert times == list(range(100))
