"""Where every metric stands in AARRR and HEART."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from flows.commands.metrics_page import EVERYTHING
from flows.metrics.catalogue import Catalogue, catalogue, families
from flows.metrics.cells import Cell, Metric
from flows.metrics.frameworks import FRAMEWORKS, Headings, headings_of
from flows.metrics.minutes import MinuteBook

LISTED = catalogue(EVERYTHING)


def without_headings(listed: Catalogue) -> list[str]:
    """What to do about each metric that says nothing."""
    return [
        f"{metric.name} says no heading of AARRR and HEART: add its name, or the beginning of it, to FRAMEWORKS of its"
        " family, with Headings(None, None, why=...) where it has none"
        for metric in listed.metrics()
        if metric.name not in listed.headings
    ]


def test_every_metric_says_its_headings_or_why_it_has_none() -> None:
    assert without_headings(LISTED) == []


def test_a_metric_that_says_none_is_named_with_what_to_do() -> None:
    news = Cell("news.5m", Metric("news", "News.", "news", "News"))
    (told,) = without_headings(Catalogue([*LISTED.cells, news], LISTED.derived, headings=LISTED.headings))
    assert told.startswith("news says no heading of AARRR and HEART: add its name")


def test_every_declaration_is_of_some_metric() -> None:
    for family in families(EVERYTHING, MinuteBook(EVERYTHING)).values():
        said = dict.fromkeys(family.FRAMEWORKS, 0)
        for metric in family.metrics():
            for beginning in said:
                said[beginning] += metric.name.startswith(beginning)
        assert [beginning for beginning, metrics in said.items() if not metrics] == [], type(family).__name__


def test_every_heading_is_one_of_its_framework() -> None:
    for headings in LISTED.headings.values():
        for framework, names in FRAMEWORKS.items():
            assert headings.under(framework) in (*names, None)


def test_the_longest_beginning_holds() -> None:
    came, stayed = Headings("acquisition", "adoption"), Headings("retention", "retention")
    said: Mapping[str, Headings] = {"users": stayed, "users.new": came}
    assert headings_of("users.new", said) is came
    assert headings_of("users.alive", said) is stayed
    assert headings_of("sessions.open", said) is None


def test_no_heading_without_a_reason() -> None:
    with pytest.raises(ValueError, match="says why"):
        Headings("revenue", None)
