"""Who visits a simulated product."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import Final, Generic, TypeVar
from zlib import crc32

from flows.demo.profile import Persona, Profile

MOBILE: Final = ("ios", "android")
T = TypeVar("T")


class Lot(Generic[T]):
    """Draws one of several things by their weights."""

    def __init__(self, things: Sequence[T], weights: Sequence[float]) -> None:
        self._things = things
        self._ends = list(accumulate(weights))

    def draw(self, rng: Random) -> T:
        """One of them."""
        return self._things[bisect(self._ends, rng.random() * self._ends[-1], 0, len(self._ends) - 1)]


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

    @property
    def id(self) -> tuple[str, str]:
        """The field by which events name the user now, and the name."""
        return ("anonymousId", self.anonymous_id) if self.user_id is None else ("userId", self.user_id)


class Crowd:
    """All who have not come yet."""

    def __init__(self, profile: Profile) -> None:
        self._personas = Lot(profile.personas, [persona.share for persona in profile.personas])
        self._platforms = Lot(list(profile.platforms), list(profile.platforms.values()))
        self._came = 0
        self.robots = [Visitor(f"crawler-{number}", profile.personas[0], "web", bot=True) for number in (1, 2)]

    def newcomer(self, rng: Random) -> Visitor:
        """A person never seen before."""
        self._came += 1
        name = f"a-{self._came:06d}-{rng.getrandbits(32):08x}"
        return Visitor(name, self._personas.draw(rng), self._platforms.draw(rng))
