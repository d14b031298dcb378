"""The values of one top list in a shard, on their way to it: each when its turn comes, and before that foreseen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from flows.config.model import Config
from flows.measure.clock import StreamClock
from flows.measure.lane import FactLane, counted
from flows.measure.users import Users
from flows.messages.columns import NO_TIME
from flows.metrics.top import Top

FAMILY: Final = "top."
"""Begins the names of families that are lists."""


class ListLane(FactLane):
    """As the lane of facts, for values: a list stands at T, not at the watermark."""

    def __init__(self, family: str, top: Top, config: Config) -> None:
        super().__init__(top.lists, config, {family: top})
        self.name = family.removeprefix(FAMILY)
        self.top = top
        self._family = family

    def advance(
        self,
        clock: StreamClock,
        users: Users,
        since: Mapping[str, int],
        make_room: Callable[[], None],
    ) -> None:
        self.settle(clock.floor_ms)
        self.recent.forget(clock.now_ms)
        passed = self.turns.passed(clock.watermark_ms)
        self.top.advance(counted(passed, since.get(self._family, 0)), users.count, clock.now_ms)

    def foresee(self, now_ms: int, since: Mapping[str, int]) -> None:
        """Let the list say how it stands at T."""
        if now_ms != NO_TIME:
            self.top.foresee(counted(self.turns.waiting(now_ms), since.get(self._family, 0)))
            self.top.texts.tidy(self.turns.facts["key"])
