"""Metrics of the process itself. Its counters start at zero with the process."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

from flows.messages.columns import REASONS
from flows.messages.snapshot import Snapshot
from flows.process.health import PUBLISH_BOUNDS_SECONDS, DeadLetterCounts, Reading
from flows.process.hold_reasons import MEANINGS
from flows.publish.prometheus.samples import PREFIX, FamilySamples, counter, gauge, histogram
from schemas.event import EXCLUSIONS


def health_families(
    snapshot: Snapshot | None, base: Snapshot | None, health: Reading, product: str
) -> Iterator[FamilySamples]:
    """Everything that is no product number: always the same families, without samples while unknown."""
    yield from _accounting(snapshot, base)
    yield from _stream_time(snapshot)
    yield from _reading(health)
    yield gauge("rejected_ratio", "Share of the last 10,000 records that were rejected.", health.rejected_share)
    yield from _dead_letters(health.dead_letters)
    yield from _redis(health)
    yield gauge("checkpoint_seconds", "Duration of the last checkpoint.", health.checkpoint_seconds)
    yield gauge("checkpoint_timestamp_seconds", "When the last checkpoint was complete.", health.checkpoint_at)
    yield from _processes(health)
    yield gauge("ready", "1 when the published numbers are current, as /readyz says.", float(health.ready))
    yield InfoMetricFamily(
        f"{PREFIX}build",
        "Versions and product of this process.",
        {"version": health.version, "python": platform.python_version(), "product": product},
    )


def _stream_time(snapshot: Snapshot | None) -> Iterator[FamilySamples]:
    yield gauge(
        "stream_time_timestamp_seconds", "The stream clock T: how far the stream has come.",
        None if snapshot is None or snapshot.as_of_ms is None else snapshot.as_of_ms / 1000,
    )  # fmt: skip
    yield gauge(
        "watermark_timestamp_seconds", "The watermark W: how far the ordered numbers have come.",
        None if snapshot is None or snapshot.watermark_ms is None else snapshot.watermark_ms / 1000,
    )  # fmt: skip
    since = GaugeMetricFamily(
        f"{PREFIX}family_since_timestamp_seconds",
        "When a family, or another part of the state, began to count; 0: at the beginning of the stream.",
        labels=["family"],
    )
    for part, since_ms in snapshot.since.items() if snapshot else ():
        since.add_metric([part], since_ms / 1000)
    yield since


def _reading(health: Reading) -> Iterator[FamilySamples]:
    lag = GaugeMetricFamily(f"{PREFIX}consumer_lag_messages", "Records not read yet.", labels=["topic", "partition"])
    for (topic, partition), messages in sorted(health.lag_messages.items()):
        lag.add_metric([topic, str(partition)], messages)
    yield lag
    behind = GaugeMetricFamily(
        f"{PREFIX}open_transaction_records",
        "Records that cannot be read until an open transaction ends; no series for a partition without one.",
        labels=["topic", "partition"],
    )
    waited = GaugeMetricFamily(
        f"{PREFIX}open_transaction_seconds",
        "How long an open transaction has blocked reading.",
        labels=["topic", "partition"],
    )
    for (topic, partition), transaction in sorted(health.open_transactions.items()):
        behind.add_metric([topic, str(partition)], transaction.records)
        waited.add_metric([topic, str(partition)], transaction.seconds)
    yield from (behind, waited)
    held = GaugeMetricFamily(
        f"{PREFIX}clock_held_seconds",
        "How long some partition has held the stream clock for this reason; 0: none does.",
        labels=["reason"],
    )
    for reason in MEANINGS:
        lasting = (hold.seconds for hold in health.clock_holds.values() if hold.reason == reason)
        held.add_metric([reason], max(lasting, default=0.0))
    yield held
    yield gauge(
        "caught_up", "1 once every partition has been read as far as possible.", float(health.caught_up)
    )  # fmt: skip


def _redis(health: Reading) -> Iterator[FamilySamples]:
    yield gauge(
        "redis_reachable", "1 when Redis answered the last attempt to publish.",
        None if health.redis_reachable is None else float(health.redis_reachable),
    )  # fmt: skip
    yield gauge("last_publish_timestamp_seconds", "When Redis last accepted the numbers.", health.published_at)
    yield counter("redis_publish_failures", "Failed attempts to publish.", health.publish_failures)
    yield histogram(
        "redis_publish_seconds", "Duration of a publish.",
        PUBLISH_BOUNDS_SECONDS, health.publish_seconds_buckets, health.publish_seconds_sum, {},
    )  # fmt: skip


def _processes(health: Reading) -> Iterator[FamilySamples]:
    cpu = CounterMetricFamily(
        f"{PREFIX}process_cpu_seconds", "CPU time used by each process of a cluster.", labels=["process"]
    )
    resident = GaugeMetricFamily(
        f"{PREFIX}process_resident_bytes", "Memory of each process of a cluster.", labels=["process"]
    )
    heard = GaugeMetricFamily(
        f"{PREFIX}process_heard_timestamp_seconds", "When each process last reported.", labels=["process"]
    )
    for process, state in sorted(health.processes.items()):
        cpu.add_metric([str(process)], state.cpu_seconds)
        resident.add_metric([str(process)], state.resident_bytes)
        heard.add_metric([str(process)], state.at)
    yield from (cpu, resident, heard)


def _accounting(snapshot: Snapshot | None, base: Snapshot | None) -> Iterator[FamilySamples]:
    accounts = _totals(snapshot)
    accounts.subtract(_totals(base))
    for account, text in (
        ("consumed", "Records read."),
        ("accepted", "Events counted."),
        ("on_time", "Accepted events not older than the watermark."),
        ("late", "Accepted events older than the watermark."),
        ("late_in_order", "Late events in order for their user, which the ordered numbers use."),
        ("late_out_of_order", "Late events out of order for their user, which only the arrival numbers use."),
        ("duplicate", "Events dropped because their messageId was seen before."),
        ("clamped", "Accepted events whose time was in the future and was replaced."),
    ):
        yield counter(f"events_{account}", text, accounts[account])
    rejected = CounterMetricFamily(f"{PREFIX}events_rejected", "Records rejected.", labels=["reason"])
    for reason in REASONS:
        rejected.add_metric([reason], accounts[f"rejected.{reason}"])
    yield rejected
    excluded = CounterMetricFamily(
        f"{PREFIX}events_excluded", "Records left out without being errors.", labels=["reason"]
    )
    for kind in EXCLUSIONS:
        excluded.add_metric([kind], accounts[f"excluded.{kind}"])
    yield excluded
    yield gauge(
        "accounting_difference",
        "|consumed - accepted - rejected - duplicate - excluded| + |accepted - on_time - late| "
        "+ |late - late_in_order - late_out_of_order|, summed over partitions: 0, or a fault.",
        None if snapshot is None else sum(_difference(counts) for counts in snapshot.accounting.values()),
    )


def _dead_letters(counts: DeadLetterCounts) -> Iterator[FamilySamples]:
    yield gauge("dead_letters_waiting", "Copies of rejected records that Kafka has not accepted yet.", counts.waiting)
    yield gauge(
        "dead_letters_waiting_bytes",
        "Size of the waiting copies of rejected records, which has a limit.",
        counts.waiting_bytes,
    )
    yield gauge(
        "dead_letters_oldest_seconds",
        "How long the oldest waiting copy of a rejected record has waited.",
        counts.oldest_seconds,
    )
    for fate, text in (
        ("delivered", "Copies of rejected records that Kafka has accepted."),
        ("skipped", "Rejected records that were not copied because there were too many a second."),
        ("dropped", "Copies of rejected records that were dropped because too many were waiting."),
    ):
        yield counter(f"dead_letters_{fate}", text, getattr(counts, fate))


def _totals(snapshot: Snapshot | None) -> Counter[str]:
    totals: Counter[str] = Counter()
    for accounts in snapshot.accounting.values() if snapshot else ():
        totals.update(accounts)
    return totals


def _difference(accounts: Mapping[str, int]) -> int:
    count = Counter(accounts)
    rejected = sum(count[f"rejected.{reason}"] for reason in REASONS)
    explained = count["accepted"] + rejected + count["duplicate"] + count["excluded"]
    late = count["late_in_order"] + count["late_out_of_order"]
    parts = (count["consumed"] - explained, count["accepted"] - count["on_time"] - count["late"], count["late"] - late)
    return sum(map(abs, parts))
