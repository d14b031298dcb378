"""Rules of a number that is not where it was to be by now."""

from __future__ import annotations

from flows.alerting.promql import Alert, Recording
from flows.alerting.shapes.numbers import Numbers, told
from flows.alerting.source import Source
from flows.metrics.alerts import OffTrack


def rules(shape: OffTrack, source: Source) -> list[Recording | Alert]:
    """What is published says itself whether it is so; it has to last."""
    numbers = Numbers(shape, source)
    labels = ("product", *shape.progress[0].label_names())
    gone = told(f"{shape.name}:{shape.progress[0].name}", labels, "humanizePercentage", "not known how much")
    return [
        *map(numbers.amount, shape.on_track),
        *map(numbers.amount, shape.progress),
        source.alert(
            shape.alert,
            f"{numbers.of(shape.on_track[0].name)} == 0",
            comment="Less of the way than of the time, and for so long that it is no dip.",
            summary=shape.summary,
            description=f"{shape.description} Gone of the way: {gone}.",
            severity=shape.severity,
            dashboard=f"/d/tidegauge-{shape.dashboard}",
            for_=source.pace.span(shape.lasting_ms),
        ),
    ]
