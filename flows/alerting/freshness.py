"""Which numbers may be judged: the guard that every alert of the product looks through."""

from __future__ import annotations

from flows.alerting.promql import Group, Recording
from flows.alerting.source import Source


def freshness(source: Source) -> Group:
    """Age of the numbers, records coming in, and the two together."""
    pace, pipeline = source.pace, source.alerts.pipeline
    flowing_ms = pipeline.silence / 2
    stale_s = (source.alerts.stale + source.config.lateness) / 1000
    flowing = source.of_process("sum", f"increase(tidegauge_events_consumed_total[{pace.span(flowing_ms)}])")
    caught_up = source.of_process("min", "tidegauge_caught_up")
    return Group(
        name=f"tidegauge {source.product} freshness",
        comment="""
            Alerts of the product judge fresh numbers only. All that follows is recorded while they are fresh, so
            neither the present nor the past that it is compared with has hours of a pipeline down or behind.""",
        rules=[
            Recording(
                "tidegauge:stream:watermark_seconds",
                source.of_process("max", "tidegauge_watermark_timestamp_seconds"),
                "The watermark, at which sessions and funnels stand.",
            ),
            Recording(
                "tidegauge:stream:age_seconds",
                f"{pace.now()} - {source.recorded('stream:watermark_seconds')}",
                "How far that is behind the present.",
            ),
            Recording(
                "tidegauge:records:recent",
                source.of_process("sum", f"increase(tidegauge_events_consumed_total[{pace.span(pipeline.silence)}])"),
                f"Records read within {_text(pipeline.silence)}.",
            ),
            Recording(
                "tidegauge:fresh:age_seconds",
                f"{source.recorded('stream:age_seconds')} < {stale_s:g}\n"
                f"and on (product)\n{caught_up} == 1\n"
                f"and on (product)\n{flowing} > 0",
                f"""
                There only while numbers may be judged: at most {stale_s:g} s behind, the backlog read since the last
                start, and records coming in. So a restart, a catch-up, or a silence (NoData has it) is no drop.""",
            ),
        ],
    )


def _text(ms: float) -> str:
    return f"{ms / 60_000:g} minutes"
