"""What holds for every dashboard of every config: Grafana's model, the rules of its linter, no overlaps."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import units

from deploy.grafana.panels import filled, panels_of, questions, variables
from flows.commands.dashboards import dashboards
from flows.commands.metrics_page import EVERYTHING
from flows.config.file import load
from flows.config.model import Config
from flows.metrics.catalogue import families
from flows.metrics.minutes import MinuteBook
from tests.services import ROOT
from tests.test_docs import promtool

EXAMPLES = sorted((ROOT / "deploy" / "examples").glob("*.yaml"))
CONFIGS = {
    **{file.stem: load(file, environment={}).config for file in EXAMPLES},
    "defaults": Config(),
    "without_ratios": load(ROOT / "deploy" / "examples" / "shop.yaml", environment={}).config.model_copy(
        update={"ratio_windows": ()}
    ),
    "two_breakdowns": Config.model_validate(
        {
            "funnels": {"f": {"window": "2h", "steps": ["A", ["B", "C"]]}},
            "breakdowns": {
                "platform": {"field": "context.p", "values": ["ios"], "of": ["events", "active_users", "funnels"]},
                "country": {"field": "context.c", "values": ["de", "fr"], "of": ["sessions"]},
            },
        }
    ),
}
MADE = [
    pytest.param(json.loads(text), id=f"{name}:{uid}")
    for name, config in CONFIGS.items()
    for uid, text in dashboards(config).items()
]
WINDOWS: list[dict[str, list[str]]] = [{}, {"ratio_windows": []}, {"long_windows": []}]
OFFERED = [
    pytest.param({**offered, **windows}, id="-".join([family.__name__, str(place), *windows]))
    for family in dict.fromkeys(type(one) for one in families(EVERYTHING, MinuteBook(EVERYTHING)).values())
    for place, offered in enumerate(family.EXAMPLES)
    for windows in WINDOWS
]
SCHEMA = json.loads((Path(__file__).parent / "classic.schema.json").read_text())
SELECTOR = re.compile(r"\b((?:tidegauge|process)_\w+)(\{[^}]*\})?")
every_dashboard = pytest.mark.parametrize("dashboard", MADE)

Json = dict[str, Any]


def everything(dashboard: Json) -> list[Json]:
    """Rows and panels in their order, those of closed rows behind them."""
    return [one for panel in dashboard["panels"] for one in (panel, *panel.get("panels", []))]


def panels(dashboard: Json) -> list[Json]:
    """The panels that ask something, those of closed rows as well."""
    return [*panels_of(dashboard)]


def in_rows(dashboard: Json) -> list[tuple[str, Json]]:
    """Each panel with the title of its row."""
    row, found = "", []
    for panel in everything(dashboard):
        if panel["type"] == "row":
            row = panel["title"]
        else:
            found.append((row, panel))
    return found


def expressions(dashboard: Json) -> list[str]:
    """Every query of every panel."""
    return [target["expr"] for panel in panels(dashboard) for target in panel["targets"]]


@pytest.mark.parametrize("offered", OFFERED)
def test_what_a_family_offers_is_drawn_under_any_windows(offered: Json) -> None:
    assert set(dashboards(Config.model_validate(offered))) == set(dashboards(Config()))


@every_dashboard
def test_it_is_of_the_classic_model(dashboard: Json) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(dashboard)


@every_dashboard
def test_grafanas_own_types_read_and_write_it_unchanged(dashboard: Json) -> None:
    register_default_plugins()
    written = json.loads(json.dumps(model.Dashboard.from_json(dashboard), cls=JSONEncoder))
    for panel in [*panels(written), *(one for _, one in in_rows(written) if one["type"] == "text")]:
        if panel["type"] == "text":
            panel.pop("fieldConfig", None)
        elif panel["fieldConfig"]["defaults"].get("custom") == {}:
            del panel["fieldConfig"]["defaults"]["custom"]  # it reads nothing, and writes it as an empty object
    assert written == dashboard


@every_dashboard
def test_it_asks_the_data_source_that_the_reader_chooses(dashboard: Json) -> None:
    source = dashboard["templating"]["list"][0]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    asking = [*panels(dashboard), *dashboard["annotations"]["list"]]
    asking += [target for panel in panels(dashboard) for target in panel["targets"]]
    asking += [variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    assert {asked["datasource"]["uid"] for asked in asking} == {"${datasource}"}


@every_dashboard
def test_job_and_instance_can_be_chosen_and_all_of_them_are_at_first(dashboard: Json) -> None:
    chosen = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    for name in ("job", "instance"):
        variable = chosen[name]
        assert (variable["type"], variable["label"]) == ("query", name.capitalize())
        assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".+")


@every_dashboard
def test_asked_variables_are_asked_anew_when_the_time_changes(dashboard: Json) -> None:
    asked = [variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    assert {variable["refresh"] for variable in asked} == {2}


@every_dashboard
def test_panels_say_what_they_show_in_which_unit(dashboard: Json) -> None:
    known = {value for name, value in vars(units).items() if not name.startswith("_") and isinstance(value, str)}
    for panel in panels(dashboard):
        assert panel["title"]
        assert panel["description"].endswith((".", "?"))
        unit = panel["fieldConfig"]["defaults"]["unit"]
        assert unit in known or re.fullmatch(r"suffix: (?:[A-Z]{3}|points)", unit), unit


@every_dashboard
def test_titles_are_told_apart_within_their_row(dashboard: Json) -> None:
    rows = [panel["title"] for panel in everything(dashboard) if panel["type"] == "row"]
    titles = [(row, panel["title"]) for row, panel in in_rows(dashboard) if panel["type"] != "text"]
    assert sorted(set(rows)) == sorted(rows)
    assert sorted(set(titles)) == sorted(titles)


@every_dashboard
def test_every_selector_names_job_and_instance(dashboard: Json) -> None:
    for expression in expressions(dashboard):
        for name, matchers in SELECTOR.findall(expression):
            assert 'job=~"$job"' in matchers, f"{name} in {expression}"
            assert 'instance=~"$instance"' in matchers, f"{name} in {expression}"


@every_dashboard
def test_counters_are_seen_as_rates_over_grafanas_interval(dashboard: Json) -> None:
    for expression in expressions(dashboard):
        counters = re.findall(r"(?<!rate\()\b\w+_(?:total|bucket|count|sum)\{", expression)
        assert counters == [], expression
        assert set(re.findall(r"\[([^\]]+)\]", expression)) <= {"$__rate_interval"}


@every_dashboard
def test_prometheus_understands_every_query(dashboard: Json, tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": question.filled}
        for number, question in enumerate(questions(dashboard, {}))
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", str(file))


@every_dashboard
def test_legends_name_labels_that_the_query_keeps(dashboard: Json) -> None:
    values = variables(dashboard, {})
    for panel in panels(dashboard):
        for target in panel["targets"]:
            kept = re.findall(r"by \(([^)]*)\)", filled(target["expr"], values))
            named = re.findall(r"\{\{(\w+)\}\}", filled(target["legendFormat"], values))
            assert set(named) <= set(kept[-1].split(", ") if kept else [])


@every_dashboard
def test_it_is_changed_in_code_and_not_by_hand(dashboard: Json) -> None:
    assert dashboard["editable"] is False


@every_dashboard
def test_it_says_how_old_its_numbers_are_at_its_head_and_on_every_graph(dashboard: Json) -> None:
    assert [panel["title"] for panel in panels(dashboard)[:3]] == [
        "Numbers are current",
        "Counts and active users are behind by",
        "Sessions, funnels, money are behind by",
    ]
    assert [note["name"] for note in dashboard["annotations"]["list"]] == ["Numbers of an earlier time"]


@every_dashboard
def test_numbers_identify_panels(dashboard: Json) -> None:
    numbers = [panel["id"] for panel in everything(dashboard)]
    assert numbers == list(range(1, len(numbers) + 1))


@every_dashboard
def test_no_panel_covers_another_or_leaves_the_page(dashboard: Json) -> None:
    def fields(panel: Json) -> set[tuple[int, int]]:
        at = panel["gridPos"]
        return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}

    for together in (dashboard["panels"], *(row["panels"] for row in dashboard["panels"] if row.get("panels"))):
        places = [(panel["id"], fields(panel)) for panel in together]
        assert [number for number, place in places if any(x >= 24 for x, _ in place)] == []
        assert [(one[0], other[0]) for one, other in combinations(places, 2) if one[1] & other[1]] == []


@every_dashboard
def test_rows_follow_each_other_without_empty_lines(dashboard: Json) -> None:
    lines: dict[int, int] = {}
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        lines[at["y"]] = max(lines.get(at["y"], 0), at["y"] + at["h"])
    assert all(end == start for (_, end), (start, _) in pairwise(sorted(lines.items())))


@every_dashboard
def test_every_row_has_panels(dashboard: Json) -> None:
    kinds = [panel["type"] for panel in everything(dashboard)]
    assert ("row", "row") not in set(pairwise(kinds))
    assert kinds[-1] != "row"


# ---------------------------------------------------------------------------------------------- what cannot mislead


@every_dashboard
def test_titles_name_the_chosen_window_exactly_where_it_is_asked_for(dashboard: Json) -> None:
    for panel in panels(dashboard):
        chosen = any("$window" in target["expr"] for target in panel["targets"])
        assert ("$window" in panel["title"]) == chosen, panel["title"]


@every_dashboard
def test_tiles_and_bars_ask_for_this_moment_alone_and_draw_no_past(dashboard: Json) -> None:
    for panel in panels(dashboard):
        if panel["type"] in ("stat", "bargauge"):
            assert {(target["instant"], target["range"]) for target in panel["targets"]} == {(True, False)}
        if panel["type"] == "stat":
            assert panel["options"]["graphMode"] == "none"


@every_dashboard
def test_a_tile_or_bar_without_a_sample_says_so_in_its_place(dashboard: Json) -> None:
    """Every query of it always has a value: that of a dead target is mapped to words, and in no case green."""
    for panel in panels(dashboard):
        if panel["type"] not in ("stat", "bargauge"):
            continue
        said: dict[str, Json] = {}
        for mapping in panel["fieldConfig"]["defaults"]["mappings"]:
            if mapping["type"] == "special":
                assert mapping["options"]["match"] == "null+nan"
                said["NaN"] = mapping["options"]["result"]
            else:
                said |= mapping["options"]
        for target in panel["targets"]:
            fallback = re.search(r" or vector\((NaN|-1)\)$", target["expr"])
            assert fallback, f"{panel['title']}: {target['expr']}"
            assert said[fallback[1]]["text"] in ("NO DATA", "no value", "NO: nothing is scraped"), panel["title"]
            assert said[fallback[1]]["color"] == ("text" if said[fallback[1]]["text"] == "no value" else "red")


@every_dashboard
def test_ages_end_at_the_scrape_and_not_at_the_question(dashboard: Json) -> None:
    asked = [*expressions(dashboard), *(note["expr"] for note in dashboard["annotations"]["list"])]
    assert [expression for expression in asked if "time()" in expression] == []
    assert any("timestamp(" in expression for expression in asked)


@every_dashboard
def test_windows_are_not_stacked_since_each_event_is_in_many_of_their_samples(dashboard: Json) -> None:
    for panel in panels(dashboard):
        if "stacking" in panel["fieldConfig"]["defaults"].get("custom", {}):
            assert [target["expr"] for target in panel["targets"] if "window=" in target["expr"]] == []


@every_dashboard
def test_areas_below_lines_do_not_cover_each_other(dashboard: Json) -> None:
    for panel in panels(dashboard):
        if panel["type"] == "timeseries" and "stacking" not in panel["fieldConfig"]["defaults"]["custom"]:
            several = len(panel["targets"]) > 1 or "{{" in panel["targets"][0]["legendFormat"]
            assert (panel["fieldConfig"]["defaults"]["custom"]["fillOpacity"] == 0) == several, panel["title"]


@every_dashboard
def test_an_axis_of_nothing_but_zeros_stays_small(dashboard: Json) -> None:
    for panel in panels(dashboard):
        if panel["type"] == "timeseries":
            custom = panel["fieldConfig"]["defaults"]["custom"]
            log = custom.get("scaleDistribution", {}).get("type") == "log"
            assert log or (custom["axisSoftMin"] == 0 and 0 < custom["axisSoftMax"] <= 1024), panel["title"]


@every_dashboard
def test_legends_are_words(dashboard: Json) -> None:
    for panel in panels(dashboard):
        if panel["type"] in ("table", "heatmap"):
            continue
        renamed = [one["options"] for one in panel.get("transformations", []) if one["id"] == "renameByRegex"]
        for target in panel["targets"]:
            legend = target["legendFormat"]
            if "{{" in legend:
                assert renamed == [{"regex": "/_/g", "renamePattern": " "}], panel["title"]
            else:
                assert re.fullmatch(r"[\w %\N{RIGHTWARDS ARROW},]+", legend), legend
                assert "_" not in legend, legend
                assert "quantile" not in legend, legend


@every_dashboard
def test_a_line_of_panels_is_as_wide_as_the_page(dashboard: Json) -> None:
    if dashboard["uid"] == "tidegauge-tree":
        return  # what moves a driver is below it, and a driver may have less than others
    for together in (dashboard["panels"], *(row["panels"] for row in dashboard["panels"] if row.get("panels"))):
        lines: dict[int, list[Json]] = defaultdict(list)
        for panel in together:
            lines[panel["gridPos"]["y"]].append(panel)
        for line in lines.values():
            wide = 12 if [panel["type"] for panel in line] == ["stat"] else 24  # one number needs no more
            assert max(panel["gridPos"]["x"] + panel["gridPos"]["w"] for panel in line) == wide
