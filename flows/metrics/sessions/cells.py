"""What is published of sessions, by name, and the counters that it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from flows.config.model import Config
from flows.metrics.cells import Metric, Tally
from flows.metrics.formulas import ratio, shortfall
from flows.metrics.histograms import BOUNDS_S, Durations
from flows.metrics.rows import Block, Count, Formula

STARTED, RETURNING, GAP_MS, CLOSED, BOUNCED, DURATION_MS, EVENTS, VIEWS, KEY_ACTIONS, WITH_KEY_ACTION = range(10)
BUCKETS: Final = 10
FIELDS: Final = BUCKETS + len(BOUNDS_S)

SESSIONS_OPEN = Metric("sessions.open", "Sessions that have not closed.", "sessions", "Sessions", "sessions_open")
COUNTS = {
    "started": Metric(
        "sessions.started", "Sessions that began in the window.", "sessions", "Sessions", "window_sessions"
    ),
    "returning": Metric(
        "sessions.returning",
        "Sessions that began in the window, of users who had one before.",
        "sessions",
        "Sessions",
        "window_sessions",
    ),
    "gap_ms": Metric(
        "sessions.gap_ms",
        "Time from the last session of the same user to the start, of those that began in the window.",
        "ms",
        "Sessions",
    ),
    "closed": Metric(
        "sessions.closed", "Sessions that closed in the window.", "sessions", "Sessions", "window_sessions"
    ),
    "bounced": Metric(
        "sessions.bounced",
        "Sessions that closed in the window and bounced, by the definition of the config.",
        "sessions",
        "Sessions",
        "window_sessions",
    ),
    "duration_ms": Metric(
        "sessions.duration_ms", "Total duration of the sessions that closed in the window.", "ms", "Sessions"
    ),
    "events": Metric("sessions.events", "Events in the sessions that closed in the window.", "events", "Sessions"),
    "views": Metric(
        "sessions.views", "Pages and screens viewed in the sessions that closed in the window.", "views", "Sessions"
    ),
    "key_actions": Metric(
        "sessions.key_actions", "Key actions in the sessions that closed in the window.", "actions", "Sessions"
    ),
    "with_key_action": Metric(
        "sessions.with_key_action",
        "Sessions with a key action that closed in the window.",
        "sessions",
        "Sessions",
        "window_sessions",
    ),
}
BOUNCED_BY = Metric(
    "sessions.bounced_by.<definition>",
    "Sessions that closed in the window and bounced by another definition.",
    "sessions",
    "Sessions",
    "sessions_bounced_by",
)
BOUNCE_RATE_BY = Metric(
    "bounce_rate_by.<definition>",
    "Sessions that bounced by another definition over closed ones.",
    "ratio",
    "Sessions",
    "bounce_by_ratio",
)
DURATION_LE = Metric(
    "sessions.duration_le_<bound>",
    "Sessions that closed in the window and lasted at most <bound> seconds.",
    "sessions",
    "Sessions",
)
SETTLING = Metric(
    "sessions.settling", "Sessions that began 5 to 15 minutes ago.", "sessions", "Sessions", "sessions_settling"
)
SETTLING_ENGAGED = Metric(
    "sessions.settling_engaged",
    "Sessions that began 5 to 15 minutes ago and are engaged.",
    "sessions",
    "Sessions",
    "sessions_settling_engaged",
)
BOUNCE_RATE = Metric("bounce_rate", "Bounced over closed sessions.", "ratio", "Sessions", "bounce_ratio")
BOUNCE_RATE_PROVISIONAL = Metric(
    "bounce_rate_provisional",
    "Of the sessions that began 5 to 15 minutes ago, the share not yet engaged.",
    "ratio",
    "Sessions",
    "bounce_ratio",
)
DURATION_MEAN = Metric(
    "session_duration_mean",
    "Mean duration of closed sessions.",
    "ms",
    "Sessions",
    "session_duration_mean_seconds",
    0.001,
)
DURATION_QUANTILE = Metric(
    "session_duration_<quantile>",
    "Quantile of the duration of closed sessions.",
    "ms",
    "Sessions",
    "session_duration_quantile_seconds",
    0.001,
)
EVENTS_PER_SESSION = Metric(
    "events_per_session", "Events per closed session.", "events", "Sessions", "events_per_session_ratio"
)
KEY_ACTIONS_PER_SESSION = Metric(
    "key_actions_per_session",
    "Key actions per closed session.",
    "actions",
    "Sessions",
    "key_actions_per_session_ratio",
)
VIEWS_PER_SESSION = Metric(
    "views_per_session", "Views per closed session.", "views", "Sessions", "views_per_session_ratio"
)
KEY_ACTION_SHARE = Metric(
    "key_action_share",
    "Closed sessions with a key action over closed sessions.",
    "ratio",
    "Sessions",
    "sessions_with_key_action_ratio",
)
KEY_ACTIONS_PER_USER = Metric(
    "key_actions_per_user",
    "Key actions of closed sessions per active user.",
    "actions",
    "Sessions",
    "key_actions_per_user_ratio",
)
SESSION_TIME_PER_USER = Metric(
    "session_time_per_user",
    "Total duration of closed sessions per active user.",
    "ms",
    "Sessions",
    "session_time_per_user_seconds",
    0.001,
)
RETURNING_SHARE = Metric(
    "returning_share",
    "Sessions of users who had one before over sessions started.",
    "ratio",
    "Sessions",
    "sessions_returning_ratio",
)
GAP_MEAN = Metric(
    "session_gap_mean",
    "Mean time from the last session of the same user to the start of the next.",
    "ms",
    "Sessions",
    "session_gap_mean_seconds",
    0.001,
)
SESSIONS_PER_USER = Metric(
    "sessions_per_user",
    "Sessions started per active user.",
    "sessions",
    "Sessions",
    "sessions_per_user_ratio",
)


DURATIONS = Durations(
    count="sessions.closed",
    sum_ms="sessions.duration_ms",
    below="sessions.duration_le_{}",
    below_metric=DURATION_LE,
    mean=DURATION_MEAN,
    quantile=DURATION_QUANTILE,
    quantile_stem="session_duration_{}",
    percents=(50, 90, 95),
)
LIFETIME = [f"sessions.lifetime.{bucket}" for bucket in (*BOUNDS_S, "inf", "sum_ms")]


def blocks_of(config: Config, groups: Sequence[Mapping[str, str]]) -> list[Block]:
    """The vector of a shard, as `Sessions.read()` gives it."""
    counts = [Count(metric, labels={"state": state}) for state, metric in COUNTS.items()]
    return [
        Block([*counts, *DURATIONS.counts()], config.windows, groups),
        Block([Count(SESSIONS_OPEN)], groups=groups),
        Block([Count(SETTLING), Count(SETTLING_ENGAGED)], groups=groups),
        Block([Count(None, name) for name in LIFETIME]),
        Block([_bounced_by(name) for name in config.sessions.definitions], config.windows, groups),
    ]


def _bounced_by(definition: str) -> Count:
    return Count(BOUNCED_BY, f"sessions.bounced_by.{definition}", {"definition": definition})


def formulas_of(config: Config) -> list[Formula]:
    """Numbers derived from sums over shards."""
    windows = config.ratio_windows
    return [
        Formula(
            BOUNCE_RATE, ("sessions.bounced", "sessions.closed"), ratio, labels={"stage": "final"}, windows=windows
        ),
        *DURATIONS.formulas(windows),
        Formula(EVENTS_PER_SESSION, ("sessions.events", "sessions.closed"), ratio, windows=windows),
        Formula(KEY_ACTIONS_PER_SESSION, ("sessions.key_actions", "sessions.closed"), ratio, windows=windows),
        Formula(VIEWS_PER_SESSION, ("sessions.views", "sessions.closed"), ratio, windows=windows),
        Formula(KEY_ACTION_SHARE, ("sessions.with_key_action", "sessions.closed"), ratio, windows=windows),
        Formula(SESSIONS_PER_USER, ("sessions.started", "active_users"), ratio, windows=windows),
        Formula(SESSION_TIME_PER_USER, ("sessions.duration_ms", "active_users"), ratio),
        Formula(KEY_ACTIONS_PER_USER, ("sessions.key_actions", "active_users"), ratio),
        Formula(RETURNING_SHARE, ("sessions.returning", "sessions.started"), ratio),
        Formula(GAP_MEAN, ("sessions.gap_ms", "sessions.returning"), ratio),
        *(
            Formula(
                BOUNCE_RATE_BY,
                (f"sessions.bounced_by.{name}", "sessions.closed"),
                ratio,
                f"bounce_rate_by.{name}",
                {"definition": name},
                windows,
            )
            for name in config.sessions.definitions
        ),
        Formula(
            BOUNCE_RATE_PROVISIONAL,
            ("sessions.settling_engaged", "sessions.settling"),
            shortfall,
            labels={"stage": "provisional", "window": "15m"},
        ),
    ]


def tallies_of(config: Config) -> list[Tally]:
    """Histograms since the process started."""
    text = "Durations of the sessions that closed since this process started."
    return [Tally("session_duration_seconds", text, LIFETIME, {"product": config.product}, BOUNDS_S, 0.001)]
