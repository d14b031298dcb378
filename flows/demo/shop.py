"""The simulated product: who visits the web shop, and what one visit does there.

A visit is a generator of steps; it knows nothing of clocks, Kafka or disorder. A step's pause is the time
the visitor takes before doing it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from zlib import crc32

from flows.demo.scenarios import Conditions


@dataclass(frozen=True, slots=True)
class Persona:
    """A way of using the shop; all numbers but the means are probabilities."""

    name: str
    share: float  # of new visitors
    returns: float  # comes back after a visit
    leaves_at_once: float  # sees one page only
    products: float  # mean number of products looked at
    adds: float  # puts something into the basket
    checks_out: float
    orders: float
    signs_up: float  # while still anonymous


PERSONAS = (
    Persona(
        "bouncer", share=0.40, returns=0.10, leaves_at_once=0.84, products=1.2,
        adds=0.02, checks_out=0.20, orders=0.30, signs_up=0.00,
    ),
    Persona(
        "browser", share=0.34, returns=0.45, leaves_at_once=0.22, products=3.5,
        adds=0.10, checks_out=0.30, orders=0.40, signs_up=0.05,
    ),
    Persona(
        "buyer", share=0.18, returns=0.70, leaves_at_once=0.13, products=2.5,
        adds=0.18, checks_out=0.55, orders=0.70, signs_up=0.40,
    ),
    Persona(
        "loyal", share=0.08, returns=0.93, leaves_at_once=0.10, products=2.0,
        adds=0.15, checks_out=0.60, orders=0.80, signs_up=0.80,
    ),
)  # fmt: skip

PLATFORMS: Mapping[str | None, float] = {"web": 0.54, "ios": 0.25, "android": 0.19, "tv": 0.012, None: 0.008}
"""Shares of device types; a television is listed in no config, and some clients do not say."""

MOBILE = ("ios", "android")

WAYS = {
    "direct": 0.30,  # typed in, or a bookmark
    "search": 0.30,
    "google_cpc": 0.14,
    "newsletter": 0.09,
    "instagram": 0.08,
    "price_comparison": 0.06,
    "affiliate": 0.03,
}
"""Shares of ways to the shop."""

ARRIVALS: Mapping[str, Mapping[str, object]] = {
    "direct": {},
    "search": {"page": {"url": "https://shop.example/", "referrer": "https://www.google.com/"}},
    "google_cpc": {
        "page": {"url": "https://shop.example/?gclid=x1&utm_source=google&utm_medium=cpc&utm_campaign=autumn"},
        "campaign": {"source": "google", "medium": "cpc", "name": "autumn"},
    },
    "newsletter": {
        "page": {"url": "https://shop.example/?utm_source=newsletter&utm_medium=email&utm_campaign=weekly"},
        "campaign": {"source": "newsletter", "medium": "email", "name": "weekly"},
    },
    "instagram": {
        "page": {"url": "https://shop.example/", "referrer": "https://l.instagram.com/"},
        "campaign": {"source": "instagram", "medium": "social", "name": "stories"},
    },
    "price_comparison": {"page": {"url": "https://shop.example/", "referrer": "https://prices.example/"}},
    "affiliate": {
        "page": {"url": "https://shop.example/?utm_source=blog&utm_medium=affiliate"},
        "campaign": {"source": "blog", "medium": "affiliate"},
    },
}
"""What the context of a visit's first event tells of the way."""

FEATURES = ("search", "filters", "reviews", "size guide", "wishlist")
REFUNDED = 0.06  # of orders, most of them in part
REFUND_DAYS = 4.0  # mean

MEAN_PAUSE_S = {"page": 20.0, "screen": 14.0, "track": 12.0, "identify": 0.15}
LONGEST_PAUSE_S = 240.0

EVENTS_PER_VISIT = 4.2
"""Measured over 14 days; turns events per second into visits per second."""


_PERSONA_WEIGHTS = list(accumulate(persona.share for persona in PERSONAS))
_PLATFORMS, _PLATFORM_WEIGHTS = list(PLATFORMS), list(accumulate(PLATFORMS.values()))
_WAYS, _WAY_WEIGHTS = list(WAYS), list(accumulate(WAYS.values()))


@dataclass(slots=True)
class Visitor:
    """One device and the person in front of it."""

    anonymous_id: str
    persona: Persona
    platform: str | None
    user_id: str | None = None  # since signing up
    bot: bool = False
    mobile: bool = field(init=False)  # its events can be held back by a bad network
    hash: int = field(init=False)  # its events go to a partition by it

    def __post_init__(self) -> None:
        self.mobile = self.platform in MOBILE
        self.hash = crc32(self.anonymous_id.encode())


@dataclass(frozen=True, slots=True)
class Step:
    """One thing a visitor does."""

    kind: str  # track, page, screen or identify
    name: str  # of the event or the page; empty for identify
    pause_s: float  # taken before it
    properties: Mapping[str, object] = field(default_factory=dict)
    context: Mapping[str, object] = field(default_factory=dict)  # beyond device and robots


def new_visitor(number: int, rng: Random) -> Visitor:
    """A person never seen before."""
    (persona,) = rng.choices(PERSONAS, cum_weights=_PERSONA_WEIGHTS)
    (platform,) = rng.choices(_PLATFORMS, cum_weights=_PLATFORM_WEIGHTS)
    return Visitor(f"a-{number:06d}-{rng.getrandbits(32):08x}", persona, platform)


def visit(visitor: Visitor, conditions: Conditions, rng: Random) -> Iterator[Step]:
    """What the visitor does from opening the shop until leaving it."""
    persona = visitor.persona
    view = "screen" if visitor.mobile else "page"

    def step(kind: str, name: str = "", **properties: object) -> Step:
        return Step(kind, name, min(rng.expovariate(1 / MEAN_PAUSE_S[kind]), LONGEST_PAUSE_S), properties)

    def goes_on(probability: float) -> bool:
        return rng.random() < probability * conditions.purchase

    (way,) = rng.choices(_WAYS, cum_weights=_WAY_WEIGHTS)
    yield Step(view, "Home", 0.0, context=ARRIVALS[way])
    if rng.random() < max(persona.leaves_at_once, conditions.leaves_at_once):
        return
    if visitor.user_id is None and rng.random() < persona.signs_up:
        visitor.user_id = "u" + visitor.anonymous_id[1:]
        yield step("track", "Signed Up", method="email")
        yield step("identify")
    elif visitor.user_id is not None and rng.random() < 0.25:  # the shop has forgotten the login
        yield step("track", "Signed In", method="password")
        yield step("identify")
    while True:
        product = 1 + int(399 * rng.random())
        price = f"{5 + product * 37 % 195}.{product % 100:02d}"
        yield step("track", "Product Viewed", product_id=f"p-{product}", price=price)
        if rng.random() < 1 / persona.products:
            break
        luck = rng.random()
        if luck < 0.3:
            yield step(view, "Category")
        elif luck < 0.4:
            yield step("track", "Feature Used", feature=rng.choice(FEATURES))
    if not goes_on(persona.adds):
        return
    yield step("track", "Product Added", product_id=f"p-{product}", quantity=1)
    yield step(view, "Basket")
    if not goes_on(persona.checks_out):
        return
    yield step("track", "Checkout Started", value=price)
    if not goes_on(persona.orders):
        return
    order_id = f"o-{rng.getrandbits(40):010x}"
    yield step("track", "Order Completed", order_id=order_id, revenue=price, currency="EUR")
    if rng.random() < REFUNDED:
        back = price if rng.random() < 0.4 else f"{float(price) / 2:.2f}"
        pause_s = 86_400 * rng.expovariate(1 / REFUND_DAYS)
        yield Step("track", "Order Refunded", pause_s, {"order_id": order_id, "revenue": back, "currency": "EUR"})


def crawl(rng: Random) -> Iterator[Step]:
    """What a search engine's robot does: many pages, at once."""
    for number in range(rng.randrange(5, 20)):
        yield Step("page", "Category", 0.3 if number else 0.0)
