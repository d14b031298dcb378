"""The simulated product: who visits the web shop, and what one visit does there.

A visit is a generator of steps; it knows nothing of clocks, Kafka or disorder. A step's pause is the time
the visitor takes before doing it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random

from flows.demo.scenarios import Conditions


@dataclass(frozen=True, slots=True)
class Persona:
    """A way of using the shop; all numbers but the means are probabilities."""

    name: str
    share: float  # of new visitors
    returns: float  # comes back, once chosen as a returning visitor
    leaves_at_once: float  # sees one page only
    products: float  # mean number of products looked at
    adds: float  # puts something into the basket
    checks_out: float
    orders: float
    signs_up: float  # while still anonymous


PERSONAS = (
    Persona(
        "bouncer", share=0.40, returns=0.05, leaves_at_once=0.92, products=1.2,
        adds=0.02, checks_out=0.20, orders=0.30, signs_up=0.00,
    ),
    Persona(
        "browser", share=0.34, returns=0.35, leaves_at_once=0.20, products=3.5,
        adds=0.18, checks_out=0.30, orders=0.40, signs_up=0.05,
    ),
    Persona(
        "buyer", share=0.18, returns=0.60, leaves_at_once=0.05, products=2.5,
        adds=0.70, checks_out=0.65, orders=0.75, signs_up=0.40,
    ),
    Persona(
        "loyal", share=0.08, returns=1.00, leaves_at_once=0.03, products=2.0,
        adds=0.80, checks_out=0.80, orders=0.88, signs_up=0.80,
    ),
)  # fmt: skip

PLATFORMS: Mapping[str | None, float] = {"web": 0.54, "ios": 0.25, "android": 0.19, "tv": 0.012, None: 0.008}
"""Shares of device types; a television is listed in no config, and some clients do not say."""

MOBILE = ("ios", "android")

MEAN_PAUSE_S = {"page": 7.0, "screen": 5.0, "track": 4.0, "identify": 0.15}
LONGEST_PAUSE_S = 60.0

EVENTS_PER_VISIT = 4.15
"""Measured over 95,000 visits after a normal history; turns events per second into visits per second."""


@dataclass(slots=True)
class Visitor:
    """One device and the person in front of it."""

    anonymous_id: str
    persona: Persona
    platform: str | None
    user_id: str | None = None  # since signing up
    bot: bool = False
    visiting: bool = False

    @property
    def mobile(self) -> bool:
        """Whether its events can be held back by a bad network."""
        return self.platform in MOBILE


@dataclass(frozen=True, slots=True)
class Step:
    """One thing a visitor does."""

    kind: str  # track, page, screen or identify
    name: str  # of the event or the page; empty for identify
    pause_s: float  # taken before it
    properties: Mapping[str, object] = field(default_factory=dict)


def new_visitor(number: int, rng: Random) -> Visitor:
    """A person never seen before."""
    (persona,) = rng.choices(PERSONAS, [persona.share for persona in PERSONAS])
    (platform,) = rng.choices(list(PLATFORMS), list(PLATFORMS.values()))
    return Visitor(f"a-{number:06d}-{rng.getrandbits(32):08x}", persona, platform)


def visit(visitor: Visitor, conditions: Conditions, rng: Random) -> Iterator[Step]:
    """What the visitor does from opening the shop until leaving it."""
    persona = visitor.persona
    view = "screen" if visitor.mobile else "page"

    def step(kind: str, name: str = "", **properties: object) -> Step:
        return Step(kind, name, min(rng.expovariate(1 / MEAN_PAUSE_S[kind]), LONGEST_PAUSE_S), properties)

    def goes_on(probability: float) -> bool:
        return rng.random() < probability * conditions.purchase

    yield Step(view, "Home", 0.0)
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
        product = rng.randrange(1, 400)
        price = f"{5 + product * 37 % 195}.{product % 100:02d}"
        yield step("track", "Product Viewed", product_id=f"p-{product}", price=price)
        if rng.random() < 1 / persona.products:
            break
        if rng.random() < 0.3:
            yield step(view, "Category")
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


def crawl(rng: Random) -> Iterator[Step]:
    """What a search engine's robot does: many pages, at once."""
    for number in range(rng.randrange(5, 20)):
        yield Step("page", "Category", 0.3 if number else 0.0)
