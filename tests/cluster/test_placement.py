"""Where the engine puts a shard, and that every process gets as many."""

from __future__ import annotations

import threading
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import cluster_main

from flows.cluster.placement import engine_hash, shard_keys
from flows.pipeline import ALL


class Once(StatelessSourcePartition[str]):
    def __init__(self, keys: list[str]) -> None:
        self.keys = keys

    def next_batch(self) -> list[str]:
        if not self.keys:
            raise StopIteration
        keys, self.keys = self.keys, []
        return keys


class FromTheFirst(DynamicSource[str]):
    """All keys, from worker 0."""

    def __init__(self, keys: list[str]) -> None:
        self.keys = keys

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Once:
        return Once([] if worker_index else self.keys)


class Note(StatefulBatchLogic[str, Any, None]):
    """Writes down which thread, and so which worker, has which key."""

    def __init__(self, threads: dict[str, int]) -> None:
        self.threads = threads

    def on_batch(self, values: list[str]) -> tuple[list[Any], bool]:
        self.threads[values[0]] = threading.get_ident()
        return [], StatefulBatchLogic.RETAIN

    def snapshot(self) -> None:
        return None


class Nothing(StatelessSinkPartition[Any]):
    def write_batch(self, items: list[Any]) -> None:
        pass


class WorkersOfThreads(DynamicSink[Any]):
    def __init__(self) -> None:
        self.workers: dict[int, int] = {}

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Nothing:
        self.workers[threading.get_ident()] = worker_index
        return Nothing()


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_the_engine_puts_each_shard_where_its_number_says(workers: int) -> None:
    threads: dict[str, int] = {}
    sink = WorkersOfThreads()
    keys = [*shard_keys(16), ALL, "ticks", "a longer key than eight bytes"]
    flow = Dataflow("placement")
    keyed = op.key_on("key", op.input("keys", flow, FromTheFirst(keys)), lambda key: key)
    op.output("end", op.stateful_batch("note", keyed, lambda _state: Note(threads)), sink)
    cluster_main(flow, [], 0, worker_count_per_proc=workers)
    found = {key: sink.workers[thread] for key, thread in threads.items()}
    assert found == {key: engine_hash(key) % workers for key in keys}
    assert [found[key] for key in shard_keys(16)] == [index % workers for index in range(16)]
    assert found[ALL] == 0


@pytest.mark.parametrize("shards", [1, 16, 64])
def test_names_of_shards_differ_and_do_not_depend_on_how_many_there_are(shards: int) -> None:
    keys = shard_keys(shards)
    assert len(set(keys)) == shards
    assert keys == shard_keys(64)[:shards]
