"""What rules of one product have in common: selectors of its totals, the guard of fresh data, and the past."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from flows.alerting.promql import Alert, Pace
from flows.config.alerts import Alerts
from flows.config.model import Config
from flows.metrics.alerts import Series

LIVE: Final = "/d/tidegauge-live"
TREE: Final = "/d/tidegauge-tree"
PIPELINE: Final = "/d/tidegauge-pipeline"


@dataclass(frozen=True, slots=True)
class Source:
    """One product, its thresholds, and the pace of its stream."""

    config: Config
    alerts: Alerts
    pace: Pace
    breakdowns: Mapping[str, Sequence[str]] = field(default_factory=dict)  # families: labels of their breakdowns

    @property
    def product(self) -> str:
        """As in the label."""
        return self.config.product

    def shown(self, series: Series) -> str:
        """What is published: the largest, since two processes may show the same number while one follows the other."""
        equal = {"product": self.product, **series.labels} | dict.fromkeys(self.breakdowns.get(series.family, ()), "")
        matchers = [f'{name}="{value}"' for name, value in equal.items()]
        by = ["product", *series.by]
        if series.one_of is None:
            return f"max by ({', '.join(by)}) (tidegauge_{series.family}{{{', '.join(matchers)}}})"
        label, values = series.one_of
        selected = f'tidegauge_{series.family}{{{", ".join(matchers)}, {label}=~"{"|".join(values)}"}}'
        return f"sum by ({', '.join(by)}) (max by ({', '.join([*by, label])}) ({selected}))"

    def recorded(self, name: str, matchers: str = "") -> str:
        """A selector of a series that these rules record."""
        return f'tidegauge:{name}{{product="{self.product}"{", " + matchers if matchers else ""}}}'

    def of_process(self, aggregate: str, expr: str) -> str:
        """A health metric, which has no label `product`, by the product of the process that tells it."""
        return (
            f"{aggregate} by (product) (\n"
            f"  {expr}\n"
            f"  * on (job, instance) group_left (product)\n"
            f'  tidegauge_build_info{{product="{self.product}"}}\n'
            ")"
        )

    def fresh(self, expr: str) -> str:
        """`expr` while the data are fresh; otherwise nothing, now and whenever this time is looked back at."""
        return f"{expr}\nand on (product)\n  {self.recorded('fresh:age_seconds')}"

    def same_hour(self, function: str, name: str, weeks: int = 1) -> str:
        """A function over the hour around this time of day, `weeks` ago."""
        span = self.pace.span(self.alerts.span)
        offset = self.pace.span(weeks * self.alerts.same_hour - self.alerts.span / 2)
        return f"{function}({self.recorded(name)}[{span}] offset {offset})"

    def windows_in_hour(self, window_ms: int) -> float:
        """How many independent windows that hour is worth. Longer ones share most of what they count: one."""
        return max(1.0, self.alerts.span / window_ms)

    def last_day(self) -> str:
        """The range of the last day, or of a seventh of the time since the same hour, looked at 100 times."""
        day_ms = self.alerts.same_hour / 7
        return f"{self.pace.span(day_ms)}:{self.pace.span(day_ms / 100)}"

    def trailing(self, function: str, name: str, window_ms: int) -> str:
        """A function over the trailing time without its last window: one sample a window, so that none overlap."""
        window = self.pace.span(window_ms)
        return f"{function}({self.recorded(name)}[{self.pace.span(self.alerts.trailing)}:{window}] offset {window})"

    def alert(
        self,
        name: str,
        expr: str,
        *,
        comment: str,
        summary: str,
        description: str,
        severity: str,
        area: str = "product",
        dashboard: str = LIVE,
        for_: str | None = None,
        keeps: bool = True,
    ) -> Alert:
        """An alert with what all of them have."""
        return Alert(
            alert=name,
            expr=expr,
            comment=comment,
            for_=for_ or self.pace.span(self.alerts.lasting),
            keep_firing_for=self.pace.span(self.alerts.keep_firing) if keeps else None,
            severity=severity,
            area=area,
            summary=summary,
            description=description,
            dashboard=dashboard,
            runbook=f"{self.alerts.runbooks.rstrip('/')}/{name}.md",
        )
