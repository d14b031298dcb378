"""What the shapes have in common: the numbers of an alert, their past, and the condition under which it fires."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import indent
from typing import Final

from flows.alerting.promql import Alert, Recording
from flows.alerting.source import Source
from flows.metrics.alerts import Amount, Shape

AT_LEAST: Final = 7
"""The trailing time counts once a seventh of it has passed."""
WEEKS: Final = 2
"""Past weeks; the smallest number counts, so that a surge makes no drop of the same hour a week later."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of one alert: `tidegauge:<name>:...`, of one product."""

    shape: Shape
    source: Source
    labels: tuple[str, ...] = ()  # that they have besides `product`

    def of(self, number: str, matchers: str = "") -> str:
        """A selector of one of them."""
        return self.source.recorded(f"{self.shape.name}:{number}", matchers)

    def record(self, number: str, expr: str, comment: str) -> Recording:
        """One made of others."""
        return Recording(f"tidegauge:{self.shape.name}:{number}", expr, comment)

    def amount(self, amount: Amount) -> Recording:
        """A published one, while it is fresh."""
        expr = f"  {self.source.shown(amount.plus)}"
        if amount.minus is not None:
            expr += f"\n- {self.source.shown(amount.minus)}"
        record = f"tidegauge:{self.shape.name}:{amount.name}"
        return Recording(record, self.source.fresh(expr), amount.about, amount.labels)

    def same_hour(self, function: str, number: str, weeks: int = 1) -> str:
        """A function of one of them over the hour around this time of day, `weeks` ago."""
        return self.source.same_hour(function, f"{self.shape.name}:{number}", weeks)

    def last_week(self, number: str, comment: str) -> Recording:
        """Its mean over that hour, as `<number>_last_week`."""
        return self.record(f"{number}_last_week", self.same_hour("avg_over_time", number), comment)

    def least_of_weeks(self, number: str) -> str:
        """The smallest mean over that hour of the last weeks."""
        weeks = "\n  or ".join(
            f'label_replace({self.same_hour("avg_over_time", number, weeks)}, "weeks_ago", "{weeks}", "", "")'
            for weeks in range(1, WEEKS + 1)
        )
        return f"min by ({', '.join(('product', *self.labels))}) (\n  {weeks}\n)"

    def trailing(self, function: str, number: str, window_ms: int) -> str:
        """A function of one of them over the trailing time without its last window."""
        return self.source.trailing(function, f"{self.shape.name}:{number}", window_ms)

    def trailing_mean(self, number: str, window_ms: int) -> str:
        """Its mean over the trailing time, once enough of that has passed."""
        span = self.source.pace.span
        known = f"{self.of(number)}[{span(window_ms)}] offset {span(self.source.alerts.trailing / AT_LEAST)}"
        return f"{self.trailing('avg_over_time', number, window_ms)}\nand\npresent_over_time({known})"

    def dispersion(self, spread: str, mean: str, span: str) -> Recording:
        """The index of dispersion of a count, from its standard deviation and mean."""
        return self.record(
            "dispersion",
            f"({spread} ^ 2 / {mean} > 1)\nor\n{mean} * 0 + 1",
            f"How much more than a Poisson count it varied in that {span}: variance over mean, at least 1.",
        )

    def counts_apart(self, larger: str, smaller: str, past_share: float, change: str) -> Recording:
        """By how many standard errors two counts differ; the present window is such a share of the past one."""
        return self.record(
            "standard_errors",
            f"""
            2 * (sqrt({larger} + 3/8) - sqrt({smaller} + 3/8))
            / sqrt({self.of("dispersion")} * {1 + past_share:.3g})""",
            f"Anscombe's transform: how many standard errors the count has {change}.",
        )

    def condition(
        self, value: str, *, changed: str, usual: str, beyond: str, enough: str | None = None, matchers: str = ""
    ) -> str:
        """`value`, when it has changed by enough and not by chance; without a `usual` one, when it is beyond doubt."""
        errors = f"{self.of('standard_errors', matchers)} > {self.source.alerts.standard_errors:g}"
        judged = [
            value,
            "and (",
            f"    {changed}",
            "  and",
            f"    {errors}",
            "  or",
            "    (",
            indent(beyond, " " * 6),
            f"      unless {usual}",
            "    )",
            ")",
        ]
        return "\n".join([*judged, f"and {enough}"] if enough else judged)

    def alert(
        self,
        expr: str,
        comment: str,
        usual: str,
        form: str,
        *,
        when: str = "Same hour last week",
        sure: str = "standard errors",
    ) -> Alert:
        """The alert, with the `usual` number and how sure the change is at the end of its description."""
        names = ["product", *self.labels]
        then = told(f"{self.shape.name}:{usual}", names, form, "not known")
        errors = told(f"{self.shape.name}:standard_errors", names, "humanize", "not known how many")
        return self.source.alert(
            self.shape.alert,
            expr,
            comment=comment,
            summary=self.shape.summary,
            description=f"{self.shape.description} {when}: {then}; {errors} {sure}.",
            severity=self.shape.severity,
            dashboard=f"/d/tidegauge-{self.shape.dashboard}",
        )


def told(name: str, labels: Sequence[str], form: str, otherwise: str) -> str:
    """For a description: the value of a recorded number under the alert's labels, or `otherwise` when there is none."""
    matchers = ",".join(f"{label}='%s'" for label in labels)
    values = " ".join(f"$labels.{label}" for label in labels)
    query = f'query (printf "tidegauge:{name}{{{matchers}}}" {values})'
    return f"{{{{ with {query} }}}}{{{{ . | first | value | {form} }}}}{{{{ else }}}}{otherwise}{{{{ end }}}}"
