"""What one visitor does in one visit: a way through the scenes of a profile.

It knows nothing of clocks, Kafka or disorder: a step says how long after the visit's beginning it happens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import log
from random import Random
from typing import Final, NamedTuple

import msgspec

from flows.demo.profile import BOUNCES, END, Chance, Facts, Later, Persona, Profile, Scene
from flows.demo.scenarios import Conditions
from flows.demo.visitors import Lot, Visitor

MEAN_PAUSE_S: Final = {"view": 18.0, "track": 12.0, "identify": 0.15, "": 0.0}
LONGEST_PAUSE_S: Final = 240.0
DAY_S: Final = 86_400.0
NOTHING: Final[Mapping[str, object]] = {}
CATALOGUE_PAGE: Final = Scene("view", "Category", path="/category")


class Step(msgspec.Struct, frozen=True, gc=False):
    """One thing that happens."""

    scene: Scene
    after_s: float  # since the visit began
    properties: Mapping[str, object] = NOTHING
    context: Mapping[str, object] = NOTHING  # beyond device and robots


class Fork(msgspec.Struct, frozen=True, gc=False):
    """A scene that happens long after, with what it has to know."""

    later: Later
    after_s: float
    facts: Facts


class Option(NamedTuple):
    """What may follow a scene, for one persona."""

    name: str
    probability: float
    only: str
    sells: bool
    bounces: bool


class Walk:
    """Visits to the product of a profile."""

    def __init__(self, profile: Profile) -> None:
        self._scenes = profile.scenes
        self._options: dict[str, dict[str | None, tuple[Option, ...]]] = {
            persona.name: {
                None: self._of(persona, profile.begins),
                **{name: self._of(persona, scene.then) for name, scene in profile.scenes.items()},
            }
            for persona in profile.personas
        }
        self._ways = Lot([way.context for way in profile.ways], [way.share for way in profile.ways])

    def visit(self, visitor: Visitor, conditions: Conditions, rng: Random) -> Iterator[Step | Fork]:
        """From opening the product until leaving it."""
        return self.follow(self._next(None, visitor, conditions, rng), {}, visitor, conditions, rng)

    def follow(
        self, name: str, facts: Facts, visitor: Visitor, conditions: Conditions, rng: Random
    ) -> Iterator[Step | Fork]:
        """The scene of this name, and all that follows it."""
        after_s = 0.0
        while name != END:
            scene = self._scenes[name]
            if scene.kind:
                if scene.signs_up and visitor.user_id is None:
                    visitor.user_id = "u" + visitor.anonymous_id[1:]
                context = self._ways.draw(rng) if scene.arrives else NOTHING
                yield Step(scene, after_s, scene.properties(facts, rng), context)
            for later in scene.later:
                if rng.random() < later.chance:
                    yield Fork(later, after_s - later.mean_days * DAY_S * log(1 - rng.random()), {**facts})
            name = self._next(name, visitor, conditions, rng)
            if name != END:
                following = self._scenes[name]
                mean_s = MEAN_PAUSE_S[following.kind] if following.pause_s is None else following.pause_s
                after_s += min(-mean_s * log(1 - rng.random()), LONGEST_PAUSE_S)

    def _of(self, persona: Persona, then: Mapping[str, Chance]) -> tuple[Option, ...]:
        def option(name: str, chance: Chance) -> Option:
            probability = persona.chances[chance] if isinstance(chance, str) else chance
            if name == END:
                return Option(END, probability, "", sells=False, bounces=chance == BOUNCES)
            scene = self._scenes[name]
            return Option(name, probability, scene.only, scene.sells, bounces=False)

        return tuple(option(name, chance) for name, chance in then.items())

    def _next(self, after: str | None, visitor: Visitor, conditions: Conditions, rng: Random) -> str:
        """What happens first of all that may follow a scene or, None, begin a visit."""
        for name, probability, only, sells, bounces in self._options[visitor.persona.name][after]:
            if only and (only == "user") != (visitor.user_id is not None):
                continue
            if sells:
                probability *= conditions.purchase
            elif bounces and probability < conditions.leaves_at_once:
                probability = conditions.leaves_at_once
            if rng.random() < probability:
                return name
        return END


def crawl(rng: Random) -> Iterator[Step]:
    """What a search engine's robot does: many pages, at once."""
    for number in range(rng.randrange(5, 20)):
        yield Step(CATALOGUE_PAGE, 0.3 * number)
