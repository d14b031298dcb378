"""A stream that exercises every family: of the kind of `stream.py`, with events of more names that tell more.

2 % of the events carry a fact: an order, a refund, a cancellation, the state of a subscription, money spent, the answer
to a survey, what happened to a ticket, feedback, or the request of a feature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deploy.bench.stream import AWAY, CHUNK, PLANS, PLATFORMS, STATUSES, Moments, Stream, chosen

DAY_MS: Final = 86_400_000
DAYS_TO_PAUSE, PAUSE_DAYS = 2, 35
DRAWS: Final = 1_000_000
"""What an event tells depends on its user and a number below this."""
COMPANY, OFFICE = 8, 40
"""Users who share a subscription, and a ticket."""

Says = Callable[[int, int], bytes]
"""Further properties of an event, each with a comma before it, of its user and draw."""


def _nothing(user: int, draw: int) -> bytes:
    return b""


def _product(user: int, draw: int) -> bytes:
    return b',"product_id":"p-%d"' % ((7 * user + draw % 3) % 500)


def _signed_up(user: int, draw: int) -> bytes:
    return b',"referred":true' if draw % 5 == 0 else b""


def _report(user: int, draw: int) -> bytes:
    return b',"kind":"%b"' % (b"weekly", b"monthly", b"daily")[draw % 3]


def _used(user: int, draw: int) -> bytes:
    return b',"feature":"%b"' % (b"dark_mode", b"export", b"shortcuts")[draw % 3]


def _order(user: int, draw: int) -> bytes:
    """One of fifty orders of a user: some come again, and are copies."""
    return b',"order_id":"o-%d-%d","revenue":%d.90,"currency":"USD"' % (user, draw % 50, draw % 300) + _product(
        user, draw
    )


def _refund(user: int, draw: int) -> bytes:
    return b',"order_id":"o-%d-%d","refund_id":"r-%d","total":%d.50,"currency":"USD"' % (
        user,
        draw % 50,
        draw,
        draw % 90,
    )


def _cancellation(user: int, draw: int) -> bytes:
    return b',"order_id":"o-%d-%d"' % (user, draw % 50)


def _subscription(user: int, draw: int) -> bytes:
    """That of a company of eight users, each of whom has an own plan in mind."""
    status = STATUSES[draw // 10 % len(STATUSES)][1] if draw % 3 == 0 else b"active"
    state = (
        b',"subscription_id":"s-%d","customer_id":"c-%d","status":"%b","amount":"%d.00","interval":"month",'
        b'"currency":"USD","quantity":1'
    ) % (user // COMPANY, user // COMPANY, status, 20 + (user + draw % 2) % 5)
    if draw % 7 == 0:
        return state + b',"cancel_at":"2026-07-01T00:00:00Z"'
    return state + b',"effective_at":"2026-06-01T00:00:00Z"' if draw % 11 == 0 else state


def _spend(user: int, draw: int) -> bytes:
    return (
        b',"spend_id":"m-%d","amount":%d.25,"currency":"USD","category":"%b","channel":"%b",'
        b'"period_start":"2026-03-%02d","period_end":"2026-04-%02d"'
    ) % (
        draw % 2_000,
        draw % 5_000,
        (b"marketing", b"sales", b"other")[draw % 3],
        (b"paid_search", b"email", b"organic_social")[draw // 3 % 3],
        1 + draw % 28,
        1 + draw // 28 % 28,
    )


def _response(user: int, draw: int) -> bytes:
    survey, least, scores = ((b"nps", 0, 11), (b"support", 1, 5), (b"effort", 1, 7), (b"pulse", 0, 11))[draw % 4]
    return b',"survey":"%b","score":%d' % (survey, least + draw // 4 % scores)


def _ticket(user: int, draw: int) -> bytes:
    return b',"ticket_id":"t-%d","severity":"%b"' % (user // OFFICE, (b"low", b"high", b"odd")[draw % 3])


def _feedback(user: int, draw: int) -> bytes:
    mood = b"" if draw % 4 == 0 else b',"sentiment":%.2f' % (draw % 201 / 100 - 1)
    return b',"kind":"%b"' % (b"praise", b"bug", b"question")[draw // 201 % 3] + mood


def _request(user: int, draw: int) -> bytes:
    return b',"feature":"%b"' % (b"search", b"export", b"themes")[draw % 3]


class Kind(NamedTuple):
    """A kind of events."""

    share: float
    head: bytes  # JSON of type and name
    says: Says = _nothing
    server: bool = False  # whether a server sends it


FACTS: Final = (
    Kind(0.0093, b'"track","event":"Order Completed"', _order),
    Kind(0.001, b'"track","event":"Order Refunded"', _refund, server=True),
    Kind(0.0002, b'"track","event":"Order Cancelled"', _cancellation, server=True),
    Kind(0.003, b'"track","event":"Subscription Changed"', _subscription, server=True),
    Kind(0.0003, b'"track","event":"Marketing Spend Recorded"', _spend, server=True),
    Kind(0.0025, b'"track","event":"Survey Responded"', _response),
    Kind(0.001, b'"track","event":"Ticket Created"', _ticket),
    Kind(0.0002, b'"track","event":"Ticket Escalated"', _ticket, server=True),
    Kind(0.0008, b'"track","event":"Ticket Resolved"', _ticket, server=True),
    Kind(0.0002, b'"track","event":"Ticket Reopened"', _ticket),
    Kind(0.001, b'"track","event":"Feedback Submitted"', _feedback),
    Kind(0.0005, b'"track","event":"Feature Requested"', _request),
)
"""Two in a hundred events."""
KINDS: Final = (
    *FACTS,
    Kind(0.31, b'"track","event":"Product Viewed"', _product),
    Kind(0.12, b'"track","event":"Product Added"', _product),
    Kind(0.06, b'"track","event":"Checkout Started"'),
    Kind(0.05, b'"track","event":"Signed In"'),
    Kind(0.02, b'"track","event":"Signed Up"', _signed_up),
    Kind(0.005, b'"track","event":"Invite Sent"'),
    Kind(0.05, b'"track","event":"Products Searched"'),
    Kind(0.02, b'"track","event":"Report Created"', _report),
    Kind(0.01, b'"track","event":"Report Shared"'),
    Kind(0.03, b'"track","event":"Feature Used"', _used),
    Kind(0.01, b'"track","event":"Help Opened"'),
    Kind(0.01, b'"track","event":"Heartbeat"'),
    Kind(0.004, b'"track","event":"Email Delivered"', server=True),
    Kind(0.001, b'"track","event":"Debug Ping"'),
    Kind(0.03, b'"screen","name":"Basket"'),
    Kind(0.02, b'"identify"'),
    Kind(0.23, b'"page","name":"Catalogue"'),
)

COUNTRIES: Final = ((0.4, b"de"), (0.2, b"fr"), (0.2, b"gb"), (0.15, b"us"), (0.05, b"no"))
BROWSER: Final = b"Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"
CRAWLER: Final = b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
CRAWLED: Final = 0.002
"""The share of crawlers among pages."""
LINKS: Final = (  # of pages: share, what follows the path in the url, and the referrer
    (0.5, b"", b""),
    (0.12, b"", b"https://shop.example/"),
    (0.14, b"", b"https://www.google.com/"),
    (0.06, b"", b"https://www.facebook.com/"),
    (0.05, b"", b"https://blog.example.net/best-shops"),
    (0.06, b"?utm_source=newsletter&utm_medium=email&utm_campaign=spring", b""),
    (0.05, b"?gclid=Cj0KCQ", b"https://www.google.com/"),
    (0.02, b"?utm_source=instagram&utm_medium=paid_social", b""),
)
PRICING, HEALTH = 0.04, 0.01
"""Shares of two pages; the others are those of items."""
ITEMS: Final = 400
"""Pages of items; few enough for a list to keep them all."""

TEMPLATE: Final = (
    b'{"messageId":"%08x-5b1d-4c57-%012x","type":%b,"userId":"user-%08d",%b"timestamp":"%bZ",'
    b'"context":{"device":{"type":"%b"},"location":{"country":"%b"},"traits":{"Plan Type":"%b"},"page":{"path":"%b"%b},'
    b'"properties":{"plan":"%b"%b}}'
)


@dataclass(frozen=True)
class RichStream(Stream):
    """A stream of everything, endless as well.

    `day_events` is the number of events in a day; 0: all are on one day. After DAYS_TO_PAUSE such days nothing happens
    for PAUSE_DAYS, in which users churn.
    """

    day_events: int = 0

    def _arrivals(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        arrivals = super()._arrivals(places)
        if self.day_events:
            days = places // self.day_events
            arrivals += (days + (days >= DAYS_TO_PAUSE) * PAUSE_DAYS) * DAY_MS
        return arrivals

    def _values(self, chance: np.random.Generator, chunk: Moments) -> list[bytes]:
        kinds = [KINDS[number] for number in _places([kind.share for kind in KINDS], chance.random(CHUNK))]
        users = chunk.users.tolist()
        plans = chosen(PLANS, chunk.home * 97 % 1)
        paths = _paths(chance.random(CHUNK), chance.random(CHUNK))
        links = _places([share for share, _, _ in LINKS], chance.random(CHUNK))
        crawled = (chance.random(CHUNK) < CRAWLED).tolist()
        draws = chance.integers(0, DRAWS, CHUNK).tolist()
        return [
            TEMPLATE % row
            for row in zip(
                chunk.places.tolist(),
                chance.integers(0, 2**48, CHUNK).tolist(),
                [kind.head for kind in kinds],
                users,
                [b'"channel":"server",' if kind.server else b"" for kind in kinds],
                chunk.times,
                chosen(PLATFORMS, np.where(chance.random(CHUNK) < AWAY, chance.random(CHUNK), chunk.home)),
                chosen(COUNTRIES, chunk.home * 31 % 1),
                plans,
                paths,
                [
                    _came_by(path, link, bot) if kind.head.startswith(b'"page"') else b"}"
                    for kind, path, link, bot in zip(kinds, paths, links, crawled, strict=True)
                ],
                plans,
                [kind.says(user, draw) for kind, user, draw in zip(kinds, users, draws, strict=True)],
                strict=True,
            )
        ]


def _places(shares: list[float], luck: NDArray[np.float64]) -> list[int]:
    places: list[int] = np.searchsorted(np.cumsum(shares)[:-1], luck, side="right").tolist()
    return places


def _paths(luck: NDArray[np.float64], item: NDArray[np.float64]) -> list[bytes]:
    items = (item**2 * ITEMS).astype(np.int64).tolist()
    return [
        b"/pricing" if page < PRICING else b"/healthz" if page < PRICING + HEALTH else b"/items/%d" % number
        for page, number in zip(luck.tolist(), items, strict=True)
    ]


def _came_by(path: bytes, link: int, bot: bool) -> bytes:
    """The rest of a page, and of the context."""
    _, query, referrer = LINKS[link]
    came = b',"referrer":"%b"' % referrer if referrer else b""
    return b',"url":"https://shop.example%b%b"%b},"userAgent":"%b"' % (path, query, came, CRAWLER if bot else BROWSER)
