"""The code made wrong in five ways, each of which the suite has to notice; nothing of it stays in the product."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np


def increments() -> None:
    """The sink adds what has changed since its last publish, instead of writing what is so."""
    from flows.publish.redis import sink as redis_sink
    from flows.publish.redis.layout import Value, format_value

    def send(self: Any, snapshot: Any, fields: Mapping[str, Value], periods: Any, touched: Any) -> list[str]:
        before = self._written or {}
        run: Any = self._primary.run
        for name, value in fields.items():
            if not name.startswith("_") and isinstance(value, int):
                run("HINCRBY", self.keys.live, name, value - int(before.get(name, 0)))
        changed = {name: value for name, value in fields.items() if name.startswith("_") or isinstance(value, float)}
        run("HSET", self.keys.live, *(text for name, value in changed.items() for text in (name, format_value(value))))
        return ["ok", "told"]

    redis_sink.RedisPublisher._send = send  # type: ignore[method-assign] # the mistake


def no_fence() -> None:
    """The script of the sink does not look for a newer run's token."""
    from flows.publish.redis import scripts as redis_scripts

    check = "if stored and stored > tonumber(token) then"
    assert check in redis_scripts.PUBLISH
    redis_scripts.PUBLISH = redis_scripts.PUBLISH.replace(check, "if false then")  # type: ignore[misc] # the mistake


def no_dedup_in_checkpoint() -> None:
    """Which messages have been read is forgotten with a crash."""
    from flows.measure.dedup import Recent

    def save(self: Any, users: int) -> dict[str, Any]:
        return {"keys": np.zeros(0, np.uint64), "generations": np.zeros(0, np.uint32)}

    Recent.save = save  # type: ignore[method-assign] # the mistake


def clock_follows_the_future() -> None:
    """The clock believes an event that lies ahead."""
    from flows.decode.intake import Intake

    original = Intake.read

    def read(self: Any, raw: Any) -> Any:
        columns, rejected = original(self, raw)
        if len(columns.rows) and columns.rows["clamped"].any():
            columns = replace(columns, clock_ms=columns.clock_ms + 3_600_000)
        return columns, rejected

    Intake.read = read  # type: ignore[method-assign] # the mistake


def values_of_another_step() -> None:
    """A funnel that holds a field is shown, with each event, the value of the one before."""
    from flows.measure.tied_values import TiedValues

    original = TiedValues.show
    before = np.zeros(1, np.uint64)

    def show(self: Any, rows: Any, since: Any) -> None:
        original(self, rows, since)
        for family in self._families.values():
            both = np.concatenate([before, family.tied_values])
            family.tied_values, before[0] = both[:-1], both[-1]

    TiedValues.show = show  # type: ignore[method-assign] # the mistake


MUTATIONS: Final[Mapping[str, Callable[[], None]]] = {
    "increments": increments,
    "no fence": no_fence,
    "no dedup in the checkpoint": no_dedup_in_checkpoint,
    "clock follows the future": clock_follows_the_future,
    "values of another step": values_of_another_step,
}
NAMES: Final[Sequence[str]] = tuple(MUTATIONS)
