"""One run of the job: outputs, source and dataflow put together, started again when the topic grows, and ended well."""

from __future__ import annotations

import logging

from flows.catalogue import catalogue
from flows.cells import Snapshot
from flows.columns import NO_TIME, Columns
from flows.config import Config
from flows.connectors.prometheus import Exporter
from flows.connectors.redis_sink import RedisPublisher
from flows.health import Health
from flows.settings import Settings

CLOSE_SECONDS = 3.0
"""How long a stop may take to write the last numbers; with the last checkpoint it stays under five seconds."""
NO_CHECKPOINTS_MS = 10_000
"""Epoch length where nothing is stored; it only paces the engine."""

logger = logging.getLogger(__name__)


class Pacemaker:
    """Tells the source how far each partition's event time has been read, and Health how polls went."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self._clocks: dict[int, int] = {}

    def clock_ms(self, partition: int) -> int:
        """The largest event time read from `partition` by this process, NO_TIME before the first."""
        return self._clocks.get(partition, NO_TIME)

    def on_poll(self, poll: Columns) -> None:
        """A poll was decoded."""
        if poll.clock_ms > self.clock_ms(poll.partition):
            self._clocks[poll.partition] = poll.clock_ms
        self._health.polled(poll.consumed, int(poll.rejected.sum()))

    def on_checkpoint(self, seconds: float) -> None:
        """A shard was frozen."""
        self._health.checkpointed(seconds)


class Outputs:
    """Where snapshots go: Redis and Prometheus, each only where it is configured."""

    def __init__(self, config: Config, settings: Settings, health: Health, resumed: bool) -> None:
        self._health = health
        self._from_zero = not resumed
        self.exporter = (
            Exporter(settings.metrics_address, catalogue(config), health, product=config.product)
            if settings.metrics_address
            else None
        )
        self.redis = (
            RedisPublisher(
                settings.redis_url, config.product, health, minute_history_ms=config.minute_history
            )
            if settings.redis_url
            else None
        )

    def start(self) -> None:
        """Take the fence and open the endpoint."""
        if self.redis is not None:
            self.redis.start()
        if self.exporter is not None:
            self.exporter.start()

    def publish(self, snapshot: Snapshot) -> None:
        """Hand `snapshot` to both; never waits."""
        self._health.snapshot_taken()
        if self.exporter is not None:
            self.exporter.update(snapshot)
        if self.redis is not None:
            self.redis.publish(snapshot)

    def check(self) -> None:
        """Raise what has ended publishing, if anything has."""
        if self.redis is not None:
            self.redis.check()

    def close(self) -> bool:
        """Write what waits; True when the newest numbers are out."""
        written = self.redis is None or self.redis.close(CLOSE_SECONDS)
        if self.exporter is not None:
            self.exporter.close()
        return written
