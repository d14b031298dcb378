"""Alerts of Tidegauge itself and of what feeds it. None of them fires at a restart, or while it catches up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flows.alerting.promql import Alert, Group, Recording, duration
from flows.alerting.source import PIPELINE, Source
from flows.metrics.alerts import Series

SHARES_MS: Final = 900_000
"""Shares of records are taken over a quarter of an hour."""


def pipeline(source: Source, zero: Iterable[str] = ()) -> Group:
    """All of them. `zero`: families of the product that are a defect unless they are 0."""
    limits, pace = source.alerts.pipeline, source.pace
    silence, stalled = pace.span(limits.silence), pace.span(limits.stalled)
    recent, usual = source.recorded("records:recent"), source.recorded("records:recent_last_week")
    age = source.recorded("stream:age_seconds")
    behind_s = (limits.behind + source.config.lateness) / 1000
    stalled_s = (limits.stalled + source.config.lateness) / 1000
    older = source.same_hour("avg_over_time", "records:recent", weeks=2)
    saved = source.of_process("max", "tidegauge_checkpoint_timestamp_seconds")
    differences = [
        source.of_process("max", "tidegauge_accounting_difference"),
        *(source.shown(Series(family)) for family in zero),
    ]
    broken = "\nor\n".join(f"{difference} != 0" for difference in differences)
    dropped = f"increase(tidegauge_dead_letters_dropped_total[{pace.span(SHARES_MS)}])"
    rules: list[Recording | Alert] = [
        Recording(
            "tidegauge:records:recent_last_week",
            f"""
            min by (product) (
              {source.same_hour("avg_over_time", "records:recent")}
              or label_replace({older}, "weeks_ago", "2", "", "")
            )""",
            f"Records usual within {silence}: in the same hour last week, or the week before, whichever was less.",
        ),
        _alert(
            source,
            "TidegaugeDown",
            f'absent(tidegauge_build_info{{product="{source.product}"}})',
            comment="Nothing tells of this product. A restart takes less.",
            summary="Tidegauge does not run for {{ $labels.product }}",
            description="Prometheus gets no metrics of it: the process is down, or cannot be reached.",
            severity="page",
            for_=duration(limits.down),
        ),
        _alert(
            source,
            "NoData",
            f"""
            {recent} == 0
            and (
                {usual} >= {limits.expected}
              or
                (avg_over_time({recent}[{source.last_day()}]) >= {10 * limits.expected} unless {usual})
            )
            and {age} < {stalled_s:g}""",
            comment="""
                Silence where records would be usual; in the first week, where ten times as many were usual in the last
                day. All is read, so the clock goes on with the time. The window itself is the waiting.""",
            summary="No events of {{ $labels.product }} come in",
            description=f"Not one record within {silence}, and Tidegauge runs. Look at who sends them, and at Kafka.",
            severity="page",
            for_="0s",
        ),
        _alert(
            source,
            "StreamClockStalled",
            f"""
            {age} > {stalled_s:g}
            and changes({age_of_clock(source)}[{stalled}]) == 0""",
            comment="""
                Behind, and the clock does not move at all. It does while catching up, and when nothing comes in: then
                it goes with the time.""",
            summary="The stream clock of {{ $labels.product }} stands still",
            description="The numbers are {{ $value | humanizeDuration }} old and do not move on; the process runs.",
            severity="page",
            for_=stalled,
        ),
        _alert(
            source,
            "TransactionHangs",
            f"{source.of_process('max', 'tidegauge_open_transaction_seconds')} > {limits.transaction / 1000:g}",
            comment="""
                Producers commit every few seconds or minutes; no other record of the partition can be read before. The
                clock waits at first, and goes on without them at `limits.transaction_wait`.""",
            summary="Records of {{ $labels.product }} have waited {{ $value | humanizeDuration }} for their commit",
            description=(
                "A producer has left a transaction open, so nothing behind it in its partition can be read or counted."
            ),
            severity="page",
            for_="0s",
        ),
        _alert(
            source,
            "ConsumerLag",
            f"{age} > {behind_s:g}\n"
            f"and {age} >= {age} offset {pace.span(limits.behind)}\n"
            f"and changes({age_of_clock(source)}[{pace.span(limits.behind)}]) > 0\n"
            f"and on (product)\n{source.of_process('sum', 'tidegauge_consumer_lag_messages')} > 0",
            comment="Behind, with records waiting, and not less so than a while ago, though the clock moves.",
            summary="{{ $labels.product }} is measured {{ $value | humanizeDuration }} late",
            description=(
                "The numbers are {{ $value | humanizeDuration }} old, records wait in Kafka, and it gets no better:"
                " more comes in than is read."
            ),
            severity="ticket",
            for_=pace.span(limits.behind),
        ),
        _share(
            source,
            "LateShare",
            "tidegauge_events_late_out_of_order_total",
            "tidegauge_events_accepted_total",
            limits.late,
            comment="These count in no session and no funnel. What a phone sends late, but in order, does.",
            summary="{{ $value | humanizePercentage }} of the events of {{ $labels.product }} come too late",
            description=(
                "When they are read they are older than `lateness` allows, and than others of the same users, so "
                "sessions and funnels go without them."
            ),
        ),
        _share(
            source,
            "RejectedShare",
            "tidegauge_events_rejected_total",
            "tidegauge_events_consumed_total",
            limits.rejected,
            comment="What cannot be read is not counted.",
            summary="{{ $value | humanizePercentage }} of the records of {{ $labels.product }} are rejected",
            description="The dead-letter topic has each of them with its reason.",
        ),
        _alert(
            source,
            "DeadLettersWaiting",
            f"{source.of_process('max', 'tidegauge_dead_letters_oldest_seconds')} > {limits.undelivered / 1000:g}\n"
            f"or on (product)\n{source.of_process('sum', dropped)} > 0",
            comment="Kafka does not take the copies of rejected records, or some were dropped, for too many waited.",
            summary="The dead letters of {{ $labels.product }} do not reach Kafka",
            description=(
                "The numbers go on. Letters wait in the state folder until the dead-letter topic takes them or"
                " their limit is reached."
            ),
            severity="ticket",
            for_=duration(60_000),
        ),
        _share(
            source,
            "DuplicateShare",
            "tidegauge_events_duplicate_total",
            "tidegauge_events_consumed_total",
            limits.duplicates,
            comment="Copies are dropped, so no number is wrong; but somebody sends everything twice.",
            summary="{{ $value | humanizePercentage }} of the records of {{ $labels.product }} are copies",
            description="Their messageId was seen before. A producer or a collector repeats itself.",
        ),
        _alert(
            source,
            "AccountingBroken",
            broken,
            comment="The fate of a record is unknown, or MRR is not the sum of its movements. This must never be.",
            summary="The accounting of {{ $labels.product }} does not add up",
            description="It is off by {{ $value }}: a defect of Tidegauge. The runbook says which one to look at.",
            severity="page",
            for_=duration(60_000),
        ),
    ]
    rules += [
        _alert(
            source,
            "PublishFailing",
            f"time() - {source.of_process('max', 'tidegauge_last_publish_timestamp_seconds')}"
            f" > {limits.unpublished / 1000:g}\n"
            f"or on (product)\n{source.of_process('max', 'tidegauge_redis_reachable')} == 0",
            comment="Redis does not take the numbers. Without a Redis in the config there are no such series.",
            summary="The numbers of {{ $labels.product }} do not reach Redis",
            description="Services that read them have old ones, and after 10 minutes none. Nothing is lost meanwhile.",
            severity="page",
            for_=duration(limits.unpublished),
        ),
        _alert(
            source,
            "CheckpointTooOld",
            f"time() - {saved} > {limits.checkpoint / 1000:g}",
            comment="A crash now would read again all since then. Without a checkpoint folder there is no such series.",
            summary="The last checkpoint of {{ $labels.product }} is {{ $value | humanizeDuration }} old",
            description="The state is not saved: the disk is full or slow, or the flow stands still.",
            severity="ticket",
            for_=duration(60_000),
        ),
    ]
    return Group(
        name=f"tidegauge {source.product} pipeline",
        comment="Tidegauge itself, and what feeds it.",
        rules=rules,
    )


def age_of_clock(source: Source) -> str:
    """The watermark as a recorded number, whose changes can be counted."""
    return source.recorded("stream:watermark_seconds")


def _share(
    source: Source, name: str, part: str, whole: str, share: float, *, comment: str, summary: str, description: str
) -> Alert:
    """A share of records over a quarter of an hour, of enough of them."""
    span = source.pace.span(SHARES_MS)
    parts = source.of_process("sum", f"increase({part}[{span}])")
    records = source.of_process("sum", f"increase({whole}[{span}])")
    return _alert(
        source,
        name,
        f"{parts}\n/ (\n{records} >= {source.alerts.pipeline.records}\n) > {share:g}",
        comment=comment,
        summary=summary,
        description=description,
        severity="ticket",
        for_=source.pace.span(source.alerts.lasting),
    )


def _alert(
    source: Source, name: str, expr: str, *, comment: str, summary: str, description: str, severity: str, for_: str
) -> Alert:
    return source.alert(
        name,
        expr,
        comment=comment,
        summary=summary,
        description=description,
        severity=severity,
        area="pipeline",
        dashboard=PIPELINE,
        for_=for_,
        keeps=False,
    )
