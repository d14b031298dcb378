"""A B2B application: teams sign up, try it, subscribe, make reports, and invite each other, in office hours."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from flows.demo.profile import (
    BOUNCES,
    END,
    Chance,
    Expense,
    Facts,
    Later,
    Persona,
    Profile,
    Rhythm,
    Scene,
    Subscribers,
    Way,
)
from flows.demo.profiles.arrivals import campaign, link
from flows.demo.profiles.support import SUPPORT, one_of

PERSONAS: Final = (
    Persona("looker", share=0.60, returns=0.24, chances={
        BOUNCES: 0.72, "signs up": 0.003, "goes on": 0.30, "creates": 0.05, "shares": 0.02, "invites": 0.00,
    }),
    Persona("evaluator", share=0.31, returns=0.70, chances={
        BOUNCES: 0.40, "signs up": 0.04, "goes on": 0.55, "creates": 0.14, "shares": 0.08, "invites": 0.02,
    }),
    Persona("member", share=0.07, returns=0.97, chances={
        BOUNCES: 0.20, "signs up": 0.40, "goes on": 0.78, "creates": 0.16, "shares": 0.22, "invites": 0.005,
    }),
    Persona("champion", share=0.02, returns=0.98, chances={
        BOUNCES: 0.14, "signs up": 0.60, "goes on": 0.84, "creates": 0.28, "shares": 0.30, "invites": 0.02,
    }),
)  # fmt: skip

SITE: Final = "https://desk.example/"
WAYS: Final = (
    Way(0.28),
    Way(0.30, link(SITE, "https://www.google.com/")),
    Way(0.16, campaign(SITE, "google", "cpc", "reports", click="gclid=x1"), "paid_search", cost=1.10),
    Way(0.10, campaign(SITE, "linkedin", "paid_social", "teams"), "paid_social", cost=1.60),
    Way(0.10, link(SITE, "https://reviews.example/")),
    Way(0.06, campaign(SITE, "newsletter", "email"), "email", cost=0.05),
)


def _report(facts: Facts, rng: Random) -> Mapping[str, object]:
    facts["report"] = f"r-{rng.getrandbits(32):08x}"
    return {"report_id": facts["report"], "kind": rng.choices(("weekly", "monthly", "adhoc"), (5, 2, 6))[0]}


def _opened(facts: Facts, rng: Random) -> Mapping[str, object]:
    facts.setdefault("report", f"r-{rng.getrandbits(32):08x}")
    return {"report_id": facts["report"]}


NEXT: Final[Mapping[str, Chance]] = {
    END: 0.04,
    "report": "creates",
    "invite": "invites",
    "feature": 0.22,
    "open": 0.4,
    "more": 1,
}
"""What may follow in the application."""

SCENES: Final[Mapping[str, Scene]] = {
    "home": Scene("view", "Home", {END: BOUNCES, "pricing": 0.45, "tour": 1}, path="/", arrives=True),
    "pricing": Scene("view", "Pricing", {"signing up": "signs up", "tour": 0.4}, path="/pricing"),
    "tour": Scene("view", "Tour", {"signing up": "signs up", "pricing": 0.25}, path="/tour", pause_s=40.0),
    "signing up": Scene(
        "track",
        "Signed Up",
        {"identify": 1},
        lambda facts, rng: {"method": "email", "referred": False},
        only="stranger",
        signs_up=True,
    ),
    "accepting": Scene(
        "track",
        "Signed Up",
        {"identify as member": 1},
        lambda facts, rng: {"method": "invite", "referred": True},
        only="stranger",
        signs_up=True,
    ),
    "identify": Scene("identify", then={"account": 0.85}),
    "identify as member": Scene("identify", then={"dashboard": 1}),
    "account": Scene("track", "Account Created", {"trial": 0.9, "dashboard": 1}, subscribes=0.35, sells=True),
    "trial": Scene("track", "Trial Started", {"dashboard": 1}, one_of(plan=("team", "business")), sells=True),
    "signing in": Scene("track", "Signed In", {"dashboard": 1}, one_of(method=("sso", "password")), only="user"),
    "dashboard": Scene("view", "Dashboard", {END: 0.06, **NEXT}, path="/app", only="user"),
    "open": Scene("track", "Report Opened", {"share": "shares", "more": 1}, _opened, pause_s=25.0),
    "report": Scene(
        "track",
        "Report Created",
        {"share": "shares", "feedback": 0.01, "more": 1},
        _report,
        pause_s=70.0,
        later=(Later("effort", 0.01, mean_days=0.05), Later("recommendation", 0.012, mean_days=3.0)),
    ),
    "share": Scene("track", "Report Shared", {"more": 1}, _opened),
    "feature": Scene(
        "track",
        "Feature Used",
        {"wish": 0.01, "more": 1},
        one_of(feature=("search", "filters", "export", "comments", "alerts", "dark mode")),
        later=(Later("ticket", 0.008, mean_days=0.05),),
    ),
    "invite": Scene(
        "track",
        "Invite Sent",
        {"invite": 0.3, "more": 1},
        one_of(role=("member", "viewer")),
        later=(Later("accepting", 0.4, mean_days=0.8, newcomer=True),),
    ),
    "more": Scene("", then={"again": "goes on"}),
    "again": Scene("", then=NEXT),
    **SUPPORT,
}

RHYTHM: Final = Rhythm(
    hours=(
        0.25, 0.22, 0.20, 0.20, 0.22, 0.28, 0.45, 0.90, 1.60, 2.10, 2.25, 2.10,
        1.60, 1.85, 2.10, 2.05, 1.80, 1.30, 0.85, 0.65, 0.55, 0.48, 0.40, 0.32,
    ),
    weekdays=(1.18, 1.25, 1.25, 1.20, 1.02, 0.50, 0.60),
)  # fmt: skip
"""Offices, most of them in one time zone."""

LIFE: Final = {
    "trialing": {"converts": 0.55, "lapses": 1.6},
    "active": {
        "upgrades": 0.035, "downgrades": 0.012, "adds seats": 0.12, "drops a seat": 0.05, "switches to yearly": 0.02,
        "payment fails": 0.03, "wants to leave": 0.026, "leaves": 0.018, "pauses": 0.004,
    },
    "past_due": {"pays after all": 5.0, "is cut off": 0.8},
    "paused": {"goes on": 1.0, "leaves": 0.4},
    "cancelled": {"comes back": 0.02},
    "expired": {"comes back": 0.02},
}  # fmt: skip

SAAS: Final = Profile(
    "saas",
    "a B2B application",
    personas=PERSONAS,
    platforms={"web": 0.86, "ios": 0.08, "android": 0.05, None: 0.01},
    ways=WAYS,
    begins={"signing in": 0.2, "dashboard": 1, "home": 1},
    scenes=SCENES,
    rhythm=RHYTHM,
    events_per_visit=2.55,
    returning=1,  # at night nobody new begins to work with it
    same_day=0.3,
    next_days=0.9,
    subscribers=Subscribers(
        there=2_500,
        prices=("49.00", "129.00", "390.00"),
        trials=0.85,
        life=LIFE,
    ),
    expenses=(Expense("sales", 420.0), Expense("marketing", 150.0, "organic_search"), Expense("other", 120.0)),
)
