"""Sentinels, or nodes of a cluster, asked all at once where the primary is.

One that is dead or frozen costs no time when others answer, and one that has slept through a failover is outvoted: the
newest knowledge counts, by Sentinel's configuration epoch, and then what most of them say. redis-py's own clients ask
one after the other, with the whole timeout for each, and believe the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final

import redis

from flows.client.reader import Address, Place

MOST_ASKED: Final = 7
"""Of nodes of a large cluster no more are asked."""

PATIENCE_SECONDS: Final = 0.25
"""How long others are waited for when at least one has answered."""


class Witnesses:
    """Those whom an address names, and in a cluster the nodes that hold `key`, since named ones may be gone one day."""

    def __init__(self, address: Address, key: str, **options: object) -> None:
        self._address = address
        self._key = key
        self._options = options
        self._clients: dict[Place, redis.Redis] = {}
        self._asked: dict[Place, Future[tuple[int, list[Place]]]] = {}  # those that have not answered yet
        self._learnt: list[Place] = []
        self._threads = ThreadPoolExecutor(MOST_ASKED, "redis-witness")

    def primary(self) -> Place:
        """Where the primary is; redis.RedisError when none of them can say."""
        for place in [*dict.fromkeys((*self._address.places, *self._learnt))][:MOST_ASKED]:
            if place not in self._asked:
                self._asked[place] = self._threads.submit(self._ask, place)
        done, waiting = wait(self._asked.values(), PATIENCE_SECONDS)
        while waiting and not any(one.exception() is None for one in done):
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        answered = {place: one for place, one in self._asked.items() if one.done()}
        self._asked = {place: one for place, one in self._asked.items() if place not in answered}
        answers = [one.result() for one in answered.values() if one.exception() is None]
        if not answers:
            raise _most_telling([one.exception() for one in answered.values()])
        votes = Counter((epoch, places[0]) for epoch, places in answers)
        best = max(votes, key=lambda vote: (vote[0], votes[vote]))
        self._learnt = next(places for epoch, places in answers if (epoch, places[0]) == best)
        return best[1]

    def _ask(self, place: Place) -> tuple[int, list[Place]]:
        if place not in self._clients:
            self._clients[place] = self._address.client(place, asking=True, **self._options)
        return self._address.ask(self._clients[place], self._key)

    def close(self) -> None:
        """Give the connections back."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for client in self._clients.values():
            client.close()


def _most_telling(errors: Sequence[BaseException | None]) -> BaseException:
    """What to tell the operator: that one is away says less than what another one that answered refuses."""
    found = [error for error in errors if error is not None]
    away = [error for error in found if type(error) in (redis.ConnectionError, redis.TimeoutError)]
    down = [error for error in away if "is down" in str(error)]
    refused = [error for error in found if error not in away]
    # An unknown service is the operator's mistake only when all say so: one that is away might know it.
    if away and all("no service" in str(error) for error in refused):
        refused = []
    return (refused or down or found)[0]
