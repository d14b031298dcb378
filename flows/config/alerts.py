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
    Field(description="The alert's label `severity`: `page` wakes someone, `ticket` can wait until morning."),
]
Share = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
Short = Annotated[DurationMs, AfterValidator(Between("1s", "24h"))]
Long = Annotated[DurationMs, AfterValidator(Between("10s", "400d"))]


class CountFalls(Section):
    """Limits of a count that falls; each alert adds `least`, under the name of what it counts."""

    window: Long = HOUR_MS
    """Window to count over: the smallest of the config's `windows` that is not below this."""
    drop: Share = 0.5
    """Least drop from the same hour last week: 0.5 is half."""
    below: Count = 1
    """Threshold when there is no last week to compare with, if ten times the minimum were usual in the last day."""


class CountRises(Section):
    """Limits of a count that rises; each alert adds its limit without a past, and its minimum."""

    window: Long = HOUR_MS
    """Window to count over: the smallest of the config's `windows` that is not below this."""
    factor: Annotated[float, Field(ge=1, le=1000)] = 3
    """Least multiple of what is usual over the trailing time."""


class BounceAlert(Section):
    """BounceSpike: visitors leave at once, by the provisional bounce rate (sessions begun 5 to 15 minutes ago)."""

    rise: Share = 0.1
    """Least rise over the same hour last week: 0.1 is ten percentage points."""
    above: Share = 0.85
    """Threshold of the rate when there is no last week to compare with."""
    sessions: Count = 200
    """Smallest number to judge by."""
    severity: Severity = "page"


class ConversionThresholds(Section):
    """Thresholds of one funnel; a missing key means the threshold of all funnels."""

    drop: Share | None = None
    """Replaces the `drop` of all funnels."""
    below: Share | None = None
    """Replaces the `below` of all funnels."""
    attempts: Count | None = None
    """Replaces the `attempts` of all funnels."""


class ConversionAlert(Section):
    """ConversionDrop: fewer attempts at a funnel succeed, by its live (Kaplan-Meier) conversion."""

    drop: Share = 0.25
    """Least drop from the same hour last week: 0.25 is a quarter."""
    below: Share = 0.01
    """Threshold of the conversion when there is no last week to compare with."""
    attempts: Count = 200
    """Fewest attempts, entered within the funnel's window, to judge by."""
    funnels: dict[Slug, ConversionThresholds] = Field(default={}, max_length=50)
    """Different thresholds for single funnels, by name."""
    severity: Severity = "page"

    def of(self, funnel: str) -> ConversionAlert:
        """The thresholds of one funnel: its own, and these where it has none."""
        own = self.funnels.get(funnel, ConversionThresholds())
        return self.model_copy(update=own.model_dump(exclude_none=True))


class MilestoneAlert(Section):
    """MilestoneDrop: fewer users reach a milestone, by its live (Kaplan-Meier) rate."""

    drop: Share = 0.25
    """Least drop from the same hour last week: 0.25 is a quarter."""
    below: Share = 0.01
    """Threshold of the rate when there is no last week to compare with."""
    users: Count = 200
    """Fewest users, started within the milestone's time, to judge by."""
    severity: Severity = "page"


class MilestoneTimeAlert(Section):
    """MilestoneSlow: users need longer to reach a milestone."""

    window: Long = DAY_MS
    """Window in which the users started: the smallest of the config's `windows` that is not below this."""
    rise: Annotated[float, Field(gt=0, le=100)] = 0.5
    """Least rise over the same hour last week: 0.5 is half as long again."""
    above: Long = 7 * DAY_MS
    """Threshold of the mean when there is no last week to compare with."""
    users: Count = 200
    """Fewest users who have reached it, to judge by."""
    variation: Annotated[float, Field(gt=0, le=20)] = 2
    """Standard deviation of a user's time over its mean."""
    severity: Severity = "ticket"


class RetentionAlert(Section):
    """RetentionDrop: fewer new users come back, on the first of the days of `retention`."""

    window: Long = DAY_MS
    """Window in which the users started: the smallest of `long_windows` that is not below this."""
    drop: Share = 0.25
    """Least drop from the same hour last week: 0.25 is a quarter."""
    below: Share = 0.01
    """Threshold of the rate when there is no last week to compare with."""
    users: Count = 500
    """Fewest users to judge by."""
    severity: Severity = "ticket"


class ActiveUsersAlert(CountFalls):
    """ActiveUsersDrop: fewer users than usual."""

    window: Long = 5 * MINUTE_MS
    """Window to count users over: the smallest of the config's `windows` that is not below this."""
    users: Count = 50
    """Smallest number that must be usual to judge by."""
    severity: Severity = "page"


class KeyActionsAlert(CountFalls):
    """KeyActionDrop: a key action, such as a sign-up or an order, has become much rarer."""

    events: Annotated[tuple[EventName, ...], Field(max_length=50)] | None = None
    """Names of the events to watch; without this key, those of all `key_actions`, and `Signed Up` if it is counted by
    name. All events of a name are watched, whatever else a key action asks of them (`where`)."""
    count: Count = 50
    """Smallest number that must be usual to judge by."""
    severity: Severity = "page"


class UsesFall(CountFalls):
    """Limits of users of something."""

    users: Count = 50
    """Smallest number of users that must be usual to judge by."""
    severity: Severity = "page"


class GoalsAlert(UsesFall):
    """GoalDrop: far fewer users reach a goal than usual."""


class FeaturesAlert(UsesFall):
    """FeatureDrop: far fewer users use a feature than usual."""

    severity: Severity = "ticket"


class ChurnAlert(CountRises):
    """ChurnSpike: customers leave or request their cancellation."""

    share: Share = 0.05
    """Threshold while the trailing time is too short to compare with: this share of all customers."""
    cancellations: Count = 10
    """Smallest number to judge by."""
    severity: Severity = "page"


class MrrAlert(Section):
    """MRRDrop: recurring revenue is lost faster than usual."""

    window: Long = HOUR_MS
    """Window to add up losses and gains over, as for active users."""
    loss: Share = 0.02
    """Least net loss, as a share of the MRR at the window's start."""
    static_loss: Share = 0.05
    """The same while the trailing time is too short to compare with."""
    customers: Count = 5
    """Least net loss, in average customers' payments: with few customers, each one is a large share."""
    severity: Severity = "page"


class OrdersAlert(CountFalls):
    """OrdersDrop: far fewer orders than usual, and so less revenue."""

    orders: Count = 50
    """Smallest number that must be usual to judge by."""
    severity: Severity = "page"


class OrderValueAlert(Section):
    """OrderValueDrop: the average order brings much less."""

    window: Long = HOUR_MS
    """Window to average over: the smallest of the config's `windows` that is not below this."""
    drop: Share = 0.3
    """Least drop from the same hour last week: 0.3 is three tenths."""
    below: Annotated[float, Field(gt=0, le=1_000_000_000)] = 1.0
    """Threshold of the average, in units of the currency, when there is no last week to compare with."""
    orders: Count = 200
    """Smallest number to judge by."""
    variation: Annotated[float, Field(gt=0, le=20)] = 1.5
    """Standard deviation of what an order brings over the average."""
    severity: Severity = "page"


class RevenueAlert(Section):
    """RevenueDrop: orders bring far less in sum, because they are fewer, smaller, or both."""

    window: Long = HOUR_MS
    """Window to add up revenue over: the smallest of the config's `windows` that is not below this."""
    drop: Share = 0.5
    """Least drop from the same hour last week: 0.5 is half."""
    below: Annotated[float, Field(gt=0, le=1_000_000_000)] = 1.0
    """Threshold of the revenue, in units of the currency, when there is no last week to compare with, if ten times the
    minimum of orders were usual in the last day."""
    orders: Count = 50
    """Smallest number of orders that must be usual to judge by."""
    variation: Annotated[float, Field(gt=0, le=20)] = 1.5
    """Standard deviation of what an order brings over the average."""
    severity: Severity = "page"


class OrderRefundsAlert(CountRises):
    """OrderRefundsRise: far more refunds than usual."""

    above: Count = 100
    """Threshold while the trailing time is too short to compare with."""
    refunds: Count = 10
    """Smallest number to judge by."""
    severity: Severity = "page"


class CacAlert(Section):
    """CacRise: a new customer costs more in marketing and sales."""

    window: Long = 7 * DAY_MS
    """Window of spending and of new customers: the smallest of the config's `long_windows` that is not below this."""
    rise: Annotated[float, Field(gt=0, le=100)] = 0.3
    """Least rise over the same hour last week: 0.3 is three tenths as much again."""
    above: Annotated[float, Field(gt=0, le=1_000_000_000)] = 1000.0
    """Threshold of the cost, in units of the currency, when there is no last week to compare with."""
    customers: Count = 50
    """Fewest new customers to judge by."""
    variation: Annotated[float, Field(gt=0, le=20)] = 1
    """Standard deviation of the number of new customers over its square root: 1 where they come independently."""
    severity: Severity = "ticket"


class DetractorsAlert(Section):
    """DetractorsRise: more of the answers to a survey of kind `nps` would not recommend the product."""

    window: Long = DAY_MS
    """Window to count responses over: the smallest of the config's `long_windows` that is not below this."""
    rise: Share = 0.1
    """Least rise of their share over the same hour last week: 0.1 is ten percentage points."""
    above: Share = 0.5
    """Threshold of their share when there is no last week to compare with."""
    severity: Severity = "ticket"


class NpsAlert(Section):
    """NpsDrop: the net promoter score of a survey of kind `nps` is lower, be it by detractors or by fewer promoters."""

    window: Long = 7 * DAY_MS
    """Window of the responses: the smallest of the config's `long_windows` that is not below this."""
    drop: Annotated[float, Field(gt=0, le=200)] = 10
    """Least drop of the score from the same hour last week, in points: the score lies between -100 and 100."""
    below: Annotated[float, Field(ge=-100, le=100)] = 0
    """Threshold of the score when there is no last week to compare with. 0: more detractors than promoters."""
    severity: Severity = "ticket"


class CsatAlert(Section):
    """CsatDrop: fewer of the answers to a survey of kind `csat` are satisfied."""

    window: Long = DAY_MS
    """Window to count responses over: the smallest of the config's `long_windows` that is not below this."""
    drop: Share = 0.15
    """Least drop of their share from the same hour last week: 0.15 is 15 percent of it."""
    below: Share = 0.5
    """Threshold of their share when there is no last week to compare with."""
    severity: Severity = "ticket"


class FeedbackAlert(Section):
    """NegativeFeedbackRise: more of the feedback is negative."""

    window: Long = HOUR_MS
    """Window to count feedback over: the smallest of the config's `windows` that is not below this."""
    rise: Share = 0.15
    """Least rise of the negative share over the same hour last week: 0.15 is 15 percentage points."""
    above: Share = 0.6
    """Threshold of the negative share when there is no last week to compare with."""
    messages: Count = 30
    """Fewest with a sentiment to judge by."""
    severity: Severity = "page"


class SessionDurationAlert(Section):
    """SessionDurationCollapse: sessions that did not bounce have become much shorter."""

    window: Long = HOUR_MS
    """Window to average closed sessions over: the smallest of `ratio_windows` that is not below this."""
    drop: Share = 0.5
    """Least drop from the same hour last week: 0.5 is half."""
    below: Short = 5_000
    """Threshold of the mean when there is no last week to compare with."""
    sessions: Count = 200
    """Smallest number to judge by."""
    variation: Annotated[float, Field(gt=0, le=20)] = 2
    """Standard deviation of a session's duration over its mean; deploy/prometheus/README.md has measurements."""
    severity: Severity = "ticket"


class TicketsAlert(CountRises):
    """TicketSurge: more tickets than usual."""

    above: Count = 100
    """Threshold while the trailing time is too short to compare with."""
    tickets: Count = 10
    """Smallest number to judge by."""
    severity: Severity = "ticket"


class EscalationsAlert(Section):
    """EscalationSpike: a larger share of new tickets is escalated."""

    window: Long = DAY_MS
    """Window in which the tickets were created: the smallest of the config's `windows` that is not below this."""
    rise: Share = 0.1
    """Least rise over the same hour last week: 0.1 is ten percentage points."""
    above: Share = 0.5
    """Threshold of the share when there is no last week to compare with."""
    tickets: Count = 50
    """Smallest number to judge by."""
    severity: Severity = "ticket"


class ResolutionAlert(Section):
    """ResolutionSlow: tickets take longer to resolve."""

    window: Long = DAY_MS
    """Window of the resolutions: the smallest of the config's `windows` that is not below this."""
    rise: Annotated[float, Field(gt=0, le=100)] = 0.5
    """Least rise over the same hour last week: 0.5 is half as long again."""
    above: Long = 7 * DAY_MS
    """Threshold of the mean when there is no last week to compare with."""
    tickets: Count = 50
    """Smallest number to judge by."""
    variation: Annotated[float, Field(gt=0, le=20)] = 2
    """Standard deviation of a ticket's time over its mean."""
    severity: Severity = "ticket"


class TargetsAlert(Section):
    """TargetMissed: a node of the metric tree that asks for an alert is not on track to its target."""

    lasting: Long = HOUR_MS
    """How long it must have been off its track: a number may dip without being lost."""
    severity: Severity = "ticket"


class PipelineAlerts(Section):
    """When Tidegauge itself or its input needs attention."""

    down: Short = 5 * MINUTE_MS
    """TidegaugeDown: no metrics of the product for this long."""
    silence: Short = 10 * MINUTE_MS
    """NoData: no record for this long, at a time when at least `expected` are usual."""
    expected: Count = 50
    """Records that must be usual in that time, so that none is no accident."""
    stalled: Short = 5 * MINUTE_MS
    """StreamClockStalled: the stream clock is behind and has not moved for this long."""
    transaction: Short = 5 * MINUTE_MS
    """TransactionHangs: an open transaction has blocked reading for this long."""
    behind: Short = 10 * MINUTE_MS
    """ConsumerLag: the numbers are this far behind and not catching up."""
    late: Share = 0.05
    """LateShare: the share of accepted events that are late and out of order."""
    rejected: Share = 0.05
    """RejectedShare: the share of records that are rejected."""
    duplicates: Share = 0.2
    """DuplicateShare: the share of records that are duplicates."""
    records: Count = 500
    """Fewest records within 15 minutes to judge a share by."""
    undelivered: Short = 5 * MINUTE_MS
    """DeadLettersWaiting: Kafka has not accepted a copy of a rejected record for this long."""
    unpublished: Short = 2 * MINUTE_MS
    """PublishFailing: Redis has not accepted the numbers for this long."""
    checkpoint: Short = 10 * MINUTE_MS
    """CheckpointTooOld: the last checkpoint is older than this."""


class Alerts(Section):
    """When to alert; only `tidegauge rules` and `tidegauge backtest` read this part."""

    same_hour: Long = 7 * DAY_MS
    """How long ago the hour to compare with was: `7d`, or `1d` if all days of the product are alike."""
    span: Long = HOUR_MS
    """The length of that hour."""
    trailing: Long = 7 * DAY_MS
    """The past to compare churn and MRR with."""
    standard_errors: Annotated[float, Field(ge=1, le=20)] = 4
    """Least distance from chance. 4: one false alarm in 30,000 judgements, where the model holds."""
    lasting: Short = 5 * MINUTE_MS
    """How long the conditions must hold before a product alert fires."""
    keep_firing: Short = 15 * MINUTE_MS
    """How long the alert keeps firing after that, so that it does not flap."""
    stale: Short = 2 * MINUTE_MS
    """Numbers older than this, on top of `lateness`, are not judged."""
    runbooks: Annotated[str, Field(max_length=500)] = "deploy/runbooks"
    """Where people on call find the pages of deploy/runbooks, preferably a URL."""
    bounce: BounceAlert | None = BounceAlert()
    conversion: ConversionAlert | None = ConversionAlert()
    milestones: MilestoneAlert | None = MilestoneAlert()
    milestone_time: MilestoneTimeAlert | None = MilestoneTimeAlert()
    retention: RetentionAlert | None = RetentionAlert()
    active_users: ActiveUsersAlert | None = ActiveUsersAlert()
    key_actions: KeyActionsAlert | None = KeyActionsAlert()
    goals: GoalsAlert | None = GoalsAlert()
    features: FeaturesAlert | None = FeaturesAlert()
    churn: ChurnAlert | None = ChurnAlert()
    mrr: MrrAlert | None = MrrAlert()
    orders: OrdersAlert | None = OrdersAlert()
    order_value: OrderValueAlert | None = OrderValueAlert()
    revenue: RevenueAlert | None = RevenueAlert()
    order_refunds: OrderRefundsAlert | None = OrderRefundsAlert()
    cac: CacAlert | None = CacAlert()
    detractors: DetractorsAlert | None = DetractorsAlert()
    nps: NpsAlert | None = NpsAlert()
    csat: CsatAlert | None = CsatAlert()
    feedback: FeedbackAlert | None = FeedbackAlert()
    session_duration: SessionDurationAlert | None = SessionDurationAlert()
    tickets: TicketsAlert | None = TicketsAlert()
    escalations: EscalationsAlert | None = EscalationsAlert()
    resolution: ResolutionAlert | None = ResolutionAlert()
    targets: TargetsAlert | None = TargetsAlert()
    pipeline: PipelineAlerts = PipelineAlerts()
