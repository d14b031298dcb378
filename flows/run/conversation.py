"""What one process of a cluster says to the others at its ticks, and what follows from what they say."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from flows.cluster.peers import SILENT_SECONDS, ClusterError, Peers, Word
from flows.config.model import Config
from flows.config.settings import Settings
from flows.messages.tick import Tick
from flows.metrics.parts import definitions
from flows.process.health import Health
from flows.source.kafka import KafkaSource

_LOOK_SECONDS: Final = 1.0
_STALL_SECONDS: Final = 5.0
logger = logging.getLogger(__name__)


def definitions_of(config: Config, settings: Settings) -> str:
    """What must be the same in all processes of a cluster."""
    kept = "kept" if settings.state is not None else "not kept"
    return f"{definitions(config).fingerprint()}, topic {settings.topic}, state {kept}"


class Conversation:
    """Says how the process of `source` is doing, and hands on what it hears."""

    def __init__(self, peers: Peers, source: KafkaSource, health: Health) -> None:
        self._peers = peers
        self._source = source
        self._health = health

    def say(self, tick: Tick) -> Word:
        """What goes to all processes, this one included."""
        failure = self._source.failure
        return Word(
            process=self._peers.cluster.process,
            tick=tick,
            slowest_ms=self._source.slowest_ms(),
            definitions=self._peers.definitions,
            report=self._health.report(),
            waited_seconds=self._source.waited_seconds,
            heard=self._peers.heard,
            end=self._source.outcome if tick.final else "running",
            reason="" if failure is None else str(failure),
        )

    def hear(self, word: Word) -> None:
        """What a process has said; one that measures something else ends all."""
        try:
            self._peers.hear(word)
        except ClusterError as error:
            self._source.fail(str(error))
        if word.process != self._peers.cluster.process:
            self._health.hear(word.process, word.report)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """End this process when another is silent for too long though its connection stands, as that of a lost host.

        The flow itself cannot notice: it waits for the other.
        """
        over = threading.Event()
        thread = threading.Thread(target=self._watch, args=(over,), name="silence", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()

    def _watch(self, over: threading.Event) -> None:
        awake_since = looked_at = time.monotonic()
        while not over.wait(_LOOK_SECONDS):
            now = time.monotonic()
            if now - looked_at > _STALL_SECONDS:
                awake_since = now  # it was this process that was stopped
            looked_at = now
            if now - awake_since < SILENT_SECONDS or not self._source.begun:
                continue
            if silent := self._peers.silent():
                names = ", ".join(map(str, silent))
                logger.error(
                    "process %s has not been heard of for %.0f s; ending, to start again", names, SILENT_SECONDS
                )
                os._exit(1)
