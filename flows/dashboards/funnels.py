"""The row of one funnel: its steps, where people leave, and how the conversion goes."""

from __future__ import annotations

from collections.abc import Iterator

from flows.config.model import format_duration
from flows.dashboards.comparisons import by_breakdown
from flows.dashboards.page import Row
from flows.dashboards.panels import Query, Sized, bars, course
from flows.dashboards.queries import Numbers

STEP = "funnel.<name>.<nn_step>"
DROP_OFF = "funnel.<name>.drop_off_<nn>"
STATES = ("funnel.<name>.converted", "funnel.<name>.in_progress", "funnel.<name>.dropped")
LIVE = "funnel.<name>.conversion_live"
ERROR = "funnel.<name>.conversion_live_se"
MATURED = "funnel.<name>.conversion_matured"
MEAN = "funnel.<name>.convert_mean"
QUANTILE = "funnel.<name>.convert_<quantile>"


def funnel_row(numbers: Numbers, funnel: str) -> Row:
    """Everything of the funnel `funnel`."""
    return Row(f"Funnel: {funnel}", [*_steps(numbers, funnel), *_conversion(numbers, funnel)])


def _steps(numbers: Numbers, funnel: str) -> Iterator[Sized]:
    window = format_duration(numbers.config.funnels[funnel].window)
    yield bars(
        "Steps",
        f"Attempts entered in the chosen window, by the step they have reached. An attempt has {window} to convert.",
        "short",
        *(
            Query(numbers.ask(STEP, where={"funnel": funnel, "step": step}), _name(step))
            for step in numbers.values(STEP, "step", {"funnel": funnel})
        ),
    )
    if DROP_OFF in numbers:
        yield bars(
            "Drop-off",
            "Of the attempts at the step before, the share that has not reached this step (yet).",
            "percentunit",
            *(
                Query(numbers.ask(DROP_OFF, where={"funnel": funnel, "step": step}), _name(step))
                for step in numbers.values(DROP_OFF, "step", {"funnel": funnel})
            ),
            largest=1,
            bad_is_large=True,
        )
    yield course(
        "Attempts",
        "Attempts entered in the chosen window, by what has become of them.",
        "short",
        Query(numbers.ask(*STATES, by=("state",), where={"funnel": funnel}), "{{state}}"),
        stacked=True,
        width=8,
    )


def _conversion(numbers: Numbers, funnel: str) -> Iterator[Sized]:
    live = numbers.ask(LIVE, where={"funnel": funnel})
    error = numbers.ask(ERROR, where={"funnel": funnel})
    matured = [Query(numbers.ask(MATURED, where={"funnel": funnel}), "matured")] if MATURED in numbers else []
    yield course(
        "Conversion",
        "Live: Kaplan-Meier over attempts under way, with two standard errors to either side. "
        "Matured: of attempts whose time is up, a funnel window late.",
        "percentunit",
        Query(live, "live"),
        Query(f"{live} - 2 * {error}", "live, lower bound"),
        Query(f"{live} + 2 * {error}", "live, upper bound"),
        *matured,
        width=8,
    )
    yield from by_breakdown(numbers, LIVE, "Live conversion", width=8, where={"funnel": funnel})
    if QUANTILE in numbers:
        yield course(
            "Time to convert",
            "From entry to the last step, of attempts entered in the chosen window that have converted.",
            "s",
            Query(numbers.ask(QUANTILE, by=("q",), where={"funnel": funnel}), "quantile {{q}}"),
            Query(numbers.ask(MEAN, where={"funnel": funnel}), "mean"),
            width=8,
        )


def _name(step: str) -> str:
    """`02_product_added` as `2 product added`."""
    number, _, name = step.partition("_")
    return f"{int(number)} {name.replace('_', ' ')}"
