"""Alerts of shares and means: bounce, conversion, and how long visitors stay."""

from __future__ import annotations

from typing import Final

from flows.alerting.promql import Alert, Group, Recording, tidy
from flows.alerting.source import Source, label_of, told, window_of
from flows.config.alerts import ConversionAlert, ConversionThresholds

SETTLING_MS: Final = 600_000
"""The provisional bounce rate is over sessions begun within ten minutes (METRICS.md)."""


def bounce(source: Source) -> Group | None:
    """BounceSpike."""
    settings = source.alerts.bounce
    if settings is None:
        return None
    windows = f"{source.alerts.span / SETTLING_MS:g}"
    now, then = source.recorded("settling:sessions"), source.recorded("settling:sessions_last_week")
    bounced, bounced_then = source.recorded("settling:bounced"), source.recorded("settling:bounced_last_week")
    ratio, ratio_then = source.recorded("bounce:ratio"), source.recorded("bounce:ratio_last_week")
    pooled, errors = source.recorded("bounce:ratio_pooled"), source.alerts.standard_errors
    static = settings.above
    settling = source.total("sessions_settling")
    engaged = source.total("sessions_settling_engaged")
    return Group(
        name=f"tidegauge {source.product} bounce",
        comment="Sessions begun 5 to 15 minutes ago, and those of them that are not engaged yet.",
        rules=[
            Recording(
                "tidegauge:settling:sessions",
                source.fresh(f"  max by (product) ({settling})"),
                "Sessions to judge by.",
            ),
            Recording(
                "tidegauge:settling:bounced",
                source.fresh(f"  max by (product) ({settling})\n- max by (product) ({engaged})"),
                "Those that have bounced so far.",
            ),
            Recording(
                "tidegauge:settling:sessions_last_week",
                source.same_hour("avg_over_time", "settling:sessions"),
                "The same, on average over the hour around this time last week.",
            ),
            Recording(
                "tidegauge:settling:bounced_last_week",
                source.same_hour("avg_over_time", "settling:bounced"),
                "Of those, bounced.",
            ),
            Recording("tidegauge:bounce:ratio", f"{bounced} / ({now} > 0)", "The provisional bounce rate."),
            Recording("tidegauge:bounce:ratio_last_week", f"{bounced_then} / ({then} > 0)", "And that of last week."),
            Recording(
                "tidegauge:bounce:ratio_pooled",
                f"""
                ({bounced} + {windows} * {bounced_then})
                / ({now} + {windows} * {then})""",
                f"The rate of both together, as if nothing had changed. The hour has {windows} times ten minutes.",
            ),
            Recording(
                "tidegauge:bounce:standard_errors",
                f"""
                ({ratio} - {ratio_then})
                / sqrt(
                  {pooled} * (1 - {pooled})
                  * (1 / {now} + 1 / ({windows} * {then}))
                )""",
                "Two-proportion z-test: how many standard errors the rate has risen.",
            ),
            source.alert(
                "BounceSpike",
                f"""
                {ratio}
                and (
                    {ratio} - {ratio_then} > {settings.rise:g}
                  and
                    {source.recorded("bounce:standard_errors")} > {errors:g}
                  or
                    (
                      {ratio} - {errors:g} * sqrt({static:g} * (1 - {static:g}) / {now}) > {static:g}
                      unless {ratio_then}
                    )
                )
                and {now} >= {settings.sessions}""",
                comment="""
                    Risen by enough, and not by chance; in the first week, without a last one, above a fixed rate;
                    and judged by enough sessions.""",
                summary="{{ $value | humanizePercentage }} of the visitors of {{ $labels.product }} leave at once",
                description=(
                    "{{ $value | humanizePercentage }} of the sessions begun 5 to 15 minutes ago are not engaged."
                    " Same hour last week:"
                    f" {told('bounce:ratio_last_week', ['product'], 'humanizePercentage', 'not known')};"
                    f" {told('bounce:standard_errors', ['product'], 'humanize', 'not known how many')} standard errors."
                ),
                severity=settings.severity,
            ),
        ],
    )


def conversion(source: Source) -> Group | None:
    """ConversionDrop, one series for each funnel."""
    settings = source.alerts.conversion
    if settings is None or not source.config.funnels:
        return None
    rules: list[Recording | Alert] = []
    live = source.total("funnel_conversion_ratio", kind="live")
    error = source.total("funnel_conversion_standard_error")
    ratio, ratio_then = source.recorded("conversion:ratio"), source.recorded("conversion:ratio_last_week")
    entered, error_then = source.recorded("conversion:entered"), source.recorded("conversion:error_last_week")
    variance, usual_variance = source.recorded("conversion:variance"), source.recorded("conversion:usual_variance")
    rules += [
        Recording(
            "tidegauge:conversion:ratio",
            source.fresh(f"  max by (product, funnel) ({live})"),
            "The live (Kaplan-Meier) conversion, which a surge of traffic hardly moves.",
        ),
        Recording(
            "tidegauge:conversion:error",
            source.fresh(f"  max by (product, funnel) ({error})"),
            "Its standard error, by Greenwood's formula.",
        ),
    ]
    for name, funnel in source.config.funnels.items():
        window = label_of(window_of(source.config.windows, funnel.window))
        first = source.total("funnel_attempts", funnel=name, step=funnel.step_names()[0], window=window)
        rules.append(
            Recording(
                "tidegauge:conversion:entered",
                source.fresh(f"  max by (product) ({first})"),
                f"Attempts at {name} within {window}.",
                {"funnel": name},
            )
        )
    rules += [
        Recording(
            "tidegauge:conversion:ratio_last_week",
            source.same_hour("avg_over_time", "conversion:ratio"),
            "On average over the hour around this time last week.",
        ),
        Recording(
            "tidegauge:conversion:error_last_week",
            source.same_hour("avg_over_time", "conversion:error"),
            "Estimates of one hour share most of their attempts, so their mean is hardly better than one of them.",
        ),
        Recording(
            "tidegauge:conversion:usual_variance",
            f"{ratio_then} * (1 - {ratio_then})\n/ ({entered} > 0)",
            "The variance that last week's conversion would have with so many attempts.",
        ),
        Recording(
            "tidegauge:conversion:variance",
            f"({source.recorded('conversion:error')} ^ 2 > {usual_variance})\nor\n{usual_variance}",
            "That, or Greenwood's where it is larger. Greenwood's is 0 when nobody converts.",
        ),
        Recording(
            "tidegauge:conversion:standard_errors",
            f"({ratio_then} - {ratio})\n/ sqrt({variance} + {error_then} ^ 2)",
            "How many standard errors the conversion has fallen.",
        ),
    ]
    others = "|".join(settings.funnels)
    branches = [
        _conversion(source, settings, f'funnel!~"{others}"' if others else ""),
        *(_conversion(source, settings, f'funnel="{name}"', own) for name, own in settings.funnels.items()),
    ]
    rules.append(
        source.alert(
            "ConversionDrop",
            "\nor\n".join(branches),
            comment="""
                Fallen by enough, and not by chance; in the first week below a fixed conversion; and judged by enough
                attempts.""",
            summary="Only {{ $value | humanizePercentage }} get through {{ $labels.funnel }} of {{ $labels.product }}",
            description=(
                "Live conversion of {{ $labels.funnel }} is {{ $value | humanizePercentage }}. Same hour last week:"
                f" {told('conversion:ratio_last_week', ['product', 'funnel'], 'humanizePercentage', 'not known')};"
                f" {told('conversion:standard_errors', ['product', 'funnel'], 'humanize', 'not known how many')}"
                " standard errors."
            ),
            severity=settings.severity,
        )
    )
    return Group(
        name=f"tidegauge {source.product} conversion",
        comment="How many of those who enter a funnel get through it, estimated while they are under way.",
        rules=rules,
    )


def _conversion(source: Source, settings: ConversionAlert, which: str, own: ConversionThresholds | None = None) -> str:
    """The condition for the funnels that the matcher `which` selects."""
    drop = own.drop if own and own.drop is not None else settings.drop
    below = own.below if own and own.below is not None else settings.below
    attempts = own.attempts if own and own.attempts is not None else settings.attempts
    errors = source.alerts.standard_errors
    ratio, then = source.recorded("conversion:ratio", which), source.recorded("conversion:ratio_last_week", which)
    entered = source.recorded("conversion:entered", which)
    return tidy(f"""
    {ratio}
    and (
        {ratio} < {1 - drop:g} * {then}
      and
        {source.recorded("conversion:standard_errors", which)} > {errors:g}
      or
        (
          {ratio} + {errors:g} * sqrt({below:g} * (1 - {below:g}) / {entered}) < {below:g}
          unless {then}
        )
    )
    and {entered} >= {attempts}""")


def session_duration(source: Source) -> Group | None:
    """SessionDurationCollapse."""
    settings = source.alerts.session_duration
    if settings is None or not source.config.ratio_windows:
        return None
    window = label_of(window_of(source.config.ratio_windows, settings.window))
    closed = f"max by (product) ({source.total('window_sessions', state='closed', window=window)})"
    bounced = f"max by (product) ({source.total('window_sessions', state='bounced', window=window)})"
    mean = f"max by (product) ({source.total('session_duration_mean_seconds', window=window)})"
    sessions, then = source.recorded("stayed:sessions"), source.recorded("stayed:sessions_last_week")
    seconds, usual = source.recorded("stayed:mean_seconds"), source.recorded("stayed:mean_seconds_last_week")
    below, errors, variation = settings.below / 1000, source.alerts.standard_errors, settings.variation
    return Group(
        name=f"tidegauge {source.product} session duration",
        comment=f"Sessions that closed within {window} and did not bounce: those of visitors who stayed.",
        rules=[
            Recording("tidegauge:stayed:sessions", source.fresh(f"  {closed}\n- {bounced}"), "How many."),
            Recording(
                "tidegauge:stayed:mean_seconds",
                f"{mean}\n* {closed}\n/ ({sessions} > 0)",
                "How long. Bounced sessions last next to nothing, so all time is that of the others.",
            ),
            Recording(
                "tidegauge:stayed:sessions_last_week",
                source.same_hour("avg_over_time", "stayed:sessions"),
                "How many, on average over the hour around this time last week.",
            ),
            Recording(
                "tidegauge:stayed:mean_seconds_last_week",
                source.same_hour("avg_over_time", "stayed:mean_seconds"),
                "And how long.",
            ),
            Recording(
                "tidegauge:stayed:standard_errors",
                f"""
                ({usual} - {seconds})
                / ({variation:g} * {usual} * sqrt(1 / {sessions} + 1 / {then}))""",
                f"By how many standard errors; a duration's standard deviation is taken as {variation:g} of its means.",
            ),
            source.alert(
                "SessionDurationCollapse",
                f"""
                {seconds}
                and (
                    {seconds} < {1 - settings.drop:g} * {usual}
                  and
                    {source.recorded("stayed:standard_errors")} > {errors:g}
                  or
                    (
                      {seconds} + {errors:g} * {variation:g} * {below:g} / sqrt({sessions}) < {below:g}
                      unless {usual}
                    )
                )
                and {sessions} >= {settings.sessions}""",
                comment="""
                    Shorter by enough, and not by chance; in the first week shorter than a fixed time; and judged by
                    enough sessions.""",
                summary="Visitors of {{ $labels.product }} who stay leave after {{ $value | humanizeDuration }}",
                description=(
                    "Sessions that did not bounce last {{ $value | humanizeDuration }} on average. Same hour last week:"
                    f" {told('stayed:mean_seconds_last_week', ['product'], 'humanizeDuration', 'not known')};"
                    f" {told('stayed:standard_errors', ['product'], 'humanize', 'not known how many')}"
                    " standard errors."
                ),
                severity=settings.severity,
            ),
        ],
    )
