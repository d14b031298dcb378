"""The dashboard of the pipeline: does it keep up, what does it refuse, do its outputs work, is its state saved.

Every family that the process serves besides the product's numbers is here; one that no panel asks for gets a plain
panel at the end.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from flows.dashboards.live import rows_on
from flows.dashboards.page import Page, Row, freshness
from flows.dashboards.panels import COUNT, GREEN, NEUTRAL, ORANGE, RED, Query, Sized, course, listing
from flows.dashboards.queries import OF_PRODUCT, PROCESS, Numbers, age, health, of_product, rate, total
from flows.dashboards.tiles import Bounds, now, state
from flows.process.health import Health
from flows.publish.prometheus.health import health_families
from flows.publish.prometheus.samples import PREFIX

UID = "tidegauge-pipeline"
NO_TRANSACTIONS = "producers use no transactions"
ONE_PROCESS = "one process alone"
RUNS = f"min({PREFIX}build_info{{{OF_PRODUCT}}})"
"""Has a value where a process of the product is scraped."""
NONE_YET = {-1: ("none yet", NEUTRAL)}
NO_REDIS = -2
"""The state of a run that is told of no Redis, and so serves nothing about it."""
ABOUT = (
    "**Can the numbers be believed, and does the process keep up?** Green everywhere in *Verdict* means yes. Where a "
    "tile is red, the rows below show since when; the runbook of each alert says what to do. Closed rows are rarely "
    "needed: *Several processes* is empty unless the run has more than one."
)


def pipeline(numbers: Numbers) -> Page:
    """The page."""
    rows = [
        freshness(numbers, ABOUT),
        Row("Verdict", [*_verdict()]),
        Row("Does it keep up?", [*_pace()]),
        Row("What becomes of records", [*_records()]),
        Row("Redis and checkpoints", [*_outputs()]),
        Row("The process", [*_process()]),
        *rows_on(numbers, "pipeline"),
        Row("Open transactions of producers", [*_transactions()], closed=True),
        Row("Parts that were added to the config", [*_parts()], closed=True),
        Row("Several processes", [*_cluster()], closed=True),
    ]
    asked = "\n".join(
        query for row in rows for panel in row.panels if isinstance(panel, Sized) for query in queries_of(panel)
    )
    if rest := [*_others(asked, numbers.config.product)]:
        rows.append(Row("More", rest, closed=True))
    return Page(
        UID,
        "Tidegauge: pipeline health",
        "Whether the numbers can be believed: pace, refused records, publishing, checkpoints, and the process itself.",
        rows,
    )


def queries_of(sized: Sized) -> list[str]:
    """The expressions of a panel."""
    return [str(getattr(target, "expr", "")) for target in sized.panel.build().targets or []]


def _verdict() -> Iterator[Sized]:
    yield now(
        "Accounting difference",
        "Records whose fate is unknown: consumed less accepted, rejected, duplicate and excluded. Anything but 0 is a "
        "fault.",
        COUNT,
        f"max({of_product(health('accounting_difference'))})",
        bounds=Bounds(1),
        height=3,
    )
    yield state(
        "Caught up",
        "Whether every partition has been read to its end since the start.",
        f"min({of_product(health('caught_up'))})",
        {1: ("yes", GREEN), 0: ("not yet", ORANGE)},
        height=3,
    )
    yield now(
        "Rejected of the last 10,000",
        "Share of the last 10,000 records that was rejected.",
        "percentunit",
        total("rejected_ratio"),
        bounds=Bounds(0.05, 0.01),
        height=3,
    )
    yield state(
        "Redis answers",
        "Whether Redis answered the last attempt to publish.",
        f"min({of_product(health('redis_reachable'))}) or {RUNS} * 0 + {NO_REDIS}",
        {1: ("yes", GREEN), 0: ("NO", RED), NO_REDIS: ("not configured", NEUTRAL)},
        height=3,
    )
    yield now(
        "Since the last publish",
        "Seconds from the time at which Redis last took the numbers to the last scrape; a quarter of one is usual.",
        "s",
        _since("last_publish_timestamp_seconds"),
        bounds=Bounds(10, 2),
        said=NONE_YET,
        height=3,
    )
    yield now(
        "Since the last checkpoint",
        "Seconds since a checkpoint was complete: what a restart would have to read again. Ten are usual.",
        "s",
        _since("checkpoint_timestamp_seconds"),
        bounds=Bounds(120, 60),
        said=NONE_YET,
        height=3,
    )


def _since(family: str) -> str:
    """The age of what a process has done last, and -1 for one that has not done it yet."""
    return f"{age(family)} or {RUNS} * 0 - 1"


def _pace() -> Iterator[Sized]:
    yield course(
        "Records per second",
        "Records read. With a backlog this is as fast as the machine can; without one it is the product's own pace.",
        "short",
        Query(rate("events_consumed_total"), "read"),
        Query(rate("events_accepted_total"), "counted"),
        Query(rate("events_on_time_total"), "on time"),
        width=8,
    )
    yield course(
        "Records waiting, by partition",
        "Records in Kafka that have not been read. One partition that grows alone points to its broker or to one key.",
        "short",
        Query(total("consumer_lag_messages", by="partition"), "partition {{partition}}"),
        width=8,
    )
    yield course(
        "Age of the numbers",
        "How far the stream clock and the watermark lie behind the wall clock; they differ by the lateness.",
        "s",
        Query(age("stream_time_timestamp_seconds"), "stream clock"),
        Query(age("watermark_timestamp_seconds"), "watermark"),
        width=8,
    )
    yield course(
        "Why the stream clock waits",
        "How long some partition has held it for each reason. Short spells are usual; while records come in it goes on "
        "with them, and where it stands for more than 3 s the log and `/readyz` name the partitions.",
        "s",
        Query(f"max by (reason) ({of_product(health('clock_held_seconds'))})", "{{reason}}"),
        width=24,
    )


def _transactions() -> Iterator[Sized]:
    """Of producers that use transactions; of others there is nothing to tell."""
    yield course(
        "Records behind open transactions",
        "Records that a producer has not committed yet, and what came after them. They are read when it does; until "
        "then the stream clock waits.",
        "short",
        Query(total("open_transaction_records", by="partition"), "partition {{partition}}"),
        absent=NO_TRANSACTIONS,
        width=12,
    )
    yield course(
        "Waiting for open transactions",
        "How long. A saw-tooth as high as the producers' commit interval is usual; a line that goes on rising is a "
        "transaction that nobody ends, and at `limits.transaction_wait` the stream clock goes on without it.",
        "s",
        Query(f"max by (partition) ({of_product(health('open_transaction_seconds'))})", "partition {{partition}}"),
        absent=NO_TRANSACTIONS,
        width=12,
    )


def _records() -> Iterator[Sized]:
    fates = ("late_in_order", "late_out_of_order", "duplicate", "excluded", "clamped")
    yield course(
        "Late or set aside, per second",
        "Per second: late (out of order: not in ordered numbers), copies, excluded by the config, clamped in time.",
        "short",
        *(Query(rate(f"events_{fate}_total"), fate.replace("_", " ")) for fate in fates),
        width=8,
    )
    yield course(
        "Rejected per second, by reason",
        "Records per second that could not be used. The dead-letter topic has each of them with its reason.",
        "short",
        Query(rate("events_rejected_total", by="reason"), "{{reason}}"),
        width=8,
    )
    shares = ("late_out_of_order", "duplicate")
    yield course(
        "Late, copied and rejected share",
        "Of the records read. More than a trickle that is late and out of order asks for a larger `lateness`.",
        "percentunit",
        *(
            Query(f"{rate(f'events_{fate}_total')} / ({rate('events_consumed_total')} > 0)", fate.replace("_", " "))
            for fate in shares
        ),
        Query(
            f"{rate('events_rejected_total')} / ({rate('events_consumed_total')} > 0)", "rejected"
        ),
        width=8,
    )  # fmt: skip
    yield course(
        "Dead letters waiting",
        "Copies of rejected records that Kafka has not taken yet. Few and for moments, while its brokers are there.",
        "short",
        Query(total("dead_letters_waiting"), "waiting"),
        width=6,
    )
    yield course(
        "Bytes of dead letters waiting",
        "Memory that they take.",
        "bytes",
        Query(total("dead_letters_waiting_bytes"), "waiting"),
        width=6,
    )
    yield course(
        "Oldest dead letter",
        "How long the oldest copy has waited for the dead-letter topic. The numbers do not wait for it.",
        "s",
        Query(total("dead_letters_oldest_seconds"), "age"),
        width=6,
    )
    yield course(
        "What became of dead letters, per second",
        "Per second: delivered to their topic, not made (too many a second), dropped (too many waited).",
        "short",
        *(
            Query(rate(f"dead_letters_{fate}_total"), fate)
            for fate in ("delivered", "skipped", "dropped")
        ),
        width=6,
    )  # fmt: skip


def _outputs() -> Iterator[Sized]:
    bucket = rate("redis_publish_seconds_bucket", by="le")
    count, spent = rate("redis_publish_seconds_count"), rate("redis_publish_seconds_sum")
    yield course(
        "Time to publish",
        "How long one publish to Redis takes.",
        "s",
        Query(f"histogram_quantile(0.5, {bucket})", "median"),
        Query(f"histogram_quantile(0.99, {bucket})", "99 %"),
        Query(f"{spent} / ({count} > 0)", "mean"),
        width=8,
    )
    yield course(
        "Publishes and failures per second",
        "Four a second are usual. During an outage of Redis nothing is lost: the newest numbers are written on return.",
        "short",
        Query(count, "published"),
        Query(rate("redis_publish_failures_total"), "failed"),
        width=8,
    )
    yield course(
        "Time to save a checkpoint",
        "Time that the last checkpoint took.",
        "s",
        Query(total("checkpoint_seconds"), "checkpoint"),
        width=8,
    )


def _process() -> Iterator[Sized]:
    yield course(
        "CPU",
        "Cores in use.",
        "short",
        Query(_process_rate("process_cpu_seconds_total"), "{{instance}}"),
        width=8,
    )
    yield course(
        "Memory",
        "Resident memory: it grows with known users and is bounded by `limits.users_per_shard`.",
        "bytes",
        Query(_process_gauge("process_resident_memory_bytes"), "{{instance}}"),
        width=8,
    )
    yield course(
        "Open files",
        "File descriptors in use and allowed.",
        "short",
        Query(_process_gauge("process_open_fds"), "in use {{instance}}"),
        Query(_process_gauge("process_max_fds"), "allowed {{instance}}"),
        log=True,
        width=8,
    )
    started = f"process_start_time_seconds{{{PROCESS}}}"
    yield now(
        "Running for",
        "Since the process started, at the last scrape. A few minutes, again and again, are a crash loop.",
        "s",
        f"min({of_product(f'(timestamp({started}) - {started})')})",
        width=8,
        height=5,
    )
    yield listing(
        "What runs",
        "Version, Python, job and instance of each process of the product.",
        {"product": "Product", "version": "Version", "python": "Python", "job": "Job", "instance": "Instance"},
        f"{PREFIX}build_info{{{OF_PRODUCT}}}",
        width=16,
    )


def _parts() -> Iterator[Sized]:
    """Of a config that has been changed: what was added to it."""
    yield course(
        "Parts that began later",
        "How long a part of the state has counted that has not from the beginning of the stream, since the config had "
        "no such part.",
        "s",
        Query(age("family_since_timestamp_seconds", by="family"), "{{family}}"),
        absent="all parts have counted since the beginning",
        width=24,
    )


def _cluster() -> Iterator[Sized]:
    """Of a run with `--processes` or `--addresses`; one process alone has nothing to tell here."""
    yield course(
        "CPU by process",
        "Cores in use by each process of the run.",
        "short",
        Query(rate("process_cpu_seconds_total", by="process"), "process {{process}}"),
        absent=ONE_PROCESS,
        width=8,
    )
    yield course(
        "Memory by process",
        "Resident memory of each process of the run.",
        "bytes",
        Query(total("process_resident_bytes", by="process"), "process {{process}}"),
        absent=ONE_PROCESS,
        width=8,
    )
    yield course(
        "Since a process was heard",
        "Seconds since each process last reported to the one that publishes.",
        "s",
        Query(age("process_heard_timestamp_seconds", by="process"), "process {{process}}"),
        absent=ONE_PROCESS,
        width=8,
    )


def _process_gauge(family: str) -> str:
    return f"max by (instance) ({of_product(f'{family}{{{PROCESS}}}')})"


def _process_rate(counter: str) -> str:
    return f"sum by (instance) ({of_product(f'rate({counter}{{{PROCESS}}}[$__rate_interval])')})"


def _others(asked: str, product: str) -> Iterator[Sized]:
    """A plain panel for each family of health that is in none of the queries `asked`."""
    for family in health_families(None, None, Health(redis_configured=True).read(), product):
        name = family.name.removeprefix(PREFIX)
        if family.name not in asked:
            yield course(name.replace("_", " ").capitalize(), family.documentation, "short", _plain(family), width=8)


def _plain(family: Metric) -> Query:
    name = family.name.removeprefix(PREFIX)
    match family.type:
        case "counter":
            return Query(rate(f"{name}_total"), "per second")
        case "histogram":
            return Query(f"{rate(f'{name}_sum')} / ({rate(f'{name}_count')} > 0)", "mean")
        case "info":
            return Query(total(f"{name}_info"), "")
    return Query(total(name), name)
