"""Prometheus rules of each shape of an alert: what is recorded, and the condition."""

from __future__ import annotations

from typing import assert_never

from flows.alerting.promql import Group
from flows.alerting.shapes import (
    amount_fell,
    count_fell,
    count_rose,
    mean_changed,
    off_track,
    share_changed,
    stock_fell,
)
from flows.alerting.source import Source
from flows.metrics.alerts import (
    AmountFell,
    AnyShape,
    CountFell,
    CountRose,
    MeanChanged,
    OffTrack,
    ShareChanged,
    StockFell,
)


def rules_of(shape: AnyShape, source: Source) -> Group:
    """The recording rules of an alert, and the alert."""
    match shape:
        case CountFell():
            rules = count_fell.rules(shape, source)
        case AmountFell():
            rules = amount_fell.rules(shape, source)
        case CountRose():
            rules = count_rose.rules(shape, source)
        case ShareChanged():
            rules = share_changed.rules(shape, source)
        case MeanChanged():
            rules = mean_changed.rules(shape, source)
        case StockFell():
            rules = stock_fell.rules(shape, source)
        case OffTrack():
            rules = off_track.rules(shape, source)
        case _:
            assert_never(shape)
    return Group(f"tidegauge {source.product} {shape.alert}", shape.about, rules)
