"""One run of the job: outputs, source and dataflow put together, started again when the topic grows, and ended well."""

from __future__ import annotations

import errno
import gc
import logging
import re
import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from types import FrameType

from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main

from flows.checkpoint.files import StateFiles
from flows.checkpoint.folder import CheckpointFolder, FolderError
from flows.cluster.peers import Cluster, ClusterError, Peers
from flows.config.model import Config
from flows.config.settings import Settings
from flows.decode.intake import Intake
from flows.kafka.client import check_access
from flows.messages.columns import NO_TIME, Columns
from flows.messages.errors import RecoverableError
from flows.messages.raw import Rejected
from flows.messages.snapshot import Snapshot
from flows.metrics.catalogue import catalogue
from flows.metrics.parts import definitions
from flows.pipeline import ALONE, Sinks, build
from flows.process.health import Health
from flows.process.outcomes import Outcome
from flows.process.rejections import nothing_accepted
from flows.publish.dead_letters.letters import DeadLetterError
from flows.publish.dead_letters.topic import KafkaLetters, NoLetters, dead_letter_topic
from flows.publish.prometheus.exporter import Exporter
from flows.publish.redis.sink import FencedOut, RedisPublisher
from flows.run.conversation import Conversation, definitions_of
from flows.run.warm_up import warm_up
from flows.source.kafka import KafkaSource

CLOSE_SECONDS = 3.0
"""How long a stop may take to write the last numbers; with the last checkpoint it stays under five seconds."""
LETTERS_SECONDS = 1.0
"""How long an end waits for Kafka to take the last dead letters, where the state folder keeps them."""
LOST_LETTERS_SECONDS = (3.0, 30.0)
"""The same without a state folder: for a run that was stopped, and for one to the end of the topic."""
EPOCH_MS = 10_000
"""Epoch length where nothing is stored; it only paces the engine."""

GC_ALLOCATIONS = 100_000
"""New objects between two looks for cycles: ten full polls."""

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Of the state files, which are written from within the flow."""

logger = logging.getLogger(__name__)


class Pacemaker:
    """Tells the source how far each partition's event time has been read, and Health how polls went."""

    def __init__(self, health: Health, peers: Peers | None = None) -> None:
        self._health = health
        self._peers = peers
        self._shards = 0
        self.failure: Exception | None = None  # of a step that the engine would only print
        self._clocks: dict[int, int] = {}
        self._frozen: list[float] = []

    def clock_ms(self, partition: int) -> int:
        """The largest event time read from `partition` by this process, NO_TIME before the first."""
        return self._clocks.get(partition, NO_TIME)

    def elsewhere_ms(self) -> int | None:
        """The event time of the slowest lagging partition that other processes read; None: none lags."""
        return None if self._peers is None else self._peers.slowest_ms()

    def on_shard(self) -> None:
        """This process measures one more shard."""
        self._shards += 1

    def on_poll(self, poll: Columns, rejected: list[Rejected]) -> None:
        """A poll was decoded."""
        if poll.clock_ms > self.clock_ms(poll.partition):
            self._clocks[poll.partition] = poll.clock_ms
        self._health.polled(poll, rejected)

    def on_failure(self, failure: Exception) -> None:
        """A step has raised this."""
        self.failure = self.failure or failure

    def on_checkpoint(self, seconds: float) -> None:
        """A shard was frozen; with the last one the checkpoint is complete, and is then stored by the engine."""
        self._frozen.append(seconds)
        if len(self._frozen) == self._shards:
            self._health.checkpointed(sum(self._frozen))
            self._frozen.clear()


class Outputs:
    """Where snapshots go: Redis and Prometheus, each only where it is configured, and only from process 0."""

    def __init__(
        self, config: Config, settings: Settings, health: Health, resumed: bool, publishes: bool, after_token: int
    ) -> None:
        self._health = health
        self._starts_counting = resumed  # counters of this process begin at the first snapshot, not at zero
        self._exporter: Exporter | None = None
        self._redis: RedisPublisher | None = None
        if settings.metrics_address and publishes:
            exported = [name for name, section in config.top.items() if section.export]
            self._exporter = Exporter(
                settings.metrics_address, catalogue(config), health, product=config.product, lists=exported
            )
        if settings.redis_url and publishes:
            self._redis = RedisPublisher(
                settings.redis_url,
                config.product,
                health,
                minute_history_ms=config.minute_history,
                after_token=after_token,
            )

    def open(self) -> None:
        """Answer at the endpoint, before there is anything to tell."""
        if self._exporter is not None:
            self._exporter.start()

    def take_over(self) -> int:
        """Take the fence: from now on an older run of the product writes nothing, and ends.

        Returns the fencing token, 0 without Redis.
        """
        if self._redis is None:
            return 0
        self._redis.start()
        return self._redis.token

    def publish(self, snapshot: Snapshot) -> None:
        """Hand `snapshot` to both; never waits."""
        self._health.snapshot_taken(snapshot.accounting, final=snapshot.final)
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
    """Runs one product, or the part of one process of a `cluster` in it, until its input ends or it is stopped.

    `until_end`: read every partition to where it ends now, publish, and return; time moves with the events only, and
    is then advanced to `as_of_ms`. `accept_changes`: go on from the checkpoint also where that loses parts of it.
    """

    def __init__(
        self,
        config: Config,
        settings: Settings,
        *,
        until_end: bool = False,
        as_of_ms: int | None = None,
        cluster: Cluster = ALONE,
        accept_changes: bool = False,
    ) -> None:
        self.outcome: Outcome = "running"
        self._config = config
        self._settings = settings
        self._cluster = cluster
        self._accept_changes = accept_changes
        self._until_end = until_end
        self._as_of_ms = as_of_ms
        self._source: KafkaSource | None = None
        self._stopping = False
        self._accounting: Mapping[int, Mapping[str, int]] = {}

    @property
    def nothing_accepted(self) -> bool:
        """Whether, of all that the published numbers cover, records were rejected and none accepted.

        Process 0 of a cluster knows it.
        """
        return nothing_accepted(self._accounting)

    @property
    def reads(self) -> bool:
        """Whether the dataflow has begun; until then there is nothing to finish."""
        return self._source is not None and self._source.begun

    def stop(self) -> None:
        """Finish what was read, publish and return from `run`. Safe to call from a signal handler."""
        self._stopping = True
        if self._source is not None:
            self._source.stop()

    def run(self) -> bool:
        """Returns whether the last numbers were written everywhere; `outcome` says how it has ended.

        Raises SourceError, FencedOut, RedisRefused, FolderError, CheckpointError or ClusterError with one sentence for
        the operator.
        """
        cluster = self._cluster
        first = cluster.process == 0
        health = Health(redis_configured=bool(self._settings.redis_url) and first, processes=cluster.processes)
        with ExitStack() as stack:
            folder = None
            if self._settings.state is not None and first:
                made_with = definitions(self._config)
                opened = CheckpointFolder(self._settings.state, made_with, accept_changes=self._accept_changes)
                folder = stack.enter_context(opened)
            outputs = Outputs(
                self._config,
                self._settings,
                health,
                folder is not None and folder.resumed,
                first,
                0 if folder is None else folder.last_token(),
            )
            outputs.open()
            try:
                # Whoever cannot read, or keep what it rejects, takes nothing over from a run that can; nor does
                # one that is still compiling.
                check_access(self._settings, stopping=lambda: self._stopping)
                letters = dead_letter_topic(self._settings, process=cluster.process, processes=cluster.processes)
                stack.push(partial(self._close_letters, letters))
                health.count_dead_letters(letters.counts)
                letters.make_room(stopping=lambda: self._stopping)
                warm_up(self._config)
                # What lives until now lives for ever; records come and go in thousands and refer to nothing that could
                # form a cycle, so that collecting garbage often would only walk through them.
                gc.freeze()
                gc.set_threshold(GC_ALLOCATIONS)
                token = 0 if self._stopping else outputs.take_over()
                if folder is not None and token:
                    folder.remember_token(token)
                while not self._stopping:
                    self.outcome = self._flow(outputs, health, folder, letters)
                    outputs.check()
                    if self.outcome != "partitions_changed" or not cluster.alone:
                        break
                    logger.info("reading on with the new partitions")
            finally:
                written = outputs.close()
            outputs.check()
        return written

    def _close_letters(self, letters: KafkaLetters | NoLetters, kind: type[BaseException] | None, *_: object) -> None:
        """When the run ends; letters that no checkpoint has passed over come again by themselves."""
        seconds = LOST_LETTERS_SECONDS[self._until_end] if self._settings.state is None else LETTERS_SECONDS
        try:
            letters.close(0 if kind else seconds)
        except DeadLetterError as lost:
            if self._until_end and kind is None:
                raise
            logger.warning("%s", lost)

    def _flow(
        self, outputs: Outputs, health: Health, folder: CheckpointFolder | None, letters: KafkaLetters | NoLetters
    ) -> Outcome:
        """One life of the dataflow."""
        cluster, limits = self._cluster, self._settings.limits
        peers = None
        if not cluster.alone:
            peers = Peers(cluster, definitions_of(self._config, self._settings), self._settings.tick_ms)
        pacemaker = Pacemaker(health, peers)
        source = self._source = self._opened(health, folder, pacemaker, peers)
        letters.fail = source.fail
        if self._stopping:
            source.stop()
        conversation = None if peers is None else Conversation(peers, source, health)
        files = None if self._settings.state is None else StateFiles(self._settings.state)
        flow = build(
            self._config,
            limits,
            source=source,
            decode=Intake(self._config, limits, live=True).read,
            sinks=Sinks(partial(self._publish, outputs, health, source), pacemaker, letters, conversation),
            files=files,
            cluster=cluster,
        )
        try:
            self._let_run(flow, folder, conversation)
            source.flow_finished()
        except ClusterError as broken:
            raise source.failure or pacemaker.failure or broken from None
        finally:
            source.close()
            if files is not None:
                files.close()
        if folder is not None:
            folder.resumed = True
        source.check()
        if source.outcome == "fenced" and cluster.process != 0:
            raise FencedOut("a newer run publishes this product; all processes of this one end")
        return source.outcome

    @property
    def _epoch_ms(self) -> int:
        return EPOCH_MS if self._settings.state is None else self._settings.checkpoint_ms

    def _opened(
        self, health: Health, folder: CheckpointFolder | None, pacemaker: Pacemaker, peers: Peers | None
    ) -> KafkaSource:
        return KafkaSource(
            self._settings,
            product=self._config.product,
            until_end=self._until_end,
            as_of_ms=self._as_of_ms,
            pace=pacemaker,
            observer=health,
            resumed=None if folder is None else folder.resumed,
            peers=peers,
            epoch_ms=self._epoch_ms,
        )

    def _publish(self, outputs: Outputs, health: Health, source: KafkaSource, snapshot: Snapshot) -> None:
        self._accounting = snapshot.accounting
        outputs.publish(snapshot)
        try:
            outputs.check()
        except Exception as ended:
            health.fail(str(ended))
            # Ends the flow in good order, here and in all processes; `run` raises it again.
            source.stop("fenced" if isinstance(ended, FencedOut) else "stopped")

    def _let_run(self, flow: Dataflow, folder: CheckpointFolder | None, conversation: Conversation | None) -> None:
        with ExitStack() as stack:
            recovery = None if folder is None else folder.recovery()
            if recovery is None and self._settings.state is not None:
                # Process 0 keeps the store, which names the files of all; the engine wants a folder of the others
                # as well, and an empty one will do.
                recovery = RecoveryConfig(stack.enter_context(tempfile.TemporaryDirectory(prefix="tidegauge-")))
            if conversation is not None:
                stack.enter_context(conversation.watched())
            run_flow(flow, self._epoch_ms, recovery, self._cluster)


def run_flow(flow: Dataflow, epoch_ms: int, recovery: RecoveryConfig | None = None, cluster: Cluster = ALONE) -> None:
    """Run `flow` in this process; what a step has raised comes out as it was, not wrapped by the engine.

    In a cluster the engine prints it and raises something of its own, or panics, here and in every other process. That
    comes out as a ClusterError.
    """
    epoch_interval = timedelta(milliseconds=epoch_ms)
    if not cluster.alone:
        try:
            cli_main(
                flow,
                process_id=cluster.process,
                addresses=list(cluster.addresses),
                epoch_interval=epoch_interval,
                recovery_config=recovery,
            )
        except BaseException as error:
            told = isinstance(error, BytewaxRuntimeError | RuntimeError | RecoverableError)
            if not told and type(error).__name__ != "PanicException":
                raise
            raise ClusterError(
                f"process {cluster.process} lost contact with another process; see that process's log; all start "
                f"again from the last checkpoint (the engine says: {error})"
            ) from None
        return
    try:
        cli_main(flow, epoch_interval=epoch_interval, recovery_config=recovery)
    except BytewaxRuntimeError as error:
        cause: BaseException = error
        while isinstance(cause, BytewaxRuntimeError) and cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(cause, OSError) and cause.errno in NO_ROOM:
            raise _unwritten(str(cause.strerror)) from None
        raise cause from None
    except RuntimeError as error:
        if failure := re.search(r'SqliteFailure\(.*Some\("(.*)"\)', str(error)):
            raise _unwritten(failure[1]) from None
        raise


def _unwritten(reason: str) -> FolderError:
    return FolderError(
        f"the checkpoint cannot be written: {reason}; the one before is whole, and with that mended the next run goes "
        "on from it"
    )


@contextmanager
def stopped_by_signals(stop: Callable[[], None], again: Callable[[], None] | None = None) -> Iterator[None]:
    """SIGTERM and Ctrl-C call `stop` once; a second one calls `again`, or ends the process as if it had crashed."""

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL if again is None else lambda *_: again())
        logger.info("stopping: finishing what was read (once more to end at once)")
        stop()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
