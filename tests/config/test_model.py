from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from flows.config.channels import CHANNELS
from flows.config.explain import findings
from flows.config.model import Config
from flows.config.notation import format_duration, likely_duration, parse_duration, slug
from flows.config.rules import remarks
from flows.metrics.cost import cost, expected_cells

FUNNEL = {"window": "1h", "steps": ["Product Viewed", "Order Completed"]}
PLATFORM: dict[str, Any] = {"field": "context.device.type", "values": ["web", "ios"]}


def found(raw: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """Path, message and suggestion of everything that is wrong with `raw`."""
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(raw)
    return [
        (".".join(str(key) for key in finding.path), finding.message, finding.suggestion)
        for finding in findings(caught.value, Config)
    ]


@given(st.integers(min_value=0, max_value=10**9))
def test_a_duration_survives_being_written_and_read(ms: int) -> None:
    assert parse_duration(format_duration(ms)) == ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [("10s", 10_000), (" 5 m ", 300_000), ("24h", 86_400_000), ("30d", 30 * 86_400_000), ("1ms", 1)],
)
def test_durations_are_read_in_milliseconds(text: str, ms: int) -> None:
    assert parse_duration(text) == ms


@pytest.mark.parametrize("text", ["", "10", "1.5h", "-1s", "1:30", "1h30m", "10 S", "٣s", "1" * 10 + "s", True, 5])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1:30", "90m"),
        ("0:00:30", "30s"),
        ("1h30m", "90m"),
        ("1.5h", "90m"),
        ("2 weeks", "14d"),
        ("10 Sec", "10s"),
    ],
)
def test_other_ways_to_write_a_duration_are_understood_well_enough_for_advice(text: str, meant: str) -> None:
    assert likely_duration(text) == meant


@pytest.mark.parametrize("text", ["", "soon", "1 fortnight", "h", "0:00", "1h and more", "0s"])
def test_no_advice_is_given_on_what_is_not_understood(text: str) -> None:
    assert likely_duration(text) is None


def test_a_day_is_24h_and_longer_whole_days_are_days() -> None:
    assert [format_duration(parse_duration(text)) for text in ("1d", "48h", "60m", "1000ms")] == [
        "24h",
        "2d",
        "1h",
        "1s",
    ]


def test_slugs_are_lower_case_with_each_run_of_other_characters_one_underscore() -> None:
    assert slug("Order  Completed!") == "order_completed_"
    assert slug("order_completed") == slug("Order Completed") == slug("ORDER-COMPLETED")


def test_an_empty_configuration_is_all_defaults() -> None:
    assert Config.model_validate({}) == Config()


def test_a_configuration_survives_being_written_and_read() -> None:
    config = Config.model_validate(
        {
            "funnels": {"checkout": FUNNEL},
            "breakdowns": {"platform": PLATFORM},
            "presence": {"except": ["A", {"event": ["B", "C"], "where": {'properties."x y"': [1, True, "z"]}}]},
        }
    )
    assert Config.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    "written",
    ["Heartbeat", ["Heartbeat"], {"event": "Heartbeat"}, [{"event": ["Heartbeat"]}]],
)
def test_a_selector_is_a_name_a_list_or_a_section(written: Any) -> None:
    config = Config.model_validate({"presence": {"except": written}, "exclude": {"events": [5, True]}})
    (selector,) = config.presence.except_
    assert selector.selection() == (frozenset({"heartbeat"}), ())
    assert [one.event for one in config.exclude.events] == [("5",), ("true",)]
    assert "heartbeat" in config.vocabulary()
    assert "true" not in config.vocabulary()  # left out of everything, so nothing of it is counted


@pytest.mark.parametrize(
    "field",
    [
        *("properties.$os", "properties.plan-type", "properties.Größe", 'context."utm.source"', "channel", "$key"),
        *(r"properties.utm\.source", 'properties."a \\" quote"', "integrations.All"),
    ],
)
def test_a_field_is_named_by_its_keys_whatever_they_are(field: str) -> None:
    assert Config.model_validate({"breakdowns": {"b": PLATFORM | {"field": field}}}).breakdowns["b"].field == field


def test_names_of_any_script_are_told_apart() -> None:
    names = ["会員登録", "注文完了", "Стъпка 1", "ステップ1", "Liked 👍", "Liked 👎", "Commande passée", "हिन्दी"]
    config = Config.model_validate({"events": names})
    assert len(config.vocabulary()) == 1 + len(names)


@given(st.text(max_size=40))
def test_a_slug_is_its_own_slug(name: str) -> None:
    assert slug(slug(name)) == slug(name)


def test_more_conditions_than_a_code_can_hold_are_refused() -> None:
    wheres = [{"event": "A", "where": {"properties.x": str(number)}} for number in range(31)]
    advice = "list values that count alike in one condition, or send such events under names of their own"
    message = f"found 31 different conditions (`where`) in the whole file, expected at most 30: {advice}"
    assert found({"exclude": {"events": wheres}}) == [("exclude.events.30.where", message, None)]
    steps = ["B", wheres[:17]]
    message = (
        "found 17 different conditions (`where`) on a, and each doubles the kinds of events told apart, which can be"
        f" 65,535: {advice}"
    )
    assert found({"funnels": {"f": {"window": "1h", "steps": steps}}}) == [
        ("funnels.f.steps.1.16.where", message, None)
    ]
    Config.model_validate({"funnels": {"f": {"window": "1h", "steps": ["B", wheres[:15]]}}})


def test_the_order_of_the_file_does_not_reach_codes_or_cells() -> None:
    there = Config.model_validate(
        {"funnels": {"b": FUNNEL, "a": FUNNEL}, "events": ["Z", "A"], "windows": ["1h", "5m", "24h"]}
    )
    back = Config.model_validate(
        {"events": ["A", "Z"], "funnels": {"a": FUNNEL, "b": FUNNEL}, "windows": ["24h", "5m", "1h"]}
    )
    assert list(there.funnels) == list(back.funnels) == ["a", "b"]
    assert there.vocabulary() == back.vocabulary() == ["other", "a", "order_completed", "product_viewed", "z"]
    assert there == back.model_copy(update={"events": there.events})


def test_what_is_left_out_in_part_may_be_wanted() -> None:
    def chosen(*values: int) -> dict[str, Any]:
        return {"event": "A", "where": {"properties.x": list(values)}}

    Config.model_validate({"exclude": {"events": chosen(1)}, "key_actions": chosen(1, 2)})
    Config.model_validate({"exclude": {"events": chosen(1)}, "key_actions": "A"})


def test_a_key_without_a_value_is_as_if_it_were_not_there() -> None:
    assert Config.model_validate({"funnels": None, "lateness": None}) == Config()


def test_null_turns_a_rule_of_engagement_off() -> None:
    engaged = Config.model_validate({"sessions": {"engaged": {"longer_than": None, "views": None}}}).sessions.engaged
    assert (engaged.longer_than, engaged.views, engaged.key_actions) == (None, None, 1)


def test_a_step_of_one_name_is_a_list_of_one() -> None:
    config = Config.model_validate({"funnels": {"f": {"window": "1h", "steps": ["A", ["B", "C"], 404]}}})
    events = [[name for one in step for name in one.event] for step in config.funnels["f"].steps]
    assert events == [["A"], ["B", "C"], ["404"]]
    assert config.funnels["f"].step_names() == ["01_a", "02_b", "03_404"]


def test_a_step_is_named_by_as_or_else_after_its_first_event() -> None:
    priced = {"event": "page_viewed", "where": {"context.page.path": "/pricing"}}
    steps = [priced | {"as": "Looked at Prices"}, priced, [{"event": ["B", "A"], "as": 7}, "C"]]
    config = Config.model_validate({"funnels": {"f": {"window": "1h", "steps": steps}}})
    assert config.funnels["f"].step_names() == ["01_looked_at_prices", "02_page_viewed", "03_7"]


def test_selectors_stand_wherever_events_are_named() -> None:
    asked = {"event": "A", "where": {"properties.x": 1}}
    config = Config.model_validate(
        {
            "key_actions": asked,
            "active_users": {"events": [asked, "B"]},
            "funnels": {"f": {"window": "1h", "steps": [asked, [asked, "C"]], "exclude": asked}},
        }
    )
    assert config.vocabulary() == ["other", "a", "b", "c"]
    assert len(config.codes) == 5  # A with x and without
    assert [len(selectors) for _, selectors in config.selectors()] == [1, 2, 1, 2, 1, 0, 0, 0]


def test_what_the_same_event_can_be_twice_is_remarked_and_what_it_cannot_is_not() -> None:
    def page(*paths: str, **more: str) -> dict[str, Any]:
        return {"event": "page_viewed", "where": {"context.page.path": paths} | more}

    def remarked(*steps: Any) -> list[str]:
        return [one.message for one in remarks(Config.model_validate({"funnels": {"f": FUNNEL | {"steps": steps}}}))]

    assert remarked(page("/a"), page("/b")) == []
    assert remarked(page("/a", "/b"), page("/b", "/c")) == [
        "step 2 can be the same event as step 1, which must then come twice"
    ]
    assert remarked(page("/a"), page("/a", **{"properties.x": "1"})) != []
    assert remarked("A", [page("/a"), page("/b"), page("/A")]) == ["'page_viewed' is listed twice (page_viewed)"]


def test_options_of_a_funnel_that_change_nothing_are_remarked() -> None:
    funnels = {
        "calm": FUNNEL | {"steps": ["A", ["B", "C"]], "exclude": ["B", {"event": "C", "where": {"properties.x": 1}}]},
        "moved": FUNNEL | {"steps": ["A", "B"], "reentry": "latest", "exclude": ["A"]},
        "two": FUNNEL | {"steps": ["A", "B"], "order": "any"},
        "wide": FUNNEL | {"steps": ["A", "B"], "within_step": FUNNEL["window"]},
    }
    assert [(one.path, one.message) for one in remarks(Config.model_validate({"funnels": funnels}))] == [
        (
            ("funnels", "moved", "reentry"),
            "latest does not move the start where repeating the first step is an exclusion: it ends the attempt",
        ),
        (
            ("funnels", "two", "order"),
            "any changes nothing in a funnel of two steps, since the first always comes first",
        ),
        (
            ("funnels", "wide", "within_step"),
            "1h is not shorter than the window, 1h, so that it changes nothing",
        ),
    ]


def test_a_breakdown_of_a_scope_is_of_what_is_used_in_order_unless_it_says_more() -> None:
    def of(**more: Any) -> tuple[str, ...]:
        return Config.model_validate({"breakdowns": {"b": PLATFORM | more}}).breakdowns["b"].of

    assert of() == of(scope="event") == of(scope=None) == ("active_users", "sessions", "funnels")
    assert of(scope="session") == of(scope="first", of=None) == ("sessions", "funnels")
    assert of(scope="first", of=["funnels"]) == ("funnels",)


def test_labels_are_the_listed_values_then_other_then_unknown() -> None:
    config = Config.model_validate({"breakdowns": {"country": {"field": "traits.country", "values": ["DE", True, 7]}}})
    assert config.breakdowns["country"].labels() == ["de", "true", "7", "other", "unknown"]


A_HOST = "expected a host such as shop.example, without scheme, port or path"
COMPUTED_WRONGLY: list[tuple[dict[str, Any], str, str]] = [
    ({}, "field", "this is missing"),
    ({"values": ["a"]}, "field", "this is missing"),
    ({"field": "properties.x"}, "values", "this is missing"),
    ({"field": "properties.x", "values": []}, "values", "found an empty list, expected at least 1"),
    ({"computed": "browser"}, "computed", "found 'browser', expected channel or traffic"),
    ({"computed": "channel", "field": "properties.x"}, "field", "found beside computed: take out one of the two"),
    ({"computed": "channel", "values": ["email"]}, "values", "the values of channel are given: take this out"),
    *(
        (PLATFORM | {key: wrong}, key, "only a computed breakdown has this: take it out, or say what is computed")
        for key, wrong in {
            "own_hosts": "shop.example",
            "sources": {"search": "suche.example"},
            "organic": "all",
            "direct": "own",
        }.items()
    ),
    (
        {"computed": "channel", "organic": "all"},
        "organic",
        "found with computed: channel, where organic channels are told apart: take it out",
    ),
    (
        {"computed": "channel", "scope": "first", "direct": "own"},
        "direct",
        "found with scope first, and only sessions look back: take it out, or give scope: session",
    ),
    (
        {"computed": "channel", "own_hosts": "https://a.example/"},
        "own_hosts.0",
        f"found 'https://a.example/', {A_HOST}",
    ),
    (
        {"computed": "channel", "sources": {"search": "a.example/x"}},
        "sources.search.0",
        "found 'a.example/x', expected a source such as partner, or a host, without scheme, port or path",
    ),
    (
        {"computed": "channel", "sources": {"search": "A", "video": ["b", "a"]}},
        "sources.video.1",
        "'a' is listed under search as well",
    ),
    (
        {"computed": "channel", "scope": "session", "of": ["events"]},
        "of.0",
        "scope session cannot serve events, counted as events arrive, before it is known which came first: take it out,"
        " or give it a breakdown of its own without a scope",
    ),
]


def test_a_computed_breakdown_has_its_values_by_itself() -> None:
    config = Config.model_validate({"breakdowns": {"b": {"computed": "traffic", "values": None, "scope": "session"}}})
    assert config.breakdowns["b"].labels() == ["paid", "organic", "direct", "referral", "other", "unknown"]
    assert config.breakdowns["b"].of == ("sessions", "funnels")
    assert config.breakdowns["b"].looks_back
    assert Config.model_validate(config.model_dump(mode="json")) == config
    channel = Config.model_validate({"breakdowns": {"b": {"computed": "channel"}}}).breakdowns["b"]
    assert channel.labels() == [*CHANNELS, "other", "unknown"]
    assert not channel.looks_back


def test_cells_of_a_computed_breakdown_are_expected_exactly() -> None:
    for computed in ("channel", "traffic"):
        breakdowns = {"b": {"computed": computed, "of": ["users", "sessions"]}, "p": PLATFORM}
        config = Config.model_validate({"breakdowns": breakdowns})
        assert expected_cells(config) == cost(config).cells


@pytest.mark.parametrize(
    ("raw", "path", "message"),
    [
        ({"lateness": "25h"}, "lateness", "found '25h', expected a duration from 0s to 24h"),
        ({"windows": ["59s"]}, "windows.0", "found '59s', expected a duration from 1m to 400d"),
        ({"windows": ["1m", "401d"]}, "windows.1", "found '401d', expected a duration from 1m to 400d"),
        ({"windows": []}, "windows", "found an empty list, expected at least 1"),
        ({"windows": ["1h", "24h", "1d"], "ratio_windows": []}, "windows.2", "24h is listed twice"),
        ({"dedup_horizon": "0s"}, "dedup_horizon", "found '0s', expected a duration from 1s to 24h"),
        (
            {"sessions": {"timeout": "25h"}},
            "sessions.timeout",
            "found '25h', expected a duration from 1s to 24h",
        ),
        (
            {"sessions": {"timeout": "2h", "max_duration": "1h"}},
            "sessions.max_duration",
            "found 1h, expected at least the session timeout, 2h",
        ),
        (
            {"funnels": {"f": FUNNEL | {"window": "91d"}}},
            "funnels.f.window",
            "found '91d', expected a duration from 1s to 90d",
        ),
        (
            {"funnels": {"f": FUNNEL | {"steps": ["A", "B"], "order": "strict", "reentry": "latest"}}},
            "funnels.f.reentry",
            "found latest with order strict, where repeating the first step ends the attempt and begins a new one:"
            " leave it out",
        ),
        (
            {"funnels": {"f": FUNNEL | {"steps": ["A", ["B", "C"]], "exclude": ["C", "b", "X"]}}},
            "funnels.f.exclude",
            "every event of step 2 is one of these, and ends the attempt before it counts as a step",
        ),
        (
            {"funnels": {"f": FUNNEL | {"hold": "userId"}}},
            "funnels.f.hold",
            "found 'userId', expected another field: userId says who it was, and is not published",
        ),
        (
            {"funnels": {"f": FUNNEL | {"hold": "properties"}}},
            "funnels.f.hold",
            "found 'properties', expected a field within properties, such as properties.plan",
        ),
        (
            {"funnels": {"f": FUNNEL | {"steps": ["A"]}}},
            "funnels.f.steps",
            "found a list of 1, expected at least 2",
        ),
        (
            {"funnels": {f"f{i}": FUNNEL for i in range(51)}},
            "funnels",
            "found a section, expected at most 50",
        ),
        (
            {"breakdowns": {f"b{i}": PLATFORM for i in range(9)}},
            "breakdowns",
            "found a section, expected at most 8",
        ),
        (
            {"breakdowns": {"b": PLATFORM | {"values": [f"v{i}" for i in range(254)]}}},
            "breakdowns.b.values",
            "found a list of 254, expected at most 253",
        ),
        (
            {"breakdowns": {"b": PLATFORM | {"values": ["iOS", "web", "ios"]}}},
            "breakdowns.b.values.2",
            "'ios' cannot be told from 'iOS': both are `ios`",
        ),
        (
            {"breakdowns": {"b": PLATFORM | {"values": ["Unknown"]}}},
            "breakdowns.b.values.0",
            "`unknown` is added by itself and cannot be listed",
        ),
        (
            {"breakdowns": {"b": PLATFORM | {"values": ["?!"]}}},
            "breakdowns.b.values.0",
            "found '?!', expected a value with a letter, digit or symbol",
        ),
        (
            {"breakdowns": {"b": PLATFORM | {"of": ["events", "events"]}}},
            "breakdowns.b.of.1",
            "events is listed twice",
        ),
        (
            {"breakdowns": {"b": PLATFORM | {"scope": "session", "of": ["sessions", "active_users"]}}},
            "breakdowns.b.of.1",
            "scope session cannot serve active_users, counted as events arrive, before it is known which came first:"
            " take it out, or give it a breakdown of its own without a scope",
        ),
        (
            {"breakdowns": {"b": PLATFORM | {"scope": "first", "of": ["events"]}}},
            "breakdowns.b.of.0",
            "scope first cannot serve events, counted as events arrive, before it is known which came first: take it"
            " out, or give it a breakdown of its own without a scope",
        ),
        (
            {"breakdowns": {"b": PLATFORM | {"scope": "user"}}},
            "breakdowns.b.scope",
            "found 'user', expected event, session or first",
        ),
        (
            {"breakdowns": {"a": PLATFORM | {"field": "context.device"}, "b": PLATFORM}},
            "breakdowns.b.field",
            "context.device.type lies inside context.device, which a reads as a plain value",
        ),
        (
            {"breakdowns": {"b": PLATFORM | {"field": "userId"}}},
            "breakdowns.b.field",
            "found 'userId', expected another field: userId says who it was, and is not published",
        ),
        (
            {"breakdowns": {"b": PLATFORM | {"field": "traits"}}},
            "breakdowns.b.field",
            "found 'traits', expected a field within traits, such as traits.plan",
        ),
        (
            {"key_actions": [{"event": ["A", "..."], "where": {"properties.x": "y"}}]},
            "key_actions.0.event.1",
            "found '...', expected a name with a letter, digit or symbol",
        ),
        (
            {"key_actions": [{"event": "A", "were": {}}]},
            "key_actions.0.were",
            "there is no such key",
        ),
        (
            {"key_actions": [{"event": "A", "as": "B"}]},
            "key_actions.0.as",
            "there is no such key",
        ),
        (
            {"funnels": {"f": FUNNEL | {"steps": ["A", ["B", {"event": "C", "as": "D"}]]}}},
            "funnels.f.steps.1.1.as",
            "only the first alternative names the step: move this there",
        ),
        (
            {"funnels": {"f": FUNNEL | {"steps": ["A", {"event": "C", "as": "?"}]}}},
            "funnels.f.steps.1.0.as",
            "found '?', expected a name with a letter, digit or symbol",
        ),
        (
            {"funnels": {"f": FUNNEL | {"steps": ["A", {"where": {"properties.x": "y"}}]}}},
            "funnels.f.steps.1.0.event",
            "this is missing",
        ),
        ({"key_actions": ["..."]}, "key_actions.0", "found '...', expected a name with a letter, digit or symbol"),
        (
            {"events": ["A/B Test", "a-b test"], "key_actions": ["A+B Test"]},
            "key_actions.0",
            "'A+B Test' cannot be told from 'A/B Test': both are `a_b_test`",
        ),
        (
            {"exclude": {"events": [{"event": "A", "where": {"userId": "x"}}]}},
            "exclude.events.0.where.userId",
            "found the name 'userId', expected another field: userId says who it was, and is not published",
        ),
        (
            {"presence": {"only": []}},
            "presence.only",
            "found an empty list, expected at least 1",
        ),
        ({"events": ["OTHER"]}, "events.0", "found 'OTHER', but `other` stands for all events not named"),
        ({"active_users": {"events": []}}, "active_users.events", "found an empty list, expected at least 1"),
        (
            {"exclude": {"events": ["order-completed"]}, "funnels": {"f": FUNNEL}},
            "exclude.events.0",
            "'order-completed' is left out here but wanted in funnels.f.steps.1",
        ),
        (
            {
                "exclude": {"events": [{"event": "A", "where": {"properties.x": [1, 2]}}]},
                "key_actions": [{"event": "a", "where": {"properties.x": "1", "properties.y": "2"}}],
            },
            "exclude.events.0",
            "'A' is left out here but wanted in key_actions",
        ),
        (
            {"windows": ["5m", "1h"], "ratio_windows": ["5m", "2h"]},
            "ratio_windows",
            "2h must also be listed in windows (5m, 1h)",
        ),
        (
            {"windows": ["5m", "1h"], "ratio_windows": [], "long_windows": ["1h", "24h"]},
            "long_windows",
            "24h must also be listed in windows (5m, 1h)",
        ),
        (
            {"windows": ["1h", "24h"], "ratio_windows": [], "long_windows": ["1h"], "retention": {"mode": "calendar"}},
            "long_windows",
            "found 1h, expected whole days, for retention by calendar counts dates",
        ),
        *(
            ({"breakdowns": {"b": broken}}, f"breakdowns.b.{path}".removesuffix("."), message)
            for broken, path, message in COMPUTED_WRONGLY
        ),
        (
            {"breakdowns": {"a": PLATFORM | {"field": "context.page"}, "b": {"computed": "channel"}}},
            "breakdowns.b.computed",
            "context.page.url lies inside context.page, which a reads as a plain value",
        ),
        (
            {"windows": ["1h", "24h"], "ratio_windows": [], "long_windows": ["1h"], "spend": {}},
            "long_windows",
            "found 1h, expected whole days, for what is spent is known by the day",
        ),
        (
            {"orders": {"currency": "EUR"}, "spend": {"currency": "USD"}},
            "spend.currency",
            "found USD, but orders are in EUR, and what a customer costs is compared with what one brings: convert one"
            " of them before it is sent",
        ),
        (
            {"spend": {}, "acquisition": {"customers": "orders"}},
            "acquisition.customers",
            "found orders, which are not measured: add the part `orders:`",
        ),
        ({"retention": {"days": [1, 7, 1]}}, "retention.days.2", "1 is listed twice"),
        ({"shards": 0}, "shards", "found 0, expected at least 1"),
        ({"version": 2}, "version", "found 2, expected 1"),
        ({"sessions": []}, "sessions", "found an empty list, expected a section (key: value)"),
        ({"events": "Order Completed"}, "events", "found 'Order Completed', expected a list"),
        ({"funnels": {"f": {"steps": ["A", "B"]}}}, "funnels.f.window", "this is missing"),
        ({"events": [None]}, "events.0", "found nothing, expected text"),
    ],
)
def test_what_cannot_be_meant_is_refused(raw: dict[str, Any], path: str, message: str) -> None:
    assert (path, message) in [(place, text) for place, text, _ in found(raw)]


def test_more_event_names_than_are_told_apart_are_refused() -> None:
    raw = {"events": [f"e{i}" for i in range(600)], "key_actions": [f"k{i}" for i in range(401)]}
    assert found(raw) == [("", "1001 event names are told apart, at most 1000 can be", None)]
    Config.model_validate({"events": raw["events"], "key_actions": raw["key_actions"][:400]})


@pytest.mark.parametrize(
    ("raw", "suggestion"),
    [
        ({"latness": "1s"}, "lateness"),
        ({"timezone": "UTC"}, "time_zone"),
        ({"timeout": "1h"}, "sessions.timeout"),
        ({"sessions": {"engaged": {"view": 1}}}, "views"),
        ({"sessions": {"lateness": "1s"}}, "lateness"),
        ({"funnels": {"f": FUNNEL | {"step": []}}}, "steps"),
        ({"time_zone": "Berlin"}, "Europe/Berlin"),
        ({"time_zone": "europe/berlin"}, "Europe/Berlin"),
        ({"time_zone": "Asia/Shangai"}, "Asia/Shanghai"),
        ({"sessions": {"bounce": "single-event"}}, "single_event"),
        ({"product": "My Shop!"}, "my_shop"),
        ({"funnels": {"Check Out": FUNNEL}}, "check_out"),
        ({"lateness": "1:30"}, "90m"),
        ({"lateness": 10}, "10s or 10m"),
        ({"breakdowns": {"b": PLATFORM | {"field": "$.contxt.device.type"}}}, "context.device.type"),
        ({"breakdowns": {"b": PLATFORM | {"field": "properties.Plan Type"}}}, 'properties."Plan Type"'),
        ({"presence": {"excpt": ["A"]}}, "except"),
        ({"breakdowns": {"window": PLATFORM}}, "window_name"),
    ],
)
def test_what_was_probably_meant_is_suggested(raw: dict[str, Any], suggestion: str) -> None:
    assert [likely for _, _, likely in found(raw)] == [suggestion]


def test_nothing_is_suggested_for_what_resembles_nothing() -> None:
    assert found({"zzqqxx": 1}) == [("zzqqxx", "there is no such key", None)]


@pytest.mark.parametrize("zone", ["/etc/passwd", "../UTC", "Europe", "", "\0", "UTC\n", "x" * 10_000])
def test_a_time_zone_that_is_none_is_refused_whatever_it_is(zone: str) -> None:
    assert [path for path, _, _ in found({"time_zone": zone})] == ["time_zone"]


def test_all_broken_rules_are_told_at_once() -> None:
    paths = [
        path
        for path, _, _ in found(
            {
                "key_actions": ["!!!", "Buy"],
                "exclude": {"events": ["buy"]},
                "ratio_windows": ["2h"],
                "sessions": {"timeout": "2h", "max_duration": "1h"},
            }
        )
    ]
    assert sorted(paths) == ["exclude.events.0", "key_actions.0", "ratio_windows", "sessions.max_duration"]


def test_what_is_odd_but_possible_is_only_remarked() -> None:
    config = Config.model_validate(
        {
            "funnels": {"f": {"window": "1h", "steps": ["A", ["B", "a"], "C"]}},
            "events": ["X", "x"],
            "churn_after": "30m",
        }
    )
    assert [(remark.path, remark.message) for remark in remarks(config)] == [
        (("funnels", "f", "steps", 1), "step 2 can be the same event as step 1, which must then come twice"),
        (("events", 1), "'x' is listed twice (x)"),
        (
            ("churn_after",),
            "30m is not longer than a session's timeout, 30m: users will churn within a visit",
        ),
    ]
    assert list(remarks(Config())) == []


@pytest.mark.parametrize(
    "breakdowns",
    [
        {},
        {"platform": PLATFORM},
        {
            "platform": PLATFORM | {"of": ["sessions"]},
            "plan": {"field": "traits.plan", "values": ["a"], "of": ["events"]},
        },
        {"platform": PLATFORM | {"of": ["visitors"]}, "plan": PLATFORM | {"values": ["a"], "of": ["visitors"]}},
    ],
)
def test_the_number_of_cells_is_known_without_making_them(breakdowns: dict[str, Any]) -> None:
    config = Config.model_validate({"funnels": {"f": FUNNEL}, "breakdowns": breakdowns})
    assert expected_cells(config) == cost(config).cells


@pytest.mark.parametrize(
    "asking",
    [{"goals": {"g": "A"}}, {"features": {"f": "A"}}, {"breakdowns": {"b": PLATFORM | {"of": ["visitors"]}}}],
)
def test_visitors_are_measured_for_goals_and_features_and_where_they_are_broken_down(asking: dict[str, Any]) -> None:
    assert Config.model_validate(asking).measures_visitors
    assert not Config().measures_visitors


def test_a_number_of_cells_that_no_memory_holds_is_known_as_well() -> None:
    values = [f"v{number}" for number in range(253)]
    config = Config.model_validate(
        {
            "funnels": {f"f{i}": {"window": "1h", "steps": [f"e{j}" for j in range(20)]} for i in range(12)},
            "breakdowns": {f"b{i}": {"field": f"context.b{i}", "values": values} for i in range(8)},
        }
    )
    assert expected_cells(config) > 5_000_000


def test_subscriptions_are_off_unless_asked_for() -> None:
    assert Config().subscriptions is None
    assert Config.model_validate({"subscriptions": None}).subscriptions is None


def test_a_currency_knows_its_minor_unit() -> None:
    def decimals(currency: str) -> int:
        section = Config.model_validate({"subscriptions": {"currency": currency}}).subscriptions
        assert section is not None
        return section.decimals

    assert {currency: decimals(currency) for currency in ("USD", "eur", "JPY", "KRW", "CLP", "KWD", "BHD", "TND")} == {
        "USD": 2,
        "eur": 2,
        "JPY": 0,
        "KRW": 0,
        "CLP": 0,
        "KWD": 3,
        "BHD": 3,
        "TND": 3,
    }


def test_all_pairs_of_plans_are_told_apart_unless_some_are_chosen() -> None:
    section = Config.model_validate({"subscriptions": {"plans": ["Basic", "Pro"]}}).subscriptions
    assert section is not None
    assert section.pairs() == [("basic", "pro"), ("pro", "basic")]
    chosen = section.model_copy(update={"moves": (("Pro", "BASIC"),)})
    assert chosen.pairs() == [("pro", "basic")]
    assert section.model_copy(update={"moves": ()}).pairs() == []


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"currency": "dollars"}, "currency"),
        ({"plans": ["Pro", "pro"]}, "cannot be told from"),
        ({"plans": ["Other"]}, "is added by itself"),
        ({"plans": ["!"]}, "letter, digit or symbol"),
        ({"plans": ["pro"], "moves": [["pro", "basic"]]}, "expected one of the plans"),
        ({"plans": ["pro"], "moves": [["pro", "Pro"]]}, "is no move"),
        ({"events": {"Plan Changed": "happy"}}, "events"),
        ({"events": {"Plan Changed": None, "plan changed": None}}, "cannot be told from"),
        ({"statuses": {"Unpaid": "paused", "unpaid": "past_due"}}, "cannot be told from"),
        ({"events": {}}, "events"),
    ],
)
def test_what_cannot_be_measured_of_subscriptions_is_refused(section: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Config.model_validate({"subscriptions": section})
    told = str(refused.value) + str([detail.get("ctx") for detail in refused.value.errors()])
    assert said in told


def test_an_event_of_subscriptions_cannot_be_excluded() -> None:
    with pytest.raises(ValidationError):
        Config.model_validate({"subscriptions": {}, "exclude": {"events": ["subscription changed"]}})
