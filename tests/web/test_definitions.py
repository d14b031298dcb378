"""What there is to say about each number, on the page and in the terminal."""

from __future__ import annotations

import json

import pytest

from flows.app import main
from flows.config.model import Config
from flows.metrics.cells import AS_OF
from flows.web.definitions import Definitions, UnknownCell, in_words
from tests.publish.test_redis import Run, T
from tests.services import RedisServer
from tests.test_architecture import ROOT
from tests.web.conftest import CONFIG, LISTED, NUMBERS, cells_of, publish

KNOWN = Definitions(CONFIG, LISTED)
SHOP = str(ROOT / "deploy" / "examples" / "shop.yaml")


@pytest.fixture(autouse=True)
def _no_redis_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)


def test_every_published_number_has_a_definition() -> None:
    published = [cell.name for cell in NUMBERS if cell.metric is not None]
    assert list(KNOWN) == published
    for cell in KNOWN:
        found = KNOWN[cell]
        assert found.help.endswith(".")
        assert "<" not in found.help, cell
        assert found.parts, cell
        assert bool(found.formula) == (found.compute is not None), cell


def test_a_formula_over_its_inputs_gives_the_published_number() -> None:
    cells = cells_of() | {AS_OF: T}
    for cell, derived in ((one.name, KNOWN[one.name]) for one in LISTED.derived):
        if not derived.unpublished and cell in cells:
            assert derived.compute is not None
            assert derived.compute(*(cells[one.cell] for one in derived.inputs)) == cells[cell]


def test_inputs_are_called_as_the_formula_calls_them() -> None:
    assert [(one.name, one.cell) for one in KNOWN["user_churn_rate.24h"].inputs] == [
        ("churned", "users.churned.24h"),
        ("alive", "users.alive"),
        ("new", "users.new.24h"),
        ("resurrected", "users.resurrected.24h"),
        ("inside", "users.churned_inside.24h"),
    ]
    quantile = KNOWN["session_duration_p50.1h"]
    assert quantile.formula.startswith("With q = 0.5: ")
    assert [one.name for one in quantile.inputs][:3] == ["count", "cumulative", "cumulative"]


def test_a_formula_that_refers_to_another_one_is_told_in_full() -> None:
    live = KNOWN["funnel.checkout.conversion_live"]
    assert "Kaplan and Meier (1958)" in live.formula
    assert live.unpublished == 120
    assert in_words(lambda: None) == ""


def test_the_series_is_the_one_and_no_breakdown_of_it() -> None:
    assert KNOWN["active_users.5m"].series == 'tidegauge_active_users{product="shop", window="5m", platform=""}'
    assert (
        KNOWN["active_users.5m{platform=ios}"].series
        == 'tidegauge_active_users{product="shop", window="5m", platform="ios"}'
    )
    assert KNOWN["events.1h"].series == ""


def test_since_when_a_number_counts_is_the_latest_of_its_parts() -> None:
    ratio = KNOWN["sessions_per_user.1h{platform=ios}"]
    fields = {"_since.sessions": "0", "_since.active_users": "5000", "_since.breakdown.platform.ios": "9000"}
    assert ratio.since_ms(fields) == 9_000
    assert KNOWN["sessions.open"].since_ms(fields) == 0
    assert KNOWN["sessions.open"].since_ms({}) is None


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("bounce_rate", "bounce_rate.5m"),
        ("mmr", "mrr"),
        ("sessions.start.1h", "sessions.started.1h"),
        ("alive", "users.alive"),
    ],
)
def test_an_unknown_cell_is_answered_with_names_that_are_near(asked: str, near: str) -> None:
    with pytest.raises(UnknownCell, match="shop publishes no") as unknown:
        KNOWN.of(asked)
    assert near in str(unknown.value)


def test_explain_prints_a_number_with_what_it_is_computed_from(
    run: Run, shared_redis: RedisServer, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = publish(run, since={"sessions": 0})
    assert main(["explain", "bounce_rate.1h", "--config", SHOP, "--redis", shared_redis.url]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"bounce_rate.1h = {cells['bounce_rate.1h']!r}"
    assert told[3:6] == [
        "computed  numerator / denominator.",
        f"          numerator    sessions.bounced.1h  {cells['sessions.bounced.1h']}",
        f"          denominator  sessions.closed.1h   {cells['sessions.closed.1h']}",
    ]
    assert "since     the beginning of the stream" in told
    assert "as of     the watermark, 2023-11-14 22:12:50 UTC" in told
    assert told[-2].startswith("Redis     redis-cli HGET")
    assert told[-1].startswith("PromQL    tidegauge_bounce_ratio{")


def test_explain_works_without_redis_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "events.1h", "--config", SHOP]) == 0
    told = capsys.readouterr().out
    assert "counted" in told
    assert "none: this number is in Redis only" in told
    assert main(["explain", "mrr", "--config", SHOP, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["help"] == "Monthly recurring revenue."


def test_explain_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "bounce_rate", "--config", SHOP]) == 2
    assert "there are bounce_rate.5m, bounce_rate.1h" in capsys.readouterr().err
    assert main(["explain", "mrr", "--config", SHOP, "--redis", "redis://127.0.0.1:1/0"]) == 1
    captured = capsys.readouterr()
    assert "Monthly recurring revenue." in captured.out
    assert "Redis at 127.0.0.1:1 cannot be reached" in captured.err


def test_of_any_config_every_number_is_explained() -> None:
    bare = Definitions(Config.model_validate({"windows": ["1m", "30d"], "ratio_windows": []}))
    assert all(bare[cell].told({})["help"] for cell in bare)
