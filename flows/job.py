"""One run of the job: outputs, source and dataflow put together, started again when the topic grows, and ended well."""

from __future__ import annotations

import gc
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from types import FrameType

from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main

from flows.catalogue import catalogue
from flows.cells import Snapshot
from flows.checkpoint_folder import CheckpointFolder
from flows.columns import NO_TIME, Columns
from flows.config import Config
from flows.connectors.dead_letters import DeadLetterSink
from flows.connectors.kafka_source import KafkaSource
from flows.connectors.prometheus import Exporter
from flows.connectors.redis_sink import RedisPublisher
from flows.connectors.source import Outcome
from flows.health import Health
from flows.intake import Intake
from flows.pipeline import build
from flows.settings import Settings
from flows.warm_up import warm_up

CLOSE_SECONDS = 3.0
"""How long a stop may take to write the last numbers; with the last checkpoint it stays under five seconds."""
EPOCH_MS = 10_000
"""Epoch length where nothing is stored; it only paces the engine."""

GC_ALLOCATIONS = 100_000
"""New objects between two looks for cycles: ten full polls."""

logger = logging.getLogger(__name__)


class Pacemaker:
    """Tells the source how far each partition's event time has been read, and Health how polls went."""

    def __init__(self, health: Health, shards: int) -> None:
        self._health = health
        self._shards = shards
        self._clocks: dict[int, int] = {}
        self._frozen: list[float] = []

    def clock_ms(self, partition: int) -> int:
        """The largest event time read from `partition` by this process, NO_TIME before the first."""
        return self._clocks.get(partition, NO_TIME)

    def on_poll(self, poll: Columns) -> None:
        """A poll was decoded."""
        if poll.clock_ms > self.clock_ms(poll.partition):
            self._clocks[poll.partition] = poll.clock_ms
        self._health.polled(poll.consumed, int(poll.rejected.sum()))

    def on_checkpoint(self, seconds: float) -> None:
        """A shard was frozen; with the last one the checkpoint is complete, and is then stored by the engine."""
        self._frozen.append(seconds)
        if len(self._frozen) == self._shards:
            self._health.checkpointed(sum(self._frozen))
            self._frozen.clear()


class Outputs:
    """Where snapshots go: Redis and Prometheus, each only where it is configured."""

    def __init__(self, config: Config, settings: Settings, health: Health, resumed: bool) -> None:
        self._health = health
        self._starts_counting = resumed  # counters of this process begin at the first snapshot, not at zero
        self._exporter: Exporter | None = None
        self._redis: RedisPublisher | None = None
        if settings.metrics_address:
            self._exporter = Exporter(settings.metrics_address, catalogue(config), health, product=config.product)
        if settings.redis_url:
            self._redis = RedisPublisher(
                settings.redis_url, config.product, health, minute_history_ms=config.minute_history
            )

    def start(self) -> None:
        """Open the endpoint and take the fence."""
        if self._exporter is not None:
            self._exporter.start()
        if self._redis is not None:
            self._redis.start()

    def publish(self, snapshot: Snapshot) -> None:
        """Hand `snapshot` to both; never waits."""
        self._health.snapshot_taken()
        if self._exporter is not None:
            if self._starts_counting:
                self._exporter.start_from(snapshot)
                self._starts_counting = False
            self._exporter.update(snapshot)
        if self._redis is not None:
            self._redis.publish(snapshot)

    def check(self) -> None:
        """Raise what has ended publishing, if anything has."""
        if self._redis is not None:
            self._redis.check()

    def close(self) -> bool:
        """Write what waits; True when the newest numbers are out."""
        written = self._redis is None or self._redis.close(CLOSE_SECONDS)
        if self._exporter is not None:
            self._exporter.close()
        return written


class Job:
    """Runs one product until its input ends or it is stopped.

    `until_end`: read every partition to where it ends now, publish, and return; time moves with the events only, and
    is then advanced to `as_of_ms`.
    """

    def __init__(
        self, config: Config, settings: Settings, *, until_end: bool = False, as_of_ms: int | None = None
    ) -> None:
        self._config = config
        self._settings = settings
        self._until_end = until_end
        self._as_of_ms = as_of_ms
        self._source: KafkaSource | None = None
        self._stopping = False

    def stop(self) -> None:
        """Finish what was read, publish and return from `run`. Safe to call from a signal handler."""
        self._stopping = True
        if self._source is not None:
            self._source.stop()

    def run(self) -> bool:
        """Returns whether the last numbers were written everywhere.

        Raises SourceError, FencedOut, RedisRefused, FolderError or CheckpointError with one sentence for the operator.
        """
        health = Health(redis_configured=bool(self._settings.redis_url))
        with ExitStack() as stack:
            folder = None
            if self._settings.state is not None:
                folder = stack.enter_context(CheckpointFolder(self._settings.state, self._config))
            outputs = Outputs(self._config, self._settings, health, folder is not None and folder.resumed)
            warm_up(self._config)
            # What lives until now lives for ever; records come and go in thousands and refer to nothing that could
            # form a cycle, so that collecting garbage often would only walk through them.
            gc.freeze()
            gc.set_threshold(GC_ALLOCATIONS)
            outputs.start()
            try:
                while not self._stopping:
                    outcome = self._flow(outputs, health, folder)
                    outputs.check()
                    if outcome != "partitions_changed":
                        break
                    logger.info("reading on with the new partitions")
            finally:
                written = outputs.close()
            outputs.check()
        return written

    def _flow(self, outputs: Outputs, health: Health, folder: CheckpointFolder | None) -> Outcome:
        """One life of the dataflow."""
        pacemaker = Pacemaker(health, self._config.shards)
        dead_letters = DeadLetterSink(self._settings)
        dead_letters.start()
        source = KafkaSource(
            self._settings,
            product=self._config.product,
            until_end=self._until_end,
            as_of_ms=self._as_of_ms,
            pace=pacemaker,
            observer=health,
            resumed=None if folder is None else folder.resumed,
        )
        self._source = source
        if self._stopping:
            source.stop()

        def publish(snapshot: Snapshot) -> None:
            outputs.publish(snapshot)
            try:
                outputs.check()
            except Exception as ended:
                health.fail(str(ended))
                source.stop()  # ends the flow in good order; `run` raises it again

        flow = build(
            self._config,
            source=source,
            decode=Intake(self._config, self._settings.limits).read,
            dead_letters=dead_letters,
            publish=publish,
            watch=pacemaker,
            files=None if folder is None else folder.files(),
            limits=self._settings.limits,
        )
        epoch_ms = EPOCH_MS if folder is None else self._settings.checkpoint_ms
        try:
            run_flow(flow, epoch_ms, None if folder is None else folder.recovery())
            source.flow_finished()
        finally:
            source.close()
        if folder is not None:
            folder.resumed = True
        source.check()
        return source.outcome


def run_flow(flow: Dataflow, epoch_ms: int, recovery: RecoveryConfig | None = None) -> None:
    """Run `flow` in this process; what a step has raised comes out as it was, not wrapped by the engine."""
    try:
        cli_main(flow, epoch_interval=timedelta(milliseconds=epoch_ms), recovery_config=recovery)
    except BytewaxRuntimeError as error:
        cause: BaseException = error
        while isinstance(cause, BytewaxRuntimeError) and cause.__cause__ is not None:
            cause = cause.__cause__
        raise cause from None


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and Ctrl-C call `stop` once; a second one ends the process at once, as if it had crashed."""

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        logger.info("stopping: finishing what was read (once more to end at once)")
        stop()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
