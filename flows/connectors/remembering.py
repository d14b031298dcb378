"""Keeps what a sink has failed of: in a cluster the engine prints what a step raises, and forgets it."""

from __future__ import annotations

from bytewax.outputs import DynamicSink, StatelessSinkPartition

from flows.records import Rejected


class Remembering(DynamicSink[Rejected]):
    """A sink whose failure stands in `failure`."""

    def __init__(self, sink: DynamicSink[Rejected]) -> None:
        self.failure: Exception | None = None
        self._sink = sink

    def build(self, step_id: str, worker_index: int, worker_count: int) -> StatelessSinkPartition[Rejected]:
        """That of the sink itself."""
        return _Noting(self, self._sink.build(step_id, worker_index, worker_count))


class _Noting(StatelessSinkPartition[Rejected]):
    def __init__(self, sink: Remembering, partition: StatelessSinkPartition[Rejected]) -> None:
        self._sink = sink
        self._partition = partition

    def write_batch(self, items: list[Rejected]) -> None:
        try:
            self._partition.write_batch(items)
        except Exception as failure:
            self._sink.failure = failure
            raise

    def close(self) -> None:
        self._partition.close()
