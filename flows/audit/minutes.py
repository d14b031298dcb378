"""METRICS.md 3.7: the final numbers of each closed minute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from flows.audit.activity import counts_as_active
from flows.audit.funnels import Attempt
from flows.audit.lifecycle import Lifecycle
from flows.audit.records import Event
from flows.audit.sessions import Session
from flows.config.model import Config

MINUTE_MS = 60_000


def minute_history(
    ordered: list[Event],
    sessions: list[Session],
    attempts: dict[str, list[Attempt]],
    lifecycle: Lifecycle,
    config: Config,
    watermark_ms: int,
) -> dict[int, dict[str, int]]:
    """METRICS.md 3.7: "For each closed minute, its final numbers: `events, active_users, new_users,
    sessions_started, sessions_closed, sessions_bounced`, per funnel `entered` and `converted`." D13: "A
    minute m (UTC) is closed when W >= its end."

    Start of the minute (epoch ms) -> field -> number; minutes in which all numbers are 0 are left out, and so
    are those that start before `W - minute_history`.
    """
    active = {(minute_of(e.ts), e.user) for e in ordered if counts_as_active(e, config)}
    fields = {
        "events": minutes_of(event.ts for event in ordered),
        "active_users": Counter(minute for minute, _ in active),
        "new_users": minutes_of(lifecycle.new),
        "sessions_started": minutes_of(session.start for session in sessions),
        "sessions_closed": minutes_of(session.closes_at for session in sessions),
        "sessions_bounced": minutes_of(session.closes_at for session in sessions if session.bounces),
    }
    for name, every_attempt in attempts.items():
        fields[f"funnel.{name}.entered"] = minutes_of(attempt.began for attempt in every_attempt)
        fields[f"funnel.{name}.converted"] = minutes_of(
            attempt.converted_at for attempt in every_attempt if attempt.converted_at is not None
        )
    return {
        minute: {name: counts[minute] for name, counts in fields.items()}
        for minute in sorted(set().union(*fields.values()))
        if minute + MINUTE_MS <= watermark_ms and minute >= watermark_ms - config.minute_history
    }


def minute_of(time_ms: int) -> int:
    """The start of the minute (UTC) that holds `time_ms`."""
    return time_ms // MINUTE_MS * MINUTE_MS


def minutes_of(times_ms: Iterable[int]) -> Counter[int]:
    """How many of the times lie in each minute."""
    return Counter(minute_of(time_ms) for time_ms in times_ms)
