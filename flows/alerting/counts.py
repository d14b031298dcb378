"""Alerts of counts that should not drop: active users, sign-ups and key actions."""

from __future__ import annotations

from typing import Final

from flows.alerting.promql import Alert, Group, Recording
from flows.alerting.source import WEEKS, Source, label_of, told, window_of
from flows.config.model import slug

SIGNED_UP: Final = "signed_up"


def drops(source: Source) -> Group | None:
    """ActiveUsersDrop and KeyActionDrop: counts, each with a label `what`."""
    users, actions = source.alerts.active_users, source.alerts.key_actions
    counts: list[tuple[str, int, str]] = []  # what, its window, and its series
    if users is not None:
        window = window_of(source.config.windows, users.window)
        counts.append(("active_users", window, source.total("active_users", window=label_of(window))))
    if actions is not None:
        window = window_of(source.config.windows, actions.window)
        for event in watched_events(source):
            counts.append((event, window, source.total("window_events", event=event, window=label_of(window))))
    if not counts:
        return None
    usual = source.recorded("count:same_hour")
    past = source.same_hour("avg_over_time", "count:now")
    spread = source.same_hour("stddev_over_time", "count:now")
    older = "\n".join(
        f'or label_replace({source.same_hour("avg_over_time", "count:now", weeks)}, "weeks_ago", "{weeks}", "", "")'
        for weeks in range(2, WEEKS + 1)
    )
    rules: list[Recording | Alert] = [
        Recording(
            "tidegauge:count:now",
            source.fresh(f"  max by (product) ({series})"),
            f"{what} within {label_of(window)}.",
            {"what": what},
        )
        for what, window, series in counts
    ]
    rules += [
        Recording("tidegauge:count:same_hour", past, "On average over the hour around this time last week."),
        Recording(
            "tidegauge:count:last_week",
            f"min by (product, what) (\n  {usual}\n  {older}\n)",
            """
            What is usual: that, or the same of the week before where it was less. So a surge makes no drop of the same
            hour a week later.""",
        ),
        Recording(
            "tidegauge:count:dispersion",
            f"({spread} ^ 2 / {usual} > 1)\nor\n{usual} * 0 + 1",
            "How much more than a Poisson count it varied in that hour: variance over mean, at least 1.",
        ),
    ]
    for what, window, _ in counts:
        which = f'what="{what}"'
        rules.append(
            Recording(
                "tidegauge:count:standard_errors",
                f"""
                2 * (
                  sqrt({source.recorded("count:last_week", which)} + 3/8)
                  - sqrt({source.recorded("count:now", which)} + 3/8)
                )
                / sqrt({source.recorded("count:dispersion", which)} * {1 + window / source.alerts.span:.3g})""",
                "Anscombe's transform: how many standard errors the count has fallen.",
                {"what": what},
            )
        )
    if users is not None:
        rules.append(
            source.alert(
                "ActiveUsersDrop",
                _drop(source, 'what="active_users"', users.drop, users.below, users.users),
                comment="""
                    Fallen by enough, and not by chance, from enough; in the first week nearly to nothing, where ten
                    times as many were usual in the last day.""",
                summary="Only {{ $value }} active users of {{ $labels.product }}",
                description=(
                    f"{{{{ $value }}}} users were active within {label_of(counts[0][1])}. Same hour last week:"
                    f" {told('count:last_week', ['product', 'what'], 'humanize', 'not known')};"
                    f" {told('count:standard_errors', ['product', 'what'], 'humanize', 'not known how many')}"
                    " standard errors."
                ),
                severity=users.severity,
            )
        )
    if actions is not None and watched_events(source):
        window = window_of(source.config.windows, actions.window)
        rules.append(
            source.alert(
                "KeyActionDrop",
                _drop(source, 'what!="active_users"', actions.drop, actions.below, actions.count),
                comment="The same for what visitors should do.",
                summary="Only {{ $value }} times {{ $labels.what }} of {{ $labels.product }}",
                description=(
                    f"It came {{{{ $value }}}} times within {label_of(window)}. Same hour last week:"
                    f" {told('count:last_week', ['product', 'what'], 'humanize', 'not known')};"
                    f" {told('count:standard_errors', ['product', 'what'], 'humanize', 'not known how many')}"
                    " standard errors."
                ),
                severity=actions.severity,
            )
        )
    return Group(
        name=f"tidegauge {source.product} counts",
        comment="Counts that should not drop.",
        rules=rules,
    )


def watched_events(source: Source) -> list[str]:
    """Slugs of the events that KeyActionDrop watches."""
    actions = source.alerts.key_actions
    if actions is None:
        return []
    if actions.events is not None:
        return sorted({slug(name) for name in actions.events})
    signed_up = {SIGNED_UP} & set(source.config.vocabulary())
    named = {slug(name) for action in source.config.key_actions for name in action.event}
    return sorted(named | signed_up)


def _drop(source: Source, which: str, drop: float, below: int, least: int) -> str:
    now, then = source.recorded("count:now", which), source.recorded("count:last_week", which)
    return f"""
    {now}
    and (
        {now} < {1 - drop:g} * ({then} >= {least})
      and
        {source.recorded("count:standard_errors", which)} > {source.alerts.standard_errors:g}
      or
        (
          {now} < {below}
          and avg_over_time({now}[{source.last_day()}]) >= {10 * least}
          unless {then}
        )
    )"""
