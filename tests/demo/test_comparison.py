"""Every difference between what is published and what is true must be seen, and nothing else."""

from __future__ import annotations

import pytest

from flows.demo.comparison import Compared, compare, report, verdict


def differing(fields: dict[str, str], truth: dict[str, int | float]) -> list[str]:
    return [row.cell for row in compare(fields, truth) if not row.equal]


def test_equal_numbers_are_equal() -> None:
    fields = {"sessions.open": "12", "bounce_rate.1h": "0.3333333333333333", "_as_of": "5"}
    truth = {"sessions.open": 12, "bounce_rate.1h": 1 / 3}
    assert differing(fields, truth) == []
    assert verdict(compare(fields, truth)) == "all 2 published numbers equal the truth"


@pytest.mark.parametrize(
    ("cell", "published", "truth"),
    [
        ("sessions.open", "13", 12),
        ("sessions.open", "12.0", 12),
        ("sessions.open", None, 12),
        ("sessions.open", None, 0),  # counts are published as 0
        ("sessions.open", "1", None),
        ("bounce_rate.1h", "0.34", 1 / 3),
        ("bounce_rate.1h", "0", None),  # must be absent
        ("funnel.checkout.conversion_live", "0", None),
        ("funnel.checkout.drop_off_02.1h{platform=ios}", None, 0.5),
        ("bounce_rate.1h", "nan", 0.5),
        ("bounce_rate.1h", "soon", 0.5),
        ("events.1m", "3", None),
    ],
)
def test_a_difference_is_seen(cell: str, published: str | None, truth: float | None) -> None:
    fields = {} if published is None else {cell: published}
    numbers = {} if truth is None else {cell: truth}
    assert differing(fields, numbers) == [cell]


def test_a_count_that_the_truth_does_not_mention_is_zero() -> None:
    fields = {"funnel.checkout.02_product_added.1h{platform=tv}": "0", "funnel.checkout.convert_ms.1h": "0"}
    assert differing(fields, {}) == []


def test_what_the_truth_does_not_cover_is_not_compared() -> None:
    assert compare({"feedback": "5", "_watermark": "7", "users.evicted": "0"}, {}) == []


def test_the_report_shows_every_difference_beside_the_best_known_numbers() -> None:
    rows = [
        Compared("sessions.open", "12", 12),
        Compared("sessions.events.7d", "12", 12),
        Compared("sessions.duration_le_5.7d", "1", 2),
    ]
    assert list(report(rows).columns[0].cells) == ["sessions.open", "sessions.duration_le_5.7d"]
    assert verdict(rows) == "1 of 3 published numbers differ from the truth"
