"""What a reader sees of a live hash, as a page and as a line."""

from __future__ import annotations

import pytest

from flows.config.model import Config
from flows.terminal.figures import bar, shown, spark
from flows.terminal.reading import Reading, line
from flows.terminal.view import MOST_ROWS, View
from flows.web.cards import NOW
from flows.web.layout import layout
from tests.web.conftest import CONFIG, LISTED, cells_of

NOW_MS = 1_790_000_000_000
FIELDS = {
    "_as_of": str(NOW_MS - 400),
    "_published_at": str(NOW_MS - 100),
    "active_users.30d": "9000",
    "active_users.5m": "1234",
    "active_users.24h": "8000",
    "active_users.30d{platform=web}": "5000",
    "active_users.30d{platform=unknown}": "1",
    "active_users.30d{platform=ios}": "4000",
    "active_users.5m{platform=ios}": "77",
    "active_users.day": "6543",
    "events.1m": "18060",
    "sessions.open": "812",
    "sessions.closed.1h": "400",
    "bounce_rate.1h": "0.38125",
    "bounce_rate_provisional": "0.36",
    "sessions.settling": "50",
    "session_duration_p50.1h": "61500",
    "funnel.checkout.01_product_viewed.1h": "200",
    "funnel.checkout.02_order_completed.1h": "50",
    "funnel.checkout.converted.1h": "50",
    "funnel.checkout.in_progress.1h": "30",
    "funnel.checkout.drop_off_02.1h": "0.75",
    "funnel.checkout.conversion_live": "0.29",
    "funnel.checkout.conversion_live_se": "0.01",
    "users.alive": "9100",
    "users.new.24h": "42",
    "accounting.consumed": "100",
    "accounting.accepted": "90",
    "accounting.duplicate": "4",
    "accounting.excluded": "3",
    "accounting.rejected.empty": "2",
    "accounting.rejected.not_json": "1",
    "accounting.consumed{partition=0}": "100",
}


LAYOUT = layout(CONFIG, LISTED)
SHOP = Reading("shop", FIELDS | {name: repr(value) for name, value in cells_of().items()}, NOW_MS)


def drawn(reading: Reading, *sections: str, width: int = 120, height: int = 40) -> str:
    """The page on a terminal of that size."""
    return View(LAYOUT, sections).page(reading, width, height).plain


def reading(**changed: str) -> Reading:
    return Reading("shop", FIELDS | changed, NOW_MS)


def test_the_page_has_the_tiles_and_sections_of_the_catalogue_with_their_numbers() -> None:
    text = drawn(SHOP, height=400)
    for row in LAYOUT.tiles:
        assert shown(row.format, float(SHOP.fields[row.cells.get(NOW) or row.cells["1h"]])) in text, row.title
    for section in LAYOUT.sections:
        for card in section.cards:
            if not card.rest and card.kind not in ("node", "days", "triangle"):
                assert section.title in text
                by_size = card.kind in ("ranking", "rates") and len(card.rows) > MOST_ROWS
                for row in () if by_size else card.rows[:MOST_ROWS]:
                    assert row.title[:14] in text, row.title


def test_a_node_of_the_tree_says_its_target_and_whether_it_is_on_track() -> None:
    text = drawn(SHOP, "metric tree", height=60)
    on_track = SHOP.fields["tree.bounces.on_track"] == "1"
    assert "bounces" in text
    assert "target 40.0%" in text
    assert ("on track" if on_track else "behind") in text
    assert "Level 2: drives weekly · users.new.24h · marketing" in text


@pytest.mark.parametrize("width", [30, 44, 60, 80, 100, 200])
def test_the_page_fits_the_terminal_whatever_its_size(width: int) -> None:
    for height in (12, 24, 40, 90):
        rows = drawn(SHOP, width=width, height=height).splitlines()
        assert max(map(len, rows)) <= width
        assert len(rows) <= max(height, 3 * len(LAYOUT.tiles))


def test_sections_that_do_not_fit_are_named_and_can_be_asked_for() -> None:
    text = drawn(SHOP, width=100, height=40)
    assert "more with --section: " in text
    assert "Metric tree ──" not in text
    asked = drawn(SHOP, "metric", "funnel: check", width=100, height=60)
    assert "Metric tree ──" in asked
    assert "Funnel: checkout ──" in asked
    assert "Sessions ──" not in asked


def test_a_tile_draws_what_it_has_shown() -> None:
    view = View(LAYOUT)
    for number, value in enumerate((10, 30, 20)):
        fields = {**SHOP.fields, "active_users.1h": str(value), "_published_at": str(NOW_MS + number)}
        text = view.page(Reading("shop", fields, NOW_MS), 100, 40).plain
    assert "20 ▁█▅" in text


def test_lines_and_bars() -> None:
    assert spark([1, 2, 3], 8) == "▁▅█"
    assert spark([5, 5], 8) == "▁▁"
    assert spark([], 8) == ""
    assert spark([0, 0, 7, 0], 2) == "█▁"
    assert bar(0.5, 4) == "██░░"
    assert (bar(-1, 2), bar(7, 2)) == ("░░", "██")
    assert shown("money", 123_456_789) == "1,234,568"
    assert shown("money", 99_999) == "999.99"
    assert shown("money", 5, minor_digits=0) == "5"
    assert shown("count", None) == "-"


def test_windows_stand_in_the_order_of_their_length() -> None:
    assert reading().windows("active_users") == ["5m", "24h", "30d"]


def test_the_line_tells_the_same_in_short() -> None:
    assert line(reading()) == (
        "as of 2026-09-21 14:13:19 UTC (now) | 301 events/s | active users 5m 1,234 | open sessions 812"
        " | bounce 1h 38.1% | provisional 36.0% | checkout 1h 200 > 50 (converts 29.0%) | alive 9,100"
        " | all accounted for"
    )


def test_an_absent_number_is_a_dash_and_never_a_zero() -> None:
    assert "checkout 1h 200 > 50 (converts -)" in line(
        Reading("shop", {k: v for k, v in FIELDS.items() if k != "funnel.checkout.conversion_live"}, NOW_MS)
    )


def test_stale_numbers_say_so_before_anything_else() -> None:
    old = reading(_published_at=str(NOW_MS - 42_000))
    assert old.state == "stale"
    assert line(old) == "STALE: last published 42.0 s ago"
    assert "STALE: last published 42.0 s ago" in drawn(old).splitlines()[0]


def test_numbers_that_do_not_say_when_they_were_published_are_stale() -> None:
    unknown = Reading("shop", {"sessions.open": "3"}, NOW_MS)
    assert unknown.state == "stale"
    assert line(unknown) == "STALE: last published at an unknown time"


def test_nothing_published_is_said_in_so_many_words() -> None:
    nothing = Reading("shop", {}, NOW_MS)
    assert nothing.state == "absent"
    assert line(nothing) == "NO DATA: nothing is published for product shop"
    assert "NO DATA" in drawn(nothing)


def test_a_stream_that_is_behind_says_how_far() -> None:
    assert "(5 min ago)" in line(reading(_as_of=str(NOW_MS - 300_000)))


def test_records_that_are_not_accounted_for_are_counted() -> None:
    assert line(reading(**{"accounting.accepted": "88"})).endswith("2 RECORDS UNACCOUNTED FOR")


def test_a_product_without_any_event_yet_is_drawn() -> None:
    bare = Reading("shop", {"_published_at": str(NOW_MS)}, NOW_MS)
    assert "no event yet" in drawn(bare)
    assert "no event yet" in line(bare)


def test_values_of_a_top_list_are_bars_and_no_escapes() -> None:
    config = Config.model_validate({"product": "shop", "top": {"pages": {"field": "context.page.path"}}})
    view = View(layout(config), ["Top lists"], "5m")
    top = {"pages": {"5m": {"/a": 9, "/\x1b[2J\u202e": 3, "[red]/c": 1}, "1h": {"/hour": 1}}}
    lines = view.page(Reading("shop", {"_published_at": str(NOW_MS)}, NOW_MS, top=top), 80, 40).plain.splitlines()
    found = [line.split()[0] for line in lines if line.split() and line.split()[-1] in ("9", "3", "1")]
    assert found == ["/a", "/\\x1b[2J\\u202e", "[red]/c"]
