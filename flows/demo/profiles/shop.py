"""A web shop: products are looked at, some are ordered, and some visitors become members."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from flows.demo.profile import BOUNCES, END, Expense, Facts, Later, Persona, Profile, Rhythm, Scene, Subscribers, Way
from flows.demo.profiles.arrivals import campaign, link
from flows.demo.profiles.support import SUPPORT, one_of

PERSONAS: Final = (
    Persona("bouncer", share=0.40, returns=0.10, chances={
        BOUNCES: 0.84, "decides": 0.83, "adds": 0.02, "checks out": 0.20, "orders": 0.30, "signs up": 0.00,
    }),
    Persona("browser", share=0.34, returns=0.45, chances={
        BOUNCES: 0.22, "decides": 0.29, "adds": 0.10, "checks out": 0.30, "orders": 0.40, "signs up": 0.05,
    }),
    Persona("buyer", share=0.18, returns=0.70, chances={
        BOUNCES: 0.13, "decides": 0.40, "adds": 0.18, "checks out": 0.55, "orders": 0.70, "signs up": 0.40,
    }),
    Persona("loyal", share=0.08, returns=0.93, chances={
        BOUNCES: 0.10, "decides": 0.50, "adds": 0.15, "checks out": 0.60, "orders": 0.80, "signs up": 0.80,
    }),
)  # fmt: skip

SITE: Final = "https://shop.example/"
WAYS: Final = (
    Way(0.30),  # typed in, or a bookmark
    Way(0.30, link(SITE, "https://www.google.com/")),
    Way(0.14, campaign(SITE, "google", "cpc", "autumn", click="gclid=x1"), "paid_search", cost=0.95),
    Way(0.09, campaign(SITE, "newsletter", "email", "weekly"), "email", cost=0.01),
    Way(0.08, campaign(SITE, "instagram", "paid_social", "stories"), "paid_social", cost=0.55),
    Way(0.06, link(SITE, "https://prices.example/")),
    Way(0.03, campaign(SITE, "blog", "affiliate"), "affiliates", cost=0.45),
)

SHIPPING: Final = 4.90


def _product(facts: Facts, rng: Random) -> Mapping[str, object]:
    number = 1 + int(399 * rng.random())
    facts["product"], facts["price"] = f"p-{number}", f"{5 + number * 37 % 195}.{number % 100:02d}"
    return {"product_id": facts["product"], "price": facts["price"]}


def _added(facts: Facts, rng: Random) -> Mapping[str, object]:
    return {"product_id": facts["product"], "quantity": 1}


def _checkout(facts: Facts, rng: Random) -> Mapping[str, object]:
    return {"value": facts["price"]}


def _order(facts: Facts, rng: Random) -> Mapping[str, object]:
    facts["order"] = f"o-{rng.getrandbits(40):010x}"
    total = f"{float(facts['price']) + SHIPPING:.2f}"
    return {"order_id": facts["order"], "revenue": facts["price"], "total": total, "currency": "EUR"}


def _refund(facts: Facts, rng: Random) -> Mapping[str, object]:
    back = facts["price"] if rng.random() < 0.4 else f"{float(facts['price']) / 2:.2f}"
    refund = f"f-{rng.getrandbits(40):010x}"
    return {"order_id": facts["order"], "refund_id": refund, "total": back, "currency": "EUR"}


def _cancelled(facts: Facts, rng: Random) -> Mapping[str, object]:
    return {"order_id": facts["order"]}


SCENES: Final[Mapping[str, Scene]] = {
    "home": Scene(
        "view",
        "Home",
        {END: BOUNCES, "signing up": "signs up", "signing in": 0.25, "product": 1},
        path="/",
        arrives=True,
    ),
    "signing up": Scene(
        "track", "Signed Up", {"identify": 1}, one_of(method=("email",)), only="stranger", signs_up=True
    ),
    # The shop has forgotten the login.
    "signing in": Scene("track", "Signed In", {"identify": 1}, one_of(method=("password",)), only="user"),
    "identify": Scene("identify", then={"product": 1}),
    "product": Scene(
        "track", "Product Viewed", {"decision": "decides", "category": 0.3, "feature": 0.14, "product": 1}, _product
    ),
    "category": Scene("view", "Category", {"product": 1}, path="/category"),
    "feature": Scene(
        "track",
        "Feature Used",
        {"wish": 0.01, "feedback": 0.02, "product": 1},
        one_of(feature=("search", "filters", "reviews", "size guide", "wishlist")),
    ),
    "decision": Scene("", then={"basket": "adds"}),
    "basket": Scene("track", "Product Added", {"basket page": 1}, _added, sells=True),
    "basket page": Scene("view", "Basket", {"checkout": "checks out"}, path="/basket"),
    "checkout": Scene("track", "Checkout Started", {"order": "orders"}, _checkout, sells=True),
    "order": Scene(
        "track",
        "Order Completed",
        {"feedback": 0.03},
        _order,
        later=(
            Later("refund", 0.06, mean_days=4.0),
            Later("cancellation", 0.02, mean_days=0.1),
            Later("ticket", 0.07, mean_days=2.0),
            Later("effort", 0.06, mean_days=0.1),
            Later("recommendation", 0.09, mean_days=5.0),
        ),
        sells=True,
        subscribes=0.02,
    ),
    "refund": Scene("track", "Order Refunded", properties=_refund, server=True),
    "cancellation": Scene("track", "Order Cancelled", properties=_cancelled, server=True),
    **SUPPORT,
}

RHYTHM: Final = Rhythm(
    hours=(
        0.85, 0.60, 0.45, 0.40, 0.40, 0.42, 0.50, 0.65, 0.80, 0.92, 1.00, 1.05,
        1.10, 1.08, 1.05, 1.08, 1.15, 1.25, 1.40, 1.60, 1.75, 1.70, 1.45, 1.15,
    ),
    weekdays=(0.96, 0.93, 0.94, 0.98, 1.00, 1.09, 1.10),
)  # fmt: skip
"""Most come in the evening, and on Sunday."""

LIFE: Final = {
    "trialing": {"converts": 1.4, "lapses": 0.8},
    "active": {
        "upgrades": 0.025, "downgrades": 0.012, "adds seats": 0.01, "drops a seat": 0.006, "switches to yearly": 0.01,
        "payment fails": 0.03, "wants to leave": 0.02, "leaves": 0.012, "pauses": 0.005,
    },
    "past_due": {"pays after all": 5.0, "is cut off": 0.8},
    "paused": {"goes on": 1.0, "leaves": 0.4},
    "cancelled": {"comes back": 0.02},
    "expired": {"comes back": 0.01},
}  # fmt: skip

SHOP: Final = Profile(
    "shop",
    "a web shop",
    personas=PERSONAS,
    platforms={"web": 0.54, "ios": 0.25, "android": 0.19, "tv": 0.012, None: 0.008},  # no config lists a television
    ways=WAYS,
    begins={"home": 1},
    scenes=SCENES,
    rhythm=RHYTHM,
    events_per_visit=3.9,
    subscribers=Subscribers(
        there=1_500,
        prices=("9.90", "19.90", "49.00"),
        trials=0.3,
        life=LIFE,
    ),
    expenses=(Expense("marketing", 60.0, "email"), Expense("other", 45.0)),
)
