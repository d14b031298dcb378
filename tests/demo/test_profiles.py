"""The products that the demo can simulate: each whole, in its own rhythm, with rates as real products have them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from zoneinfo import ZoneInfo

import pytest

from flows.commands.demo import default_config
from flows.config.file import load
from flows.config.model import Config
from flows.demo.profile import BOUNCES, Profile
from flows.demo.profiles import PROFILES
from flows.demo.simulator import Simulator
from tests.demo.rates import Rates, rates

MONDAY_MS = 1_789_948_800_000  # 2026-09-21T00:00:00Z
DAYS = 10
UTC = ZoneInfo("UTC")
names = pytest.mark.parametrize("name", PROFILES)


@dataclass(frozen=True)
class Usual:
    """What a real product of the kind is like."""

    bounce: float
    next_day: float = 0.25
    churn: float = 0.04


USUAL = {"shop": Usual(bounce=0.45), "saas": Usual(bounce=0.45), "media": Usual(bounce=0.65)}
SOLD = {"shop": "Order Completed", "saas": "Signed Up", "media": "Newsletter Subscribed"}
MEASURED = {
    "shop": {"Product Viewed", "Product Added", "Checkout Started", "Order Refunded", "Order Cancelled"},
    "saas": {"Account Created", "Trial Started", "Report Created", "Report Shared", "Feature Used", "Invite Sent"},
    "media": {"Article Read", "Article Shared", "Video Playback Started", "Video Playback Completed"},
}
EVERYWHERE = {
    *("Signed Up", "Subscription Changed", "Marketing Spend Recorded", "Survey Responded", "Feedback Submitted"),
    *("Ticket Created", "Ticket Resolved"),
}


def config_of(profile: Profile) -> Config:
    return load(default_config(profile), environment={}).config


@cache
def measured(name: str) -> Rates:
    """Of ten days with some 3,000 events each."""
    profile = PROFILES[name]
    return rates(config_of(profile), profile, mean_rate=0.1, days=DAYS, start_ms=MONDAY_MS)


@names
def test_a_profile_has_the_rates_of_a_real_product(name: str) -> None:
    found, usual = measured(name), USUAL[name]
    assert found.bounce == pytest.approx(usual.bounce, abs=0.03)
    assert found.next_day == pytest.approx(usual.next_day, abs=0.035)
    assert found.day_after == pytest.approx(usual.next_day, abs=0.05)
    assert found.churn == pytest.approx(usual.churn, abs=0.012)
    assert 0.01 < found.events[SOLD[name]] / found.visits < 0.06


@names
def test_a_visit_has_as_many_events_as_the_profile_says(name: str) -> None:
    assert measured(name).events_per_visit == pytest.approx(PROFILES[name].events_per_visit, rel=0.06)


@names
def test_everything_happens_that_later_numbers_are_made_of(name: str) -> None:
    assert set(measured(name).events) >= EVERYWHERE | MEASURED[name]


@names
def test_scenes_lead_to_scenes_and_chances_are_known(name: str) -> None:
    profile = PROFILES[name]
    for then in (profile.begins, *(scene.then for scene in profile.scenes.values())):
        assert set(then) <= {*profile.scenes, ""}
        named = {chance for chance in then.values() if isinstance(chance, str)}
        assert all(named <= set(persona.chances) for persona in profile.personas)
    later = {one.scene for scene in profile.scenes.values() for one in scene.later}
    assert later <= set(profile.scenes)
    reached = {*profile.begins, *later, *(target for scene in profile.scenes.values() for target in scene.then)}
    assert set(profile.scenes) <= reached
    assert all(BOUNCES in persona.chances for persona in profile.personas)


@names
def test_shares_add_up_and_the_mean_of_a_rhythm_is_one(name: str) -> None:
    profile = PROFILES[name]
    assert sum(persona.share for persona in profile.personas) == pytest.approx(1)
    assert sum(way.share for way in profile.ways) == pytest.approx(1)
    assert sum(profile.platforms.values()) == pytest.approx(1)
    levels = [profile.rhythm.level(MONDAY_MS + hour * 3_600_000, UTC) for hour in range(24 * 7)]
    assert sum(levels) / len(levels) == pytest.approx(1)


def level(name: str, day: int, hour: int) -> float:
    return PROFILES[name].rhythm.level(MONDAY_MS + (24 * day + hour) * 3_600_000, UTC)


def test_an_application_is_used_in_office_hours_and_a_magazine_in_the_evening_and_at_weekends() -> None:
    monday, saturday = 0, 5
    assert level("saas", monday, 10) > 1.5 * level("saas", monday, 20) > 0
    assert level("saas", monday, 10) > 2 * level("saas", saturday, 10)
    assert level("media", monday, 21) > 1.5 * level("media", monday, 10)
    assert level("media", saturday, 12) > 1.2 * level("media", monday, 12)


@names
def test_the_same_seed_gives_the_same_records(name: str) -> None:
    profile = PROFILES[name]

    def some() -> list[object]:
        simulator = Simulator(config_of(profile), profile=profile, start_ms=MONDAY_MS, rate=0.1, days=1)
        return list(itertools.islice(simulator.records(), 5_000))

    assert some() == some()


def test_who_is_invited_joins_as_somebody_new() -> None:
    profile = PROFILES["saas"]
    simulator = Simulator(config_of(profile), profile=profile, start_ms=MONDAY_MS, rate=0.1, days=5)
    events = [record.event for record in itertools.islice(simulator.records(), 20_000) if record.event]
    bodies = [event.body for event in sorted(events, key=lambda event: event.ts_ms)]  # not as they arrive
    joined = [body for body in bodies if body.get("event") == "Signed Up" and body["properties"]["referred"]]
    assert len(joined) > 20
    first: dict[str, str] = {}
    for body in bodies:
        if "anonymousId" in body:
            first.setdefault(body["anonymousId"], body["messageId"])
    assert sum(first[body["anonymousId"]] == body["messageId"] for body in joined) > 0.9 * len(joined)
