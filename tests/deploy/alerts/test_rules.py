"""The rules as text: current, complete, understood by Prometheus, and what their mathematics promises."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.alerting.promql import Pace, duration
from flows.alerting.rules import rules_text
from flows.app import main
from flows.config.alerts import Alerts
from flows.config.fields import Section
from flows.config.file import load_alerts
from flows.config.model import Config
from flows.metrics.catalogue import catalogue
from flows.process.health import Health
from flows.publish.prometheus.health import health_families
from flows.publish.prometheus.product import product_families
from flows.publish.prometheus.samples import tally_families
from tests.deploy.alerts.judge import promtool
from tests.services import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
RUNBOOKS = ROOT / "deploy" / "runbooks"
EXAMPLES = {name: ROOT / "deploy" / "examples" / f"{name}.yaml" for name in ("shop", "saas", "minimal")}
COMMITTED = {"shop": PROMETHEUS / "rules" / "shop.yml", "saas": PROMETHEUS / "examples" / "saas.yml"}


def rules_of(text: str) -> list[dict[str, Any]]:
    """All rules of a file."""
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def alerts_of(text: str) -> list[dict[str, Any]]:
    """Its alerts."""
    return [rule for rule in rules_of(text) if "alert" in rule]


@pytest.mark.parametrize("product", COMMITTED)
def test_the_committed_rules_are_those_of_the_example(product: str) -> None:
    stored = COMMITTED[product].read_text(encoding="utf-8")
    assert stored == rules_text(*load_alerts(EXAMPLES[product])), f"{COMMITTED[product]} is stale: make docs"


def test_the_command_prints_what_it_would_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "--config", str(EXAMPLES["shop"])]) == 0
    printed = capsys.readouterr().out
    assert main(["rules", "--config", str(EXAMPLES["shop"]), "--out", str(tmp_path / "rules")]) == 0
    assert (tmp_path / "rules" / "shop.yml").read_text() == printed


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["rules", "--out", str(tmp_path / "file" / "rules")]) == 1
    assert "cannot be written: Not a directory" in capsys.readouterr().err


def test_speed_without_the_time_at_which_the_clocks_meet_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "--speed", "30"]) == 2
    assert "--speed and --meets go together" in capsys.readouterr().err


@pytest.mark.parametrize("example", EXAMPLES)
def test_prometheus_understands_the_rules_of_every_example(example: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(rules_text(*load_alerts(EXAMPLES[example])))
    done = promtool("check", "rules", "--lint-fatal", str(file))
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_look_at_series_that_are_served() -> None:
    """Every selector of a Tidegauge family selects a series of its config, every recorded name is recorded."""
    for name in COMMITTED:
        config, alerts = load_alerts(EXAMPLES[name])
        served = [
            (family.name, dict(re.findall(r'(\w+)="([^"]*)"', text)))
            for family in product_families(catalogue(config), config.product)
            for _, _, text in family.series
        ]
        for family in (
            *tally_families(catalogue(config).tallies, None, None),
            *health_families(None, None, Health(redis_configured=True).read(), config.product),
        ):
            ending = {"counter": "_total", "info": "_info"}.get(family.type, "")
            served.append((family.name + ending, {"product": config.product} if family.type == "info" else {}))
        rules = rules_of(rules_text(config, alerts))
        recorded = {rule["record"] for rule in rules if "record" in rule}
        for rule in rules:
            for family_name, matchers in re.findall(r"\b(tidegauge_\w+)(?:\{([^}]*)\})?", rule["expr"]):
                equal = re.findall(r'(\w+)="([^"]*)"', matchers)
                assert any(
                    family_name == known and all(labels.get(label, "") == value for label, value in equal)
                    for known, labels in served
                ), f"{family_name}{{{matchers}}} of {rule}"
            assert set(re.findall(r"tidegauge:\w+:\w+", rule["expr"])) <= recorded


def test_an_alert_that_is_off_is_not_there() -> None:
    config, _ = load_alerts(EXAMPLES["shop"])
    off = {name: None for name, field in Alerts.model_fields.items() if isinstance(field.default, Section)}
    del off["pipeline"]
    left = {rule["alert"] for rule in alerts_of(rules_text(config, Alerts.model_validate(off)))}
    assert left == {
        rule["alert"] for rule in alerts_of(COMMITTED["shop"].read_text()) if rule["labels"]["area"] == "pipeline"
    }


def test_a_product_without_subscriptions_and_funnels_has_no_alerts_of_them() -> None:
    found = {rule["alert"] for rule in alerts_of(rules_text(Config(product="blog"), Alerts()))}
    assert found.isdisjoint({"ChurnSpike", "MRRDrop", "ConversionDrop", "KeyActionDrop", "GoalDrop", "FeatureDrop"})
    assert {"BounceSpike", "ActiveUsersDrop", "NoData"} <= found


def test_a_key_action_that_is_chosen_by_what_it_carries_is_watched_by_its_name() -> None:
    chosen = {"event": ["Report Created", "Report Shared"], "where": {"properties.kind": "weekly"}}
    text = rules_text(Config.model_validate({"product": "blog", "key_actions": [chosen, "Liked"]}), Alerts())
    assert set(re.findall(r'tidegauge_window_events{[^}]*event="(\w+)"', text)) == {
        *("report_created", "report_shared", "liked"),
    }


def test_only_nodes_that_ask_for_it_are_watched_for_their_target() -> None:
    config, alerts = load_alerts(EXAMPLES["saas"])
    text = rules_text(config, alerts)
    assert set(re.findall(r'tidegauge_tree_on_track{[^}]*node="(\w+)"', text)) == {"churn"}
    (rule,) = (rule for rule in alerts_of(text) if rule["alert"] == "TargetMissed")
    assert (rule["for"], rule["labels"]["severity"]) == ("1h", "ticket")
    assert "TargetMissed" not in rules_text(config, alerts.model_copy(update={"targets": None}))
    assert "TargetMissed" not in rules_text(config.model_copy(update={"tree": {}}), alerts)


def test_one_funnel_can_have_thresholds_of_its_own() -> None:
    config, _ = load_alerts(EXAMPLES["shop"])
    alerts = Alerts.model_validate({"conversion": {"drop": 0.3, "funnels": {"checkout": {"drop": 0.1}}}})
    (rule,) = (rule for rule in alerts_of(rules_text(config, alerts)) if rule["alert"] == "ConversionDrop")
    funnel = 'tidegauge:conversion:ratio{product="shop", funnel'
    assert f'{funnel}="checkout"}} < 0.9 * ' in rule["expr"]
    assert f'{funnel}!~"checkout"}} < 0.7 * ' in rule["expr"]


@pytest.mark.parametrize("product", COMMITTED)
def test_every_alert_has_all_that_whoever_is_woken_needs(product: str) -> None:
    for rule in alerts_of(COMMITTED[product].read_text()):
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["labels"]["area"] in ("product", "pipeline")
        assert "for" in rule
        assert ("keep_firing_for" in rule) == (rule["labels"]["area"] == "product")
        assert set(rule["annotations"]) == {"summary", "description", "dashboard", "runbook_url"}
        assert rule["annotations"]["dashboard"] in (
            "/d/tidegauge-live", "/d/tidegauge-tree", "/d/tidegauge-pipeline",
        )  # fmt: skip
        assert (ROOT / rule["annotations"]["runbook_url"]).is_file()


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    alerts = {rule["alert"] for file in COMMITTED.values() for rule in alerts_of(file.read_text())}
    assert {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"} == alerts


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("[A-Z]*[a-z].md")), ids=lambda page: page.stem)
def test_a_runbook_says_what_it_means_what_it_harms_where_to_look_and_what_to_do(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"(?ms)^```.*?^```$", "", text)
    assert re.findall(r"(?m)^#+ (.*)$", prose) == [page.stem, "Meaning", "Impact", "How to look", "What to do"]
    assert "```promql" in text
    assert "```sh" in text


# ------------------------------------------------------------------------------------------------ time


def test_durations_are_written_as_prometheus_reads_them() -> None:
    week = 7 * 86_400_000
    assert [duration(ms) for ms in (week - 1_800_000, 300_000, 1500, 0.4)] == ["6d23h30m", "5m", "1s500ms", "1ms"]


def test_compressed_rules_look_back_less_far_and_live_in_the_time_of_the_stream() -> None:
    config, alerts = load_alerts(EXAMPLES["shop"])
    text = rules_text(config, alerts, Pace(speed=60, meets_s=1_790_000_000))
    expressions = {rule["record"]: rule["expr"] for rule in rules_of(text) if "record" in rule}
    now = "(1790000000.000 - 60 * (1790000000.000 - time()))"
    assert expressions["tidegauge:stream:age_seconds"].startswith(f"{now} - ")
    hour = expressions["tidegauge:key_actions:same_hour"]
    assert "[1m] offset 2h47m30s" in hour  # an hour of a week ago, 60 times as fast
    down, bounce = (
        next(rule for rule in alerts_of(text) if rule["alert"] == name) for name in ("TidegaugeDown", "BounceSpike")
    )
    assert (bounce["for"], down["for"]) == ("5s", "5m")  # the process has its own time


# ------------------------------------------------------------------------------------------- mathematics


def poisson_at_least(x: int, mean: float) -> float:
    """P(X >= x), added up from its terms."""
    term = math.exp(x * math.log(mean) - mean - math.lgamma(x + 1))
    total, k = 0.0, x
    while term > 1e-18 * max(total, 1e-300):
        total += term
        k += 1
        term *= mean / k
    return total


def poisson_at_most(x: int, mean: float) -> float:
    """P(X <= x), added up from its terms."""
    return sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(x + 1))


def anscombe(x: float, mean: float) -> float:
    """How many standard errors x lies above the mean, as the rules compute it."""
    return 2 * (math.sqrt(x + 3 / 8) - math.sqrt(mean + 3 / 8))


@pytest.mark.parametrize("mean", [0.01, 0.1, 0.5, 1, 3, 10, 30, 100, 1000])
def test_a_rise_of_four_standard_errors_is_an_accident_once_in_ten_thousand(mean: float) -> None:
    """Anscombe's transform against the exact tail, at the least count that alerts: at least 10 cancellations."""
    x = next(x for x in range(10, 10_000) if anscombe(x, mean) > 4)
    assert poisson_at_least(x, mean) < 1e-4


@pytest.mark.parametrize("mean", [50, 70, 100, 300, 1000])
def test_a_drop_of_four_standard_errors_is_an_accident_once_in_ten_thousand(mean: float) -> None:
    x = next(x for x in range(int(mean), -1, -1) if anscombe(x, mean) < -4)
    assert poisson_at_most(x, mean) < 1e-4
