"""What the page consists of: it follows from the catalogue, so that a family that comes later is on it by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from flows.config.model import Config
from flows.metrics.catalogue import catalogue
from flows.metrics.cells import Cell, Derived, Metric
from flows.metrics.charts import Chart, ChartRow, Course, Line, Number
from flows.metrics.formulas import ratio
from flows.web.cards import NOW, Card, Kind, Layout, Row, Section
from flows.web.layout import layout
from tests.web.conftest import CONFIG, LISTED

PAGE = layout(CONFIG, LISTED)


def section(title: str, page: Layout = PAGE) -> Section:
    (found,) = [one for one in page.sections if one.title == title]
    return found


def cards(title: str, kind: Kind) -> list[Card]:
    return [card for card in section(title).cards if card.kind == kind]


def titles(rows: Sequence[Row]) -> list[str]:
    return [row.title for row in rows]


def test_a_number_has_a_cell_for_every_window_that_can_be_chosen_or_one_of_now() -> None:
    assert PAGE.windows == {"5m": 300, "1h": 3_600, "24h": 86_400}
    assert PAGE.window == "1h"
    for row in PAGE.rows:
        assert list(row.cells) in ([NOW], list(PAGE.windows)), row


def test_every_config_gets_what_it_measures() -> None:
    bare = layout(Config.model_validate({"windows": ["1m", "30d"], "ratio_windows": []}))
    assert list(bare.windows) == ["1m", "30d"]
    assert bare.currency is None
    assert not {"Subscriptions", "Funnel: checkout"} & {one.title for one in bare.sections}
    assert all(card.kind != "split" for one in bare.sections for card in one.cards)


def test_a_funnel_is_its_steps_with_the_live_conversion() -> None:
    (funnel,) = cards("Funnel: checkout", "steps")
    assert section("Funnel: checkout").cards[0] == funnel
    assert titles(funnel.rows) == ["product viewed", "product added", "checkout started", "order completed"]
    assert funnel.whole is not None
    assert funnel.whole.interval is not None
    assert funnel.whole.interval.cells == {NOW: "funnel.checkout.conversion_live_se"}


def test_a_breakdown_s_interval_is_its_own() -> None:
    (split,) = cards("Funnel: checkout", "split")
    (ios,) = [row for row in dict(split.groups)["platform"] if row.title == "ios"]
    assert ios.interval is not None
    assert ios.interval.cells == {NOW: "funnel.checkout.conversion_live_se{platform=ios}"}


def test_movements_add_up_to_the_stock() -> None:
    (moves,) = cards("Subscriptions", "movements")
    assert moves.whole is not None
    assert moves.whole.cells == {NOW: "mrr"}
    assert {row.title: row.sign for row in moves.rows} == {
        "new": 1, "expansion": 1, "reactivated": 1, "contraction": -1, "churned": -1,
    }  # fmt: skip


def test_durations_are_a_histogram_of_the_window() -> None:
    (durations,) = cards("Sessions", "histogram")
    assert titles(durations.rows)[:3] == ["0s", "up to 5s", "up to 10s"]
    assert titles(durations.rows)[-1] == "up to 4h"
    assert durations.rows[0].cells["1h"] == "sessions.duration_le_0.1h"
    assert durations.whole is not None
    assert durations.whole.cells["1h"] == "sessions.closed.1h"


def test_a_counter_s_rate_is_that_of_its_counts_in_the_window() -> None:
    (rates,) = cards("Traffic", "rates")
    assert rates.title == "Events"
    assert {row.title: row.cells["1h"] for row in rates.rows}["signed up"] == "events.signed_up.1h"


def test_no_card_is_empty_and_no_section_folded_up_whole() -> None:
    of_closed_days = ("days", "triangle")
    assert all(any(card.shown) or card.kind in of_closed_days for one in PAGE.sections for card in one.cards)
    of_pipeline = {row.title for row in LISTED.charts if row.page == "pipeline"}
    assert {one.title for one in PAGE.sections if one.cards[0].rest} <= of_pipeline


def test_the_metric_tree_is_a_card_for_each_node_and_only_where_the_config_has_one() -> None:
    nodes = {card.title: card for card in section("Metric tree").cards}
    assert list(nodes) == ["revenue", "weekly", "bounces", "checkout", "new"]
    assert {card.kind for card in nodes.values()} == {"node"}
    assert nodes["weekly"].description == "Level 1: drives revenue · active_users.7d · product"
    assert nodes["revenue"].description == "Focus · mrr · by 2027-12-31"
    assert [row.format for row in nodes["bounces"].rows] == ["share", "share", "share", "share", "track"]
    assert [row.cells[NOW] for row in nodes["bounces"].rows] == [
        f"tree.bounces.{number}" for number in ("value", "target", "attainment", "progress", "on_track")
    ]
    assert [row.cells[NOW] for row in nodes["checkout"].rows] == ["tree.checkout.value"]
    assert [row.format for row in nodes["weekly"].rows] == ["count", "count", "share"]
    without = layout(CONFIG.model_copy(update={"tree": {}}))
    assert "Metric tree" not in {one.title for one in without.sections}


def test_sections_fill_rows_of_three_columns() -> None:
    room = 3
    for place, one in enumerate(PAGE.sections):
        if one.columns > room:
            later = PAGE.sections[place:]
            assert all(each.columns > room for each in later), "a gap that a later section could fill"
            room = 3
        room -= one.columns
    assert {one.columns for one in PAGE.sections if one.title.startswith("Funnel")} == {3}


def test_what_is_always_of_one_window_says_so() -> None:
    titles = [tile.title for tile in PAGE.tiles]
    assert {"Return on day 1, 30d", "Cost of a customer, 30d", "Active users"} <= set(titles)
    named = [one.title for one in PAGE.sections]
    assert {"Who comes back, 30d", "Where users come from, 30d", "Spending, 30d", "Activity"} <= set(named)
    rows = [row.title for card in section("Activity").cards for row in card.rows]
    assert {"Active users, 24h", "Active users, 30d"} <= set(rows)


def test_numbers_that_belong_together_stand_below_their_heading_and_no_others() -> None:
    (table,) = cards("Who comes back, 30d", "table")
    assert not table.rows
    assert [(name, titles(rows)) for name, rows in table.groups][:2] == [
        ("Return on the day", ["day 1", "day 7", "day 30"]),
        ("Return on the day or later", ["day 1", "day 7", "day 30"]),
    ]
    for one in PAGE.sections:
        for card in one.cards:
            sizes = [len(rows) > 1 for _, rows in card.groups if card.kind == "table" and not card.rest]
            assert sizes == sorted(sizes), one.title


def test_few_bars_are_a_card_and_many_are_folded_up() -> None:
    (bars,) = cards("Active days", "bars")
    assert titles(bars.rows) == [str(days) for days in range(1, 8)]
    (rest,) = [card for card in section("Active days").cards if card.rest]
    assert {row.cells[NOW] for row in rest.rows} >= {f"engagement.days_{days}_of_30" for days in range(1, 31)}


PARCELS = Metric("parcels", "Parcels in the window.", "parcels", "Parcels", "parcels")
OPEN = Metric("parcels.open", "Parcels that were not delivered yet.", "parcels", "Parcels", "parcels_open")
RETURNED = Metric("parcel_return_rate", "Returned over all parcels.", "ratio", "Parcels", "parcel_return_ratio")


class Triangle:
    """A kind of chart that the page does not know."""


@pytest.mark.parametrize("charted", [True, False])
def test_a_family_that_comes_later_is_on_the_page_without_a_change_of_it(charted: bool) -> None:
    windows = {"5m": 300_000, "1h": 3_600_000, "24h": 86_400_000}
    cells = [Cell(f"parcels.{text}", PARCELS, {"window": text}, "parcels", width) for text, width in windows.items()]
    open_now = Cell("parcels.open", OPEN, {}, "parcels.open")
    returned = [
        Derived(f"parcel_return_rate.{text}", RETURNED, [f"parcels.{text}", f"parcels.{text}"], ratio, {"window": text})
        for text in windows
    ]
    charts: list[Chart] = [Course("Parcels", "Parcels.", [Line("parcels")]), Triangle()]  # type: ignore[list-item]
    later = replace(
        LISTED,
        cells=[*LISTED.cells, *cells, open_now],
        derived=[*LISTED.derived, *returned],
        headlines=[*LISTED.headlines, *([Number("parcels", "Parcels", "Parcels.")] if charted else [])],
        charts=[*LISTED.charts, *([ChartRow("Parcels", charts)] if charted else [])],
    )
    page = layout(CONFIG, later)
    assert {"parcels.1h", "parcels.open", "parcel_return_rate.24h"} <= set(page.cells)
    assert [tile.title for tile in page.tiles][-1:] == (["Parcels"] if charted else [PAGE.tiles[-1].title])
    first = section("Parcels", page).cards[0]
    assert first.kind == "table"
    assert (first.groups[0][1][0].cells["1h"], first.rest) == ("parcels.1h", False)


def test_of_one_catalogue_there_is_one_layout() -> None:
    assert layout(CONFIG, catalogue(CONFIG)) == PAGE
