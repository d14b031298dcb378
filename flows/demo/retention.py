"""Lets the embedded broker forget what has been counted: at each fetch it looks through all that it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from flows.audit.published import Published
from flows.demo.embedded import EmbeddedKafka

KEPT: Final = 1_000
"""Counted records of each partition that stay: a job that begins anew fetches the last one that it has counted."""


class Retention:
    """Deletes records of one topic behind its job."""

    def __init__(self, kafka: EmbeddedKafka, topic: str) -> None:
        self._kafka = kafka
        self._topic = topic
        self._begins: dict[int, int] = {}  # partition -> offset of the first record that is still there

    def see(self, fields: Mapping[str, str]) -> None:
        """What a publish counts need not be kept, but for the newest."""
        for partition, (_, behind) in Published(fields).spans.items():
            before = behind - KEPT
            if before >= self._begins.get(partition, 0) + KEPT:
                self._kafka.delete_records(self._topic, partition, before)
                self._begins[partition] = before
