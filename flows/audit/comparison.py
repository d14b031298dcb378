"""Compares every number of a publish with the truth at its cut: nothing is left out."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from flows.audit.cut import DEPENDENT, Truth
from flows.audit.days import DAYS_KEPT
from flows.audit.published import SINCE, Published, Top
from flows.audit.recompute import Result
from flows.config.model import Config
from flows.messages.snapshot import ACCOUNTS

Number = int | float | None
Verdict = Literal["equal", "differs", "undecided"]

RELATIVE = 1e-12
"""Of ratios, which are the nearest float here, and a few float operations there; every count is compared exactly."""

OF_THE_PUBLISH = ("_published_at", "_run", "_from_offset", "_to_offset", "_as_of", "_partial")
"""Reserved fields that say which publish and which cut it is, and since when it counts (as `_since.<part>`); all others
follow from the records, and are compared."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One cell on both sides; None: absent."""

    cell: str
    published: str | None
    truths: tuple[Number, ...]  # one; two where records were read in one way or the other
    decided: bool = True  # False: it can depend on when records were read, and then neither has to hold

    @property
    def verdict(self) -> Verdict:
        """`undecided`: it may be right, but the records do not tell."""
        if any(fits(self.published, truth) for truth in self.truths):
            return "equal"
        return "differs" if self.decided else "undecided"

    @property
    def equal(self) -> bool:
        """Whether the published number is right."""
        return self.verdict == "equal"

    @property
    def truth(self) -> Number:
        """The number that is right; of two, that of records that were caught up with."""
        return self.truths[0]

    @property
    def difference(self) -> float | None:
        """Published less true; None where one of them is no number."""
        try:
            return None if self.published is None or self.truth is None else float(self.published) - self.truth
        except ValueError:
            return None


def fits(published: str | None, truth: Number) -> bool:
    """Whether a published text is the number: a count to the last digit, a ratio but for float operations."""
    if published is None or truth is None:
        return published is None and truth is None
    if isinstance(truth, int):
        return published == str(truth)
    try:
        return math.isclose(float(published), truth, rel_tol=RELATIVE, abs_tol=RELATIVE)
    except ValueError:
        return False


def compare(published: Published, truth: Truth, config: Config) -> list[Compared]:
    """Every number that either side has, by name."""
    fields = {name: text for name, text in published.fields.items() if name.partition("{")[0] not in OF_THE_PUBLISH}
    fields = {name: text for name, text in fields.items() if not name.startswith(SINCE)}
    since_ms = minutes_since(published, config)
    for start, counts in published.minutes.items():
        if start >= since_ms:
            fields |= {minute_cell(start, name): text for name, text in counts.items()}
    oldest = days_from(published, config)
    for day, counts in published.days.items():
        if day >= oldest:
            fields |= {day_cell(day, name): text for name, text in counts.items()}
    fields |= {name: str(count) for name, count in counts_of(published.top)}
    expected = [dict(numbers_of(result, published, config)) for result in truth.results]
    names = sorted(fields.keys() | set().union(*expected))
    changed = published.changed
    open_by = {period_cell(*cell): most for result in truth.results for cell, most in result.touched.items()}
    return [
        Compared(
            name,
            fields.get(name),
            tuple(one.get(name) for one in expected),
            is_decided(name, changed, truth) and not may_be(fields.get(name), expected[0].get(name), open_by.get(name)),
        )
        for name in names
    ]


def may_be(published: str | None, truth: Number, most: int | None) -> bool:
    """Whether a number that depends on when late events were read, by so much at most, can be what was published."""
    if most is None:
        return False
    return published is not None and published.isdigit() and abs(int(published) - (truth or 0)) <= most


def is_decided(name: str, changed: bool, truth: Truth) -> bool:
    """Whether the records tell this number: always where T has decided nothing, else what does not depend on it.

    Where the config has `changed` since the beginning they do not tell what was counted under the config before.
    """
    if changed and not name.startswith(("_", "accounting.")):
        return False
    if not truth.undecided or name in ("_consumed", "_watermark"):
        return True
    account = re.fullmatch(r"accounting\.([a-z_.]+)(?:\{partition=(\d+)\})?", name)
    if account is None:
        return False
    return account[1] not in DEPENDENT or (account[2] is not None and int(account[2]) not in truth.undecided)


def minutes_since(published: Published, config: Config) -> int:
    """The start of the oldest minute that has to be there still."""
    return max(published.minutes_from_ms, (published.as_of_ms or 0) - config.minute_history)


def numbers_of(result: Result, published: Published, config: Config) -> Iterator[tuple[str, int | float]]:
    """All that a publish has to say when the result is right."""
    if result.as_of_ms is not None:
        yield from result.cells.items()
        yield from counts_of(result.top)
        yield "_watermark", result.as_of_ms - config.lateness
    totals: Counter[str] = Counter(dict.fromkeys(ACCOUNTS, 0))
    nothing = dict.fromkeys(ACCOUNTS, 0)
    for partition in sorted(published.partitions | result.accounting.keys()):
        account = result.accounting.get(partition, nothing)
        totals.update(account)
        for name, records in account.items():
            yield f"accounting.{name}{{partition={partition}}}", records
    if published.partitions or result.accounting:
        yield from ((f"accounting.{name}", records) for name, records in totals.items())
    yield "_consumed", totals["consumed"]
    yield from _minutes(result, published, minutes_since(published, config))
    yield from _days(result, published, days_from(published, config))


def _minutes(result: Result, published: Published, since_ms: int) -> Iterator[tuple[str, int]]:
    """A minute in which nothing happened is left out by the result, and all zeros where a publish has it."""
    for start in result.minutes.keys() | published.minutes.keys():
        quiet: Mapping[str, int] = dict.fromkeys(published.minutes.get(start, ()), 0)
        if start >= since_ms:
            for name, number in result.minutes.get(start, quiet).items():
                yield minute_cell(start, name), number


def _days(result: Result, published: Published, oldest: str) -> Iterator[tuple[str, int]]:
    """As of minutes; a day's hash may have been read when more of it was final than at the publish."""
    for day in result.days.keys() | published.days.keys():
        there = published.days.get(day, {})
        quiet: Mapping[str, int] = dict.fromkeys((name for name in there if not waits(name)), 0)
        numbers = result.days.get(day, quiet)
        if day >= oldest:
            for name, number in numbers.items():
                yield day_cell(day, name), number
            for name in there.keys() - numbers.keys():
                if waits(name) and there[name].isdigit():
                    yield day_cell(day, name), int(there[name])


def waits(field: str) -> bool:
    """Whether a day has the field only once a later day is over."""
    return field.startswith("retention.")


def days_from(published: Published, config: Config) -> str:
    """The oldest date that has to be there still, but for one that may go at any moment."""
    today = datetime.fromtimestamp((published.as_of_ms or 0) // 1000, ZoneInfo(config.time_zone)).date()
    return (today - timedelta(DAYS_KEPT - 2)).isoformat()


def period_cell(period: int | date, name: str) -> str:
    """How a number of a closed minute or day is called here."""
    return day_cell(period.isoformat(), name) if isinstance(period, date) else minute_cell(period, name)


def day_cell(day: str, name: str) -> str:
    """How a number of a closed day is called here: its key in Redis and its field."""
    return f"day:{day} {name}"


def counts_of(top: Top) -> Iterator[tuple[str, int]]:
    """The counts of top lists, each called by its key in Redis and its value."""
    for name, windows in top.items():
        for window, counts in windows.items():
            yield from ((f"top:{name}:{window} {value}", count) for value, count in counts.items())


def minute_cell(start_ms: int, name: str) -> str:
    """How a number of a closed minute is called here: its key in Redis and its field."""
    return f"minute:{datetime.fromtimestamp(start_ms // 1000, UTC):%Y-%m-%dT%H:%M}Z {name}"


def verdict(compared: Sequence[Compared]) -> str:
    """One sentence."""
    found = Counter(row.verdict for row in compared)
    undecided = f"; {found['undecided']:,} depend on when records were read" if found["undecided"] else ""
    if found["differs"]:
        return f"{found['differs']:,} of {len(compared):,} published numbers differ from the truth{undecided}"
    equal = f"{found['equal']:,} of {len(compared):,}" if undecided else f"all {found['equal']:,}"
    return f"{equal} published numbers equal the truth{undecided}"
