"""What was found out about one peer; the JSON file holds these, and the page is written from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Failed:
    """A part that a peer did not get through."""

    reason: str


@dataclass(frozen=True, slots=True)
class CatchUp:
    """The price of one more event, between two sizes of a topic."""

    small: int
    large: int
    cpu_ns: float
    wall_ns: float
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Steady:
    """At a steady load: how old numbers were when they could be read (None: never seen), and the memory it took."""

    rate: float
    p50_ms: float | None
    p99_ms: float | None
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many of the numbers that a peer gives were wrong, and the largest error as a share."""

    given: int
    wrong: int
    worst: float


@dataclass(frozen=True)
class Result:
    """One row."""

    name: str
    title: str
    versions: str
    cells: int
    unavailable: str | None = None
    catch_up: CatchUp | Failed | None = None
    steady: Steady | Failed | None = None
    stories: Mapping[str, Verdict | Failed] = field(default_factory=dict)
    cannot: Mapping[str, str] = field(default_factory=dict)  # what -> why

    @property
    def is_right(self) -> bool:
        """Whether everything was measured without a failure or a wrong number."""
        parts = (self.catch_up, self.steady, *self.stories.values())
        wrong = any(isinstance(part, Verdict) and part.wrong for part in parts)
        return self.unavailable is None and not wrong and not any(isinstance(part, Failed) for part in parts)


def part_from(kind: type[CatchUp] | type[Steady] | type[Verdict], written: dict[str, Any] | None) -> Any:
    """A part as it was written; None where it was not measured."""
    if written is None:
        return None
    return Failed(**written) if "reason" in written else kind(**written)


def result_from(written: dict[str, Any]) -> Result:
    """The inverse of `dataclasses.asdict`."""
    return Result(
        **written
        | {
            "catch_up": part_from(CatchUp, written["catch_up"]),
            "steady": part_from(Steady, written["steady"]),
            "stories": {name: part_from(Verdict, part) for name, part in written["stories"].items()},
        }
    )
