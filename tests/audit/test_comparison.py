"""Every difference between what is published and what is true is seen, and nothing else."""

from __future__ import annotations

import pytest

from flows.audit.comparison import Compared, verdict


@pytest.mark.parametrize(
    ("published", "truth"), [("12", 12), ("-3", -3), ("0.3333333333333333", 1 / 3), ("1", 1.0), (None, None)]
)
def test_equal_numbers_are_equal(published: str | None, truth: float | None) -> None:
    assert Compared("cell", published, (truth,)).verdict == "equal"


@pytest.mark.parametrize(
    ("published", "truth"),
    [
        ("13", 12),
        ("12.0", 12),
        ("12", None),
        ("0", None),  # no cell has to be there
        (None, 12),
        (None, 0),  # a count of nothing is published as 0
        (None, 0.5),
        ("0.34", 1 / 3),
        ("0.33333333333", 1 / 3),
        ("nan", 0.5),
        ("soon", 0.5),
        ("", 0),
    ],
)
def test_a_difference_is_seen(published: str | None, truth: float | None) -> None:
    assert Compared("cell", published, (truth,)).verdict == "differs"


def test_a_number_that_depends_on_when_records_were_read_is_right_when_either_way_gives_it_and_else_undecided() -> None:
    either = {text: Compared("cell", text, (3, 5), decided=False).verdict for text in ("3", "4", "5")}
    assert either == {"3": "equal", "4": "undecided", "5": "equal"}


def test_the_difference_is_published_less_true() -> None:
    assert Compared("cell", "12", (15,)).difference == -3
    assert Compared("cell", None, (15,)).difference is None
    assert Compared("cell", "soon", (15,)).difference is None


def test_the_verdict_counts_what_is_equal_and_what_is_not() -> None:
    rows = [Compared("a", "1", (1,)), Compared("b", "1", (1,))]
    assert verdict(rows) == "all 2 published numbers equal the truth"
    rows.append(Compared("c", "1", (2,)))
    assert verdict(rows) == "1 of 3 published numbers differ from the truth"
    rows.append(Compared("d", "1", (2, 3), decided=False))
    assert verdict(rows) == "1 of 4 published numbers differ from the truth; 1 depend on when records were read"
    assert verdict([rows[0], rows[3]]) == "1 of 2 published numbers equal the truth; 1 depend on when records were read"
