"""Alerts of subscriptions: customers who leave, and revenue that goes with them."""

from __future__ import annotations

from typing import Final

from flows.alerting.promql import Group, Recording
from flows.alerting.source import TREE, Source, label_of, told, window_of

AT_LEAST: Final = 7
"""The trailing time counts once a seventh of it has passed."""


def churn(source: Source) -> Group | None:
    """ChurnSpike, one series for customers who have left and one for those who have said that they will."""
    settings = source.alerts.churn
    if settings is None or source.config.subscriptions is None:
        return None
    window = window_of(source.config.windows, settings.window)
    name = label_of(window)
    left = source.total("window_customers", movement="churned", window=name)
    asked = f'tidegauge_window_cancellations_requested{{product="{source.product}", window="{name}"}}'
    now, mean = source.recorded("churn:now"), source.recorded("churn:trailing_mean")
    average = source.trailing("avg_over_time", "churn:now", window)
    spread = source.trailing("stddev_over_time", "churn:now", window)
    long_enough = (
        f"present_over_time({now}[{source.pace.span(window)}]"
        f" offset {source.pace.span(source.alerts.trailing / AT_LEAST)})"
    )
    customers = source.total("customers_active")
    return Group(
        name=f"tidegauge {source.product} churn",
        comment=f"Customers who stopped paying within {name} (left), and cancellations asked for (asked).",
        rules=[
            Recording("tidegauge:churn:now", source.fresh(f"  max by (product) ({left})"), "Left.", {"kind": "left"}),
            Recording(
                "tidegauge:churn:now", source.fresh(f"  max by (product) ({asked})"), "Asked to.", {"kind": "asked"}
            ),
            Recording(
                "tidegauge:churn:trailing_mean",
                f"{average}\nand\n{long_enough}",
                f"What is usual: the trailing time without the last {name}, once a {AT_LEAST}th of it has passed.",
            ),
            Recording(
                "tidegauge:churn:dispersion",
                f"({spread} ^ 2 / {mean} > 1)\nor\n{mean} * 0 + 1",
                "How much more than a Poisson count it varied in that time: variance over mean, at least 1.",
            ),
            Recording(
                "tidegauge:churn:standard_errors",
                f"""
                2 * (sqrt({now} + 3/8) - sqrt({mean} + 3/8))
                / sqrt({source.recorded("churn:dispersion")} * {1 + AT_LEAST * window / source.alerts.trailing:.3g})""",
                "Anscombe's transform: how many standard errors the count has risen.",
            ),
            source.alert(
                "ChurnSpike",
                f"""
                {now}
                and (
                    {now} > {settings.factor:g} * {mean}
                  and
                    {source.recorded("churn:standard_errors")} > {source.alerts.standard_errors:g}
                  or
                    (
                      {now} > on (product) group_left () {settings.share:g} * max by (product) ({customers})
                      unless {mean}
                    )
                )
                and {now} >= {settings.cancellations}""",
                comment="""
                    Risen to a multiple, and not by chance; while there is little to compare with, a share of all
                    customers; and enough of them.""",
                summary="{{ $value }} cancellations of {{ $labels.product }} ({{ $labels.kind }})",
                description=(
                    f"{{{{ $value }}}} within {name} (left: stopped paying; asked: asked for a cancellation). Usual:"
                    f" {told('churn:trailing_mean', ['product', 'kind'], 'humanize', 'not known')};"
                    f" {told('churn:standard_errors', ['product', 'kind'], 'humanize', 'not known how many')}"
                    " standard errors."
                ),
                severity=settings.severity,
                dashboard=TREE,
            ),
        ],
    )


def revenue(source: Source) -> Group | None:
    """MRRDrop."""
    settings = source.alerts.mrr
    if settings is None or source.config.subscriptions is None:
        return None
    window = window_of(source.config.windows, settings.window)
    name = label_of(window)
    movements = source.total("window_mrr_movement", window=name)[:-1]
    lost = f'sum by (product) ({movements}, movement=~"churned|contraction"}})'
    won = f'sum by (product) ({movements}, movement=~"new|expansion|reactivated"}})'
    customers = f"max by (product) ({source.total('customers_active')})"
    now, loss = source.recorded("mrr:now"), source.recorded("mrr:net_loss")
    ratio, mean = source.recorded("mrr:net_loss_ratio"), source.recorded("mrr:net_loss_trailing_mean")
    long_enough = (
        f"present_over_time({ratio}[{source.pace.span(window)}]"
        f" offset {source.pace.span(source.alerts.trailing / AT_LEAST)})"
    )
    return Group(
        name=f"tidegauge {source.product} revenue",
        comment="Monthly recurring revenue, and what was lost of it, net of what was gained.",
        rules=[
            Recording("tidegauge:mrr:now", source.fresh(f"  sum by (product) ({source.total('mrr')})"), "MRR."),
            Recording("tidegauge:mrr:net_loss", source.fresh(f"  {lost}\n- {won}"), f"Lost within {name}."),
            Recording(
                "tidegauge:mrr:net_loss_ratio",
                f"{loss} / ({now} + {loss} > 0)",
                "As a share of what it was before.",
            ),
            Recording(
                "tidegauge:mrr:net_loss_trailing_mean",
                f"{source.trailing('avg_over_time', 'mrr:net_loss_ratio', window)}\nand\n{long_enough}",
                f"What is usual; below 0 where it grows. Once a {AT_LEAST}th of the trailing time has passed.",
            ),
            Recording(
                "tidegauge:mrr:standard_errors",
                f"({ratio} - {mean})\n/ {source.trailing('stddev_over_time', 'mrr:net_loss_ratio', window)}",
                "How many standard deviations of the trailing time that is away from its mean.",
            ),
            source.alert(
                "MRRDrop",
                f"""
                {ratio}
                and (
                    {ratio} > {settings.loss:g}
                  and
                    {source.recorded("mrr:standard_errors")} > {source.alerts.standard_errors:g}
                  or
                    ({ratio} > {settings.static_loss:g} unless {mean})
                )
                and {loss} >= {settings.customers} * {now} / on (product) ({customers} > 0)""",
                comment="""
                    A share that matters, and beyond what is usual; while there is little to compare with, a larger
                    share; and more than a few customers pay.""",
                summary="{{ $labels.product }} has lost {{ $value | humanizePercentage }} of its MRR",
                description=(
                    f"Within {name} MRR fell by {{{{ $value | humanizePercentage }}}}, net of what was gained. Usual:"
                    f" {told('mrr:net_loss_trailing_mean', ['product'], 'humanizePercentage', 'not known')};"
                    f" {told('mrr:standard_errors', ['product'], 'humanize', 'not known how many')}"
                    " standard deviations."
                ),
                severity=settings.severity,
                dashboard=TREE,
            ),
        ],
    )
