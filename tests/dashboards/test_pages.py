"""What is on the dashboards: every number, also one that is added later, and what each page is for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import flows.metrics.catalogue
from deploy.grafana.panels import filled, panels_of, variables
from flows.app import main
from flows.commands.dashboards import dashboards
from flows.config.file import load
from flows.config.limits import Limits
from flows.config.model import Config
from flows.dashboards.queries import Numbers
from flows.metrics.catalogue import Catalogue, catalogue, families
from flows.metrics.cells import Cell, Derived, Metric
from flows.metrics.charts import Course
from flows.metrics.frameworks import FRAMEWORKS
from flows.metrics.minutes import MinuteBook
from flows.process.health import Health
from flows.publish.prometheus.health import health_families
from flows.publish.prometheus.samples import PREFIX
from tests.services import ROOT
from tests.test_docs import block_named, load_from

SHOP_FILE = ROOT / "deploy" / "examples" / "shop.yaml"
SHOP = load(SHOP_FILE, environment={}).config
SAAS = load(ROOT / "deploy" / "examples" / "saas.yaml", environment={}).config
PLAIN = SHOP.model_copy(update={"tree": {}})
STORED = ROOT / "deploy" / "grafana" / "dashboards"

Json = dict[str, Any]


def made(config: Config) -> dict[str, Json]:
    return {uid: json.loads(text) for uid, text in dashboards(config).items()}


def rows_of(dashboard: Json) -> dict[str, list[Json]]:
    """The panels of each row."""
    found: dict[str, list[Json]] = {}
    for panel in dashboard["panels"]:
        if panel["type"] == "row":
            row = found.setdefault(panel["title"], [])
            row.extend(panel["panels"])
        elif panel["type"] != "text":
            row.append(panel)
    return found


def selected(dashboard: Json) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """Each series that a panel asks for: the family and its matchers, for every choice of window and breakdown."""
    choices = {variable["name"]: variable["query"].split(",") for variable in dashboard["templating"]["list"][2:-2]}
    for window in choices["window"]:
        for breakdown in choices.get("breakdown", [""]):
            values = variables(dashboard, {"window": window, "breakdown": breakdown})
            for panel in panels_of(dashboard):
                for target in panel["targets"]:
                    for family, matchers in re.findall(r"\b(tidegauge_\w+)\{([^}]*)\}", filled(target["expr"], values)):
                        yield family, re.findall(r'(\w+)(!?=~?)"([^"]*)"', matchers)


def cells_of(config: Config) -> list[Cell | Derived]:
    listed = catalogue(config)
    return [*listed.cells, *listed.derived]


def fits(labels: dict[str, str], matchers: list[tuple[str, str, str]]) -> bool:
    """Whether a series with `labels`, of some job and instance, is selected by `matchers`."""
    there = {"job": "any", "instance": "any"} | labels
    tests: dict[str, Callable[[str, str], bool]] = {
        "=": lambda a, b: a == b,
        "!=": lambda a, b: a != b,
        "=~": lambda a, b: re.fullmatch(b, a) is not None,
    }
    return all(tests[sign](there.get(label, ""), value) for label, sign, value in matchers)


# ------------------------------------------------------------------------------------------------ what is stored


def test_the_stored_dashboards_are_those_of_the_catalogue() -> None:
    stored = {file.stem: file.read_text("utf-8") for file in STORED.glob("*.json")}
    assert stored == dashboards(SHOP), "deploy/grafana/dashboards is stale: make docs"


def test_alerts_find_the_dashboards_under_these_names() -> None:
    assert list(dashboards(SHOP)) == [
        "tidegauge-live", "tidegauge-tree", "tidegauge-aarrr", "tidegauge-heart", "tidegauge-pipeline",
    ]  # fmt: skip


def test_the_command_writes_them_and_says_which_are_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "made" / "here"
    write = ["dashboards", "--config", str(SHOP_FILE), "--out", str(out)]
    assert main(write) == 0
    assert {file.name: file.read_text() for file in out.iterdir()} == {
        file.name: file.read_text() for file in STORED.iterdir()
    }
    assert main([*write, "--check"]) == 0
    (out / "tidegauge-tree.json").write_text("{}")
    (out / "tidegauge-live.json").unlink()
    capsys.readouterr()
    assert main([*write, "--check"]) == 1
    told = capsys.readouterr().out
    assert "tidegauge-live.json" in told
    assert "tidegauge-tree.json" in told
    assert "tidegauge-pipeline.json" not in told
    assert (out / "tidegauge-tree.json").read_text() == "{}"


def test_without_a_folder_the_command_prints_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboards", "--config", str(SHOP_FILE)]) == 0
    assert json.loads(capsys.readouterr().out) == made(SHOP)


def test_without_grafanas_types_the_command_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['grafana_foundation_sdk'] = None\n"
        "from flows.app import main; sys.exit(main(['dashboards']))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'tidegauge[dashboards]'" in done.stderr


def test_check_without_a_folder_is_a_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboards", "--check"]) == 2
    assert "--check goes with --out" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ what is shown


def test_every_number_of_the_catalogue_is_on_a_page() -> None:
    pages = ("tidegauge-live", "tidegauge-tree", "tidegauge-pipeline")
    asked = [one for page in pages for one in selected(made(SHOP)[page])]
    shown: dict[str, bool] = {}
    for cell in cells_of(SHOP):
        if cell.metric is not None and cell.metric.prometheus is not None and not shown.get(cell.metric.name):
            family, labels = PREFIX + cell.metric.prometheus, {"product": "shop", **cell.labels}
            shown[cell.metric.name] = any(
                name == family and fits(labels, matchers) for name, matchers in asked
            )  # fmt: skip
    assert len(shown) > 50
    assert [name for name, there in shown.items() if not there] == []


def test_every_query_asks_for_series_that_are_served() -> None:
    served: dict[str, list[dict[str, str]]] = {}
    for cell in cells_of(SHOP):
        if cell.metric is not None and cell.metric.prometheus is not None:
            family = PREFIX + cell.metric.prometheus
            served.setdefault(family, []).append({"product": "shop", **cell.labels})
    for dashboard in made(SHOP).values():
        for family, matchers in selected(dashboard):
            split = [label for label, sign, value in matchers if (sign, value) == ("!=", "")]
            if family in served and all(any(one in labels for labels in served[family]) for one in split):
                assert any(fits(labels, matchers) for labels in served[family]), f"{family} {matchers}"


def test_the_breakdown_that_most_is_broken_down_by_is_chosen_first() -> None:
    (offered,) = [one for one in made(SHOP)["tidegauge-live"]["templating"]["list"] if one["name"] == "breakdown"]
    assert offered["query"].split(",")[0] == "platform"  # only what is by the chosen one has panels by it
    assert offered["current"]["value"] == "platform"
    assert [option["value"] for option in offered["options"] if option["selected"]] == ["platform"]


def test_everything_that_tells_of_the_process_is_on_the_page_of_its_health() -> None:
    asked = " ".join(family for family, _ in selected(made(SHOP)["tidegauge-pipeline"]))
    served = {family.name for family in health_families(None, None, Health(redis_configured=True).read(), "shop")}
    assert {family for family in served if family not in asked} == set()


def test_the_metric_that_the_page_adds_gets_its_panels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "tidegauge_screens" not in json.dumps(made(SHOP))
    family: Any = load_from(block_named("flows/metrics/screens.py"), tmp_path).Screens

    def with_screens(config: Config, book: MinuteBook, limits: Limits | None = None) -> dict[str, object]:
        return {**families(config, book, limits), "screens": family(config)}

    monkeypatch.setattr(flows.metrics.catalogue, "families", with_screens)
    traffic = rows_of(made(SHOP)["tidegauge-live"])["Traffic: more"]
    panels = {panel["title"]: panel for panel in traffic}
    (target,) = panels["Screens, $window"]["targets"]
    assert target["expr"] == (
        'max(tidegauge_screens{job=~"$job", instance=~"$instance", product="$product", window="$window"})'
    )
    assert panels["Screens, $window"]["description"] == "Screens seen in the window."
    assert "Screens per user, $window" in panels


def test_a_metric_of_a_new_kind_gets_a_row_of_its_own() -> None:
    parcels = Metric("parcels.open", "Parcels that nobody has sent.", "parcels", "Warehouse", "parcels_open")
    listed = catalogue(SHOP)
    cells = [Cell(f"parcels.open.{grade}", parcels, {"grade": grade}) for grade in ("low", "high")]
    from flows.dashboards.live import live
    from flows.dashboards.page import written

    numbers = Numbers(SHOP, Catalogue([*listed.cells, *cells], listed.derived))
    (panel,) = rows_of(json.loads(written(live(numbers), numbers)))["Warehouse"]
    assert panel["title"] == "Parcels open"
    assert [target["legendFormat"] for target in panel["targets"]] == ["low", "high"]
    assert all(target["expr"].startswith("max(tidegauge_parcels_open{") for target in panel["targets"])


# ------------------------------------------------------------------------------------------------ what pages are for


def test_the_live_page_has_what_a_product_team_looks_for() -> None:
    rows = rows_of(made(SHOP)["tidegauge-live"])
    assert list(rows) == [
        "How old these numbers are", "Now", "Traffic", "Activity", "Active days", "Sessions",
        "Sessions: more", "Visitors", "Goals", "Goals: more", "Features", "Features: more", "Funnel: checkout",
        "Funnel: purchase", "Funnels: more", "Milestone: first order", "Milestones: more", "Who comes back",
        "Lifecycle", "Lifecycle: more", "Where users come from", "Subscriptions", "Subscriptions: more", "Orders",
        "Orders: more", "Spending", "What customers are worth", "Economics: more", "Support", "How tickets end",
        "Support: more", "Top lists: more",
    ]  # fmt: skip
    kinds = {panel["title"]: panel["type"] for panels in rows.values() for panel in panels}
    assert kinds["Session durations"] == "heatmap"
    assert {kinds["Steps, $window"], kinds["Lost between steps, $window"]} == {"bargauge"}
    assert {panel["type"] for panel in rows["Now"]} == {"stat"}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_framework_has_the_charts_of_the_live_page_by_its_headings(framework: str) -> None:
    pages = made(SHOP)
    found, live = rows_of(pages[f"tidegauge-{framework.lower()}"]), rows_of(pages["tidegauge-live"])
    drawn = {panel["title"] for panels in live.values() for panel in panels}
    assert {panel["title"] for panels in found.values() for panel in panels} <= drawn
    headings = list(dict.fromkeys(title.partition(",")[0].lower() for title in list(found)[1:]))
    assert headings == [heading for heading in FRAMEWORKS[framework] if heading in headings]
    (about,) = (panel for panel in pages[f"tidegauge-{framework.lower()}"]["panels"] if panel["type"] == "text")
    for missing in set(FRAMEWORKS[framework]) - set(headings):
        assert missing in about["options"]["content"]


def test_a_chart_stands_under_the_heading_of_its_metric() -> None:
    aarrr, heart = rows_of(made(SHOP)["tidegauge-aarrr"]), rows_of(made(SHOP)["tidegauge-heart"])
    for rows, row, title in (
        (aarrr, "Acquisition, lifecycle", "New users, $window"),
        (aarrr, "Retention, activity", "Active users, $window"),
        (aarrr, "Revenue", "MRR"),
        (heart, "Engagement, sessions", "Bounce, $window"),
        (heart, "Task success, funnel: checkout", "Steps, $window"),
    ):
        assert title in {panel["title"] for panel in rows[row]}


def test_numbers_of_now_are_compared_with_last_week_shares_in_points_and_counts_where_they_are_many() -> None:
    for panel in rows_of(made(SHOP)["tidegauge-live"])["Now"]:
        now, change = (target["expr"].removesuffix(" or vector(NaN)") for target in panel["targets"])
        unit, before = panel["fieldConfig"]["defaults"]["unit"], f"{now[:-1]} offset 1w)"
        share, least = unit == "percentunit", ">= 100" if unit == "locale" else "!= 0"
        assert change == (f"100 * ({now} - {before})" if share else f"{now} / ({before} {least}) - 1")
        (override,) = panel["fieldConfig"]["overrides"]
        assert override["matcher"] == {"id": "byFrameRefID", "options": "B"}
        told = {one["id"]: one["value"] for one in override["properties"]}
        assert told["unit"] == ("suffix: points" if share else "percentunit")


@pytest.mark.parametrize(
    ("title", "fallen", "risen"),
    [
        ("Active users, $window", "red", "green"),
        ("Bounce, provisional, 15m", "green", "red"),
        ("Customers lost, $window", "green", "red"),
        ("Converts now: checkout", "red", "green"),
    ],
)
def test_a_change_is_green_where_it_is_good_and_neutral_where_it_is_small(title: str, fallen: str, risen: str) -> None:
    (panel,) = (one for one in rows_of(made(SHOP)["tidegauge-live"])["Now"] if one["title"] == title)
    told = {one["id"]: one["value"] for one in panel["fieldConfig"]["overrides"][0]["properties"]}
    steps = told["thresholds"]["steps"]
    assert [step["color"] for step in steps] == [fallen, "text", risen]
    assert [step["value"] for step in steps] == (
        [None, -0.5, 0.5] if "points" in told["unit"] else [None, -0.005, 0.005]
    )


def test_exact_counts_have_all_their_digits() -> None:
    units = {
        target["expr"].split("{")[0].split("(")[-1]: panel["fieldConfig"]["defaults"]["unit"]
        for panel in panels_of(made(SHOP)["tidegauge-live"])
        for target in panel["targets"]
        if " / " not in target["expr"]
    }
    for family in ("active_users", "sessions_open", "window_users", "customers_active", "funnel_attempts"):
        assert units[f"tidegauge_{family}"] == "locale"


def test_windows_go_from_the_shortest_to_the_longest_and_quantiles_are_words() -> None:
    rows = rows_of(made(SHOP)["tidegauge-live"])

    def legends(row: str, title: str) -> list[str]:
        (panel,) = (panel for panel in rows[row] if panel["title"] == title)
        return [target["legendFormat"] for target in panel["targets"]]

    assert legends("Activity", "Active users by window") == ["1m", "5m", "30m", "1h", "24h", "7d", "30d"]
    assert legends("Sessions", "Session duration, $window") == ["median", "90 %", "95 %", "mean"]
    assert legends("Who comes back", "Return on the day, 30d") == ["day 1", "day 7", "day 30"]
    assert legends("Milestones: more", "Milestone matured") == ["24h", "7d", "30d"]
    assert legends("Funnel: checkout", "Lost between steps, $window") == [
        "product viewed \N{RIGHTWARDS ARROW} product added",
        "product added \N{RIGHTWARDS ARROW} checkout started",
        "checkout started \N{RIGHTWARDS ARROW} order completed",
    ]
    assert legends("Subscriptions: more", "MRR moved, $window") == ["{{from}} \N{RIGHTWARDS ARROW} {{to}}"]


def test_a_title_names_the_window_of_its_numbers() -> None:
    for dashboard in made(SHOP).values():
        for panel in panels_of(dashboard):
            windows = {
                window
                for target in panel["targets"]
                for window in re.findall(r'window="([^"]+)"', target["expr"])
            }  # fmt: skip
            expected = {"$window"} if "$window" in windows else windows
            assert len(expected) != 1 or f", {expected.pop()}" in panel["title"], panel["title"]


def test_what_may_have_many_lines_names_them_beside_it_and_leaves_out_those_at_zero() -> None:
    rows = rows_of(made(SHOP)["tidegauge-live"])
    panels = {panel["title"]: panel for panels in rows.values() for panel in panels if panel["type"] == "timeseries"}
    beside = {title for title, panel in panels.items() if panel["options"]["legend"]["placement"] == "right"}
    assert {"Events by name, $window", "New users by first channel, 30d", "Revenue by $breakdown, $window"} <= beside
    assert not {"Active users by $breakdown, $window", "Sessions by traffic, 30d"} & beside  # few values
    for title in ("Events per second", "Events by name, $window", "New users by first channel, 30d"):
        (target,) = panels[title]["targets"]
        assert target["expr"].endswith(" > 0")


def test_a_line_of_panels_has_one_height_and_a_tile_alone_is_no_wider_than_half_the_page() -> None:
    for dashboard in made(SHOP).values():
        for panels in rows_of(dashboard).values():
            heights: dict[int, set[int]] = {}
            for panel in panels:
                place = panel["gridPos"]
                heights.setdefault(place["y"], set()).add(place["h"])
                assert place["w"] <= 12 or panel["type"] != "stat", panel["title"]
            assert {len(found) for found in heights.values()} <= {1}


def test_the_lines_of_a_graph_have_one_unit() -> None:
    for config in (SHOP, SAAS):
        numbers = Numbers(config)
        for row in numbers.rows:
            for chart in row.charts:
                if isinstance(chart, Course):
                    lines = [line for line in chart.lines if line.spread is None]
                    metrics = [name for line in lines for name in line.metrics if name in numbers]
                    assert len({numbers.unit(name) for name in metrics}) <= 1, chart.title


def test_the_interval_of_a_satisfaction_is_a_band() -> None:
    (panel,) = (one for one in rows_of(made(SAAS)["tidegauge-live"])["Survey: support"] if "Satisfied" in one["title"])
    named = {target["refId"]: target["legendFormat"] for target in panel["targets"]}
    overrides = {one["matcher"]["options"]: one["properties"] for one in panel["fieldConfig"]["overrides"]}
    assert {named[ref] for ref in overrides} == {"at least", "at most"}
    (below,) = [
        told["value"] for told in overrides["C"] if told["id"] == "custom.fillBelowTo"
    ]  # fmt: skip
    assert below == named["B"] == "at least"


def test_bars_that_are_many_stand_upright() -> None:
    panels = {panel["title"]: panel for panel in rows_of(made(SHOP)["tidegauge-live"])["Active days"]}
    assert panels["Users by active days of the last 7"]["options"]["orientation"] == "horizontal"
    assert panels["Users by active days of the last 30"]["options"]["orientation"] == "vertical"


def test_the_interval_of_a_conversion_is_a_band_that_the_legend_leaves_out() -> None:
    (panel,) = (
        panel
        for panel in rows_of(made(SHOP)["tidegauge-live"])["Funnel: checkout"]
        if panel["title"] == "Conversion, $window"
    )
    overrides = {
        one["matcher"]["options"]: {told["id"]: told["value"] for told in one["properties"]}
        for one in panel["fieldConfig"]["overrides"]
    }
    named = {target["refId"]: target["legendFormat"] for target in panel["targets"]}
    assert [named[ref] for ref in overrides] == ["live, lower bound", "live, upper bound"]
    assert overrides["C"]["custom.fillBelowTo"] == named["B"]
    assert {one["custom.hideFrom"]["legend"] for one in overrides.values()} == {True}
    assert {one["custom.lineWidth"] for one in overrides.values()} == {0}


def test_what_is_seldom_needed_is_in_closed_rows() -> None:
    closed = {
        uid: [panel["title"] for panel in dashboard["panels"] if panel.get("collapsed")]
        for uid, dashboard in made(SHOP).items()
    }
    assert closed == {
        "tidegauge-live": [
            "Sessions: more", "Goals: more", "Features: more", "Funnels: more", "Milestones: more",
            "Lifecycle: more", "Subscriptions: more", "Orders: more", "Economics: more",
                "Support: more", "Top lists: more",
        ],
        "tidegauge-tree": [],
        "tidegauge-aarrr": [],
        "tidegauge-heart": [],
        "tidegauge-pipeline": [
            "Open transactions of producers", "Parts that were added to the config", "Several processes",
        ],
    }  # fmt: skip


def test_what_says_whether_money_can_be_believed_is_on_the_page_of_the_pipeline() -> None:
    pages = made(SHOP)
    assert "tidegauge_mrr_difference" not in json.dumps(pages["tidegauge-live"])
    titles = [panel["title"] for panel in rows_of(pages["tidegauge-pipeline"])["Subscription states"]]
    assert titles == ["MRR difference", "States ignored or refused", "Changes that are still to come"]
    without = made(SHOP.model_copy(update={"subscriptions": None}))
    assert "Subscription states" not in rows_of(without["tidegauge-pipeline"])


def test_the_bars_of_a_funnel_stand_in_the_order_of_its_steps() -> None:
    (steps,) = (
        panel
        for panel in rows_of(made(SHOP)["tidegauge-live"])["Funnel: checkout"]
        if panel["title"] == "Steps, $window"
    )
    named = ["1 product viewed", "2 product added", "3 checkout started", "4 order completed"]
    assert [target["legendFormat"] for target in steps["targets"]] == named
    assert [target["refId"] for target in steps["targets"]] == ["A", "B", "C", "D"]
    assert {target["instant"] for target in steps["targets"]} == {True}


def test_the_tree_of_the_config_is_a_line_for_each_node() -> None:
    rows = rows_of(made(SHOP)["tidegauge-tree"])
    assert list(rows)[1:] == ["Focus", "Level 1: what drives it", "Level 2: what drives it"]
    assert [[panel["title"] for panel in panels] for panels in list(rows.values())[1:]] == [
        ["Revenue: mrr", "Revenue: on track", "Revenue: reached", "Revenue over time"],
        [
            *("Weekly: active_users.7d", "Weekly: reached", "Weekly over time"),
            *("Bounces: bounce_rate.24h", "Bounces: on track", "Bounces: reached", "Bounces over time"),
            *("Checkout: funnel.checkout.conversion_live", "Checkout over time"),
        ],
        ["New: users.new.24h", "New over time"],
    ]
    units = {panel["title"]: panel["fieldConfig"]["defaults"].get("unit") for one in rows.values() for panel in one}
    assert units["Revenue over time"] == "currencyEUR"
    assert units["Bounces over time"] == "percentunit"
    assert units["Weekly over time"] == units["Weekly: active_users.7d"] == "locale"
    lines = [panel["gridPos"]["y"] for panel in rows["Level 1: what drives it"]]
    assert len(set(lines)) == 3


def test_below_each_driver_of_the_tree_stands_what_moves_it() -> None:
    rows = rows_of(made(PLAIN)["tidegauge-tree"])
    first, second = rows["Level 1: what drives it"], rows["Level 2: what moves the driver above"]
    below = {
        driver["title"]: [
            panel["title"].removesuffix(", $window")
            for panel in second
            if panel["gridPos"]["x"] == driver["gridPos"]["x"]
        ]
        for driver in first
    }  # fmt: skip
    assert "Focus: MRR" in rows
    assert below == {
        "Customers": ["New customers", "Customers lost", "Cancellations requested"],
        "MRR per customer": ["Expansion", "Contraction", "MRR churn"],
        "Users alive": ["New users", "Users back", "Users churned"],
        "Conversion: checkout": [
            "Lost before product added", "Lost before checkout started", "Lost before order completed",
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("config", "focus"),
    [
        (PLAIN, "Focus: MRR"),
        (PLAIN.model_copy(update={"subscriptions": None}), "Focus: Conversions: checkout"),
        (Config(), "Focus: Active users"),
    ],
)
def test_the_focus_is_money_else_conversions_else_users(config: Config, focus: str) -> None:
    assert list(rows_of(made(config)["tidegauge-tree"]))[1] == focus


def test_a_question_that_leaves_a_label_open_is_refused() -> None:
    numbers = Numbers(SHOP)
    with pytest.raises(ValueError, match="which funnel of"):
        numbers.ask("funnel.<name>.conversion_live")
    with pytest.raises(ValueError, match="are not in one family"):
        numbers.ask("active_users", "sessions.open")
    with pytest.raises(KeyError):
        numbers.ask("nonsense")
