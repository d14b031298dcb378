"""The `alerts:` part of the user's file: what is worth waking somebody for, and with what the present is compared.

`tidegauge rules` makes Prometheus rules of it (flows/alerting). It changes no number, so it is no part of `Config`, and
a checkpoint does not depend on it. An alert that is `null` is off.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from flows.config.fields import Between, DurationMs, EventName, Section, Slug

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000

Severity = Annotated[
    Literal["page", "ticket"],
    Field(description="The alert's label `severity`: `page` wakes somebody, `ticket` can wait for the morning."),
]
Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Short = Annotated[DurationMs, AfterValidator(Between("1s", "24h"))]
Long = Annotated[DurationMs, AfterValidator(Between("10s", "400d"))]


class CountFalls(Section):
    """Limits of a count that falls; each alert adds `least`, under the name of what it counts."""

    window: Long = HOUR_MS
    """Over which they are counted: the smallest of the config's `windows` that is not below this."""
    drop: Share = 0.5
    """So much less than in the same hour last week."""
    below: Count = 1
    """Without a last week: fewer than this, where ten times the minimum were usual in the last day."""


class CountRises(Section):
    """Limits of a count that rises; each alert adds its limit without a past, and its minimum."""

    window: Long = HOUR_MS
    """Over which they are counted: the smallest of the config's `windows` that is not below this."""
    factor: Annotated[float, Field(ge=1, le=1000)] = 3
    """So many times as many as usual over the trailing time."""


class BounceAlert(Section):
    """BounceSpike: visitors leave at once, by the provisional bounce rate (sessions begun 5 to 15 minutes ago)."""

    rise: Share = 0.1
    """So much above the same hour last week: 0.1 is ten percentage points."""
    above: Share = 0.85
    """Without a last week: above this rate."""
    sessions: Count = 200
    """Not judged by fewer."""
    severity: Severity = "page"


class ConversionThresholds(Section):
    """What differs for one funnel; a key that is not there is as for all."""

    drop: Share | None = None
    """In place of the `drop` of all funnels."""
    below: Share | None = None
    """In place of their `below`."""
    attempts: Count | None = None
    """In place of their `attempts`."""


class ConversionAlert(Section):
    """ConversionDrop: fewer attempts at a funnel succeed, by its live (Kaplan-Meier) conversion."""

    drop: Share = 0.25
    """So much less than in the same hour last week: 0.25 is a quarter of it."""
    below: Share = 0.01
    """Without a last week: below this conversion."""
    attempts: Count = 200
    """Not judged by fewer, entered within the funnel's window."""
    funnels: dict[Slug, ConversionThresholds] = Field(default={}, max_length=50)
    """Other thresholds for single funnels, by name."""
    severity: Severity = "page"

    def of(self, funnel: str) -> ConversionAlert:
        """The thresholds of one funnel: its own, and these where it has none."""
        own = self.funnels.get(funnel, ConversionThresholds())
        return self.model_copy(update=own.model_dump(exclude_none=True))


class ActiveUsersAlert(CountFalls):
    """ActiveUsersDrop: fewer users than usual."""

    window: Long = 5 * MINUTE_MS
    """Over which users are counted: the smallest of the config's `windows` that is not below this."""
    users: Count = 50
    """Not judged where fewer are expected."""
    severity: Severity = "page"


class KeyActionsAlert(CountFalls):
    """KeyActionDrop: something that visitors should do is hardly done any more: sign-ups, orders."""

    events: Annotated[tuple[EventName, ...], Field(max_length=50)] | None = None
    """Which events, by name; without this key those of all `key_actions`, and `Signed Up` where it is counted by name.
    All events of a name are watched, whatever a key action asks of them besides (`where`)."""
    count: Count = 50
    """Not judged where fewer are expected."""
    severity: Severity = "page"


class ChurnAlert(CountRises):
    """ChurnSpike: customers leave, or say that they will."""

    share: Share = 0.05
    """While the trailing time is too short to compare with: more than this share of all customers."""
    cancellations: Count = 10
    """Not judged by fewer."""
    severity: Severity = "page"


class MrrAlert(Section):
    """MRRDrop: recurring revenue is lost faster than it ever was in the trailing time."""

    window: Long = HOUR_MS
    """Over which losses and gains are added up, as for active users."""
    loss: Share = 0.02
    """So much of the MRR at the window's start, net of what was gained."""
    static_loss: Share = 0.05
    """While the trailing time is too short to compare with: so much."""
    customers: Count = 5
    """Not judged while the loss is less than so many average customers pay: with few, each one is a large share."""
    severity: Severity = "page"


class SessionDurationAlert(Section):
    """SessionDurationCollapse: those who stay, stay much shorter. Bounced sessions are left out."""

    window: Long = HOUR_MS
    """Over which closed sessions are averaged: the smallest of `ratio_windows` that is not below this."""
    drop: Share = 0.5
    """So much shorter than in the same hour last week."""
    below: Short = 5_000
    """Without a last week: shorter than this."""
    sessions: Count = 200
    """Not judged by fewer."""
    variation: Annotated[float, Field(gt=0, le=20)] = 2
    """Standard deviation of a session's duration over its mean. See deploy/prometheus/README.md for measured ones."""
    severity: Severity = "ticket"


class PipelineAlerts(Section):
    """When Tidegauge itself, or what feeds it, needs somebody."""

    down: Short = 5 * MINUTE_MS
    """TidegaugeDown: no metrics of the product for so long."""
    silence: Short = 10 * MINUTE_MS
    """NoData: no record for so long, where `expected` would be usual."""
    expected: Count = 50
    """Records in that time; with so many expected, none is no accident."""
    stalled: Short = 5 * MINUTE_MS
    """StreamClockStalled: the stream clock is behind and has not moved for so long."""
    transaction: Short = 5 * MINUTE_MS
    """TransactionHangs: reading has stood before an open transaction for so long."""
    behind: Short = 10 * MINUTE_MS
    """ConsumerLag: so far behind, and not catching up."""
    late: Share = 0.05
    """LateShare: of accepted events."""
    rejected: Share = 0.05
    """RejectedShare: of records."""
    duplicates: Share = 0.2
    """DuplicateShare: of records."""
    records: Count = 500
    """Shares are not judged by fewer records, within 15 minutes."""
    undelivered: Short = 5 * MINUTE_MS
    """DeadLettersWaiting: Kafka has not taken a copy of a rejected record for so long."""
    unpublished: Short = 2 * MINUTE_MS
    """PublishFailing: Redis has not taken the numbers for so long."""
    checkpoint: Short = 10 * MINUTE_MS
    """CheckpointTooOld: the last checkpoint is older."""


class Alerts(Section):
    """What is worth waking somebody for; read by `tidegauge rules` alone."""

    same_hour: Long = 7 * DAY_MS
    """How long ago the same hour was: `7d`, or `1d` for a product to which all days are alike."""
    span: Long = HOUR_MS
    """The length of that hour."""
    trailing: Long = 7 * DAY_MS
    """The past that churn and MRR are compared with."""
    standard_errors: Annotated[float, Field(ge=1, le=20)] = 4
    """How far beyond chance a change must be. 4: once in 30,000 judgements, where the model holds."""
    lasting: Short = 5 * MINUTE_MS
    """How long it must be so before an alert of the product fires."""
    keep_firing: Short = 15 * MINUTE_MS
    """How long it goes on firing after that, so that it does not flap."""
    stale: Short = 2 * MINUTE_MS
    """Numbers are not judged while they are older than this, `lateness` apart."""
    runbooks: Annotated[str, Field(max_length=500)] = "deploy/runbooks"
    """Where the pages of deploy/runbooks are for those who are woken: a URL, best."""
    bounce: BounceAlert | None = BounceAlert()
    conversion: ConversionAlert | None = ConversionAlert()
    active_users: ActiveUsersAlert | None = ActiveUsersAlert()
    key_actions: KeyActionsAlert | None = KeyActionsAlert()
    churn: ChurnAlert | None = ChurnAlert()
    mrr: MrrAlert | None = MrrAlert()
    session_duration: SessionDurationAlert | None = SessionDurationAlert()
    pipeline: PipelineAlerts = PipelineAlerts()
