"""What a file of events holds, held against a config: what is accepted, which names occur, and which never do.

Bounded memory: names that the config does not tell apart are counted in a table of limited size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from flows.config.file import spelt
from flows.config.mistakes import Path, closest
from flows.config.model import Config, slug
from flows.decode.intake import name_of
from flows.messages.columns import KINDS, NO_TIME, PAGE, SCREEN, TRACK, Columns
from flows.messages.raw import Raw, Rejected
from flows.process.rejections import Place, Rejections
from schemas.event import TYPES
from schemas.json_text import opened, string_of

NAMES_KEPT: Final = 4096
"""Names counted one by one; beyond twice as many the rarest are forgotten, and counts are lower bounds."""

_NAMED_KINDS: Final = (TRACK, PAGE, SCREEN)
"""Events that sessions and funnels see; `identify`, `group` and `alias` need no name."""


class Frequent:
    """Counts texts, and keeps the frequent ones: exact up to `NAMES_KEPT` different ones."""

    def __init__(self) -> None:
        self.exact = True
        self._counts: dict[str, int] = {}
        self._spelling: dict[str, str] = {}

    def add(self, text: str, count: int = 1) -> None:
        """Count a text, under its slug."""
        key = slug(text)
        self._spelling.setdefault(key, text)
        self._counts[key] = self._counts.get(key, 0) + count
        if len(self._counts) > 2 * NAMES_KEPT:
            self.exact = False
            kept = sorted(self._counts, key=self._counts.__getitem__, reverse=True)[:NAMES_KEPT]
            self._counts = {name: self._counts[name] for name in kept}
            self._spelling = {name: self._spelling[name] for name in kept}

    def most(self, number: int | None = None) -> list[tuple[str, int]]:
        """The most frequent ones as they were first spelt, with their counts."""
        found = sorted(self._counts.items(), key=lambda one: (-one[1], one[0]))
        return [(self._spelling[name], count) for name, count in found[:number]]

    def __contains__(self, text: str) -> bool:
        return slug(text) in self._counts


@dataclass(frozen=True, slots=True)
class Absent:
    """A name or value of the config that no accepted event has."""

    name: str
    places: Sequence[str]  # where the config names it: "funnels.checkout.steps[0]"
    suggestion: str | None = None  # a frequent name of the file that resembles it


@dataclass(frozen=True, slots=True)
class Unmet:
    """A selector of the config of which there are events by name, but none that carries what it asks for."""

    place: str  # "key_actions[0]"
    names: Sequence[str]
    where: Mapping[str, Sequence[str]]
    events: int  # of those names


@dataclass(frozen=True, slots=True)
class Values:
    """How often each value of a breakdown occurs."""

    field: str
    counts: dict[str, int]  # by label, those listed first, then other and unknown


class _Envelope(msgspec.Struct):
    """What says why an event is excluded."""

    type: str = ""
    event: str | None = None


class Census:
    """Takes the polls of a file, as they are read and as `Intake.read` returns them."""

    def __init__(self, config: Config, place: Place) -> None:
        self.rejections = Rejections(place)
        self.unnamed = Frequent()
        """Names of accepted events that the config does not mention."""
        self.excluded = Frequent()
        """Names of events that the config leaves out."""
        self.first_ms: int | None = None
        """The earliest event time among accepted events."""
        self.last_ms: int | None = None
        self.clamped = 0
        self._config = config
        self._codes = codes = config.codes
        self._names = codes.names
        self._name_of = codes.name_of
        self._events = np.zeros(len(codes), np.int64)  # by code
        self._labels = [breakdown.labels() for breakdown in config.breakdowns.values()]
        self._values = [np.zeros(len(labels), np.int64) for labels in self._labels]
        self._plans = np.zeros(0 if config.subscriptions is None else len(config.subscriptions.labels()), np.int64)
        self._envelope = msgspec.json.Decoder(_Envelope)

    def take(self, raw: Raw, poll: Columns, rejected: Sequence[Rejected]) -> None:
        """One poll."""
        self.rejections.take(poll, rejected)
        rows = poll.rows
        if len(rows):
            self.first_ms = min(int(rows["ts"].min()), self.first_ms if self.first_ms is not None else -NO_TIME)
            self.last_ms = max(int(rows["ts"].max()), self.last_ms if self.last_ms is not None else NO_TIME)
        self.clamped += int(np.count_nonzero(rows["clamped"]))
        self._events += np.bincount(rows["code"], minlength=len(self._events))
        for dim, counts in enumerate(self._values):
            codes = (rows["dims"] >> np.uint64(8 * dim)) & np.uint64(0xFF)
            counts += np.bincount(codes.astype(np.int64), minlength=len(counts))
        if (states := poll.facts.get("subscription")) is not None:
            self._plans += np.bincount(states["plan"], minlength=len(self._plans))
        self._take_unnamed(raw, rows)
        if poll.excluded.any():
            self._take_excluded(raw, rows, rejected)

    def _take_unnamed(self, raw: Raw, rows: NDArray[np.void]) -> None:
        unnamed = rows[self._name_of[rows["code"]] == 0]
        for kind in _NAMED_KINDS:
            of_kind = unnamed[unnamed["kind"] == kind]
            if kind != TRACK and len(of_kind):
                self.unnamed.add(name_of(KINDS[kind], None), len(of_kind))
        for index in np.searchsorted(raw.offsets, unnamed["offset"][unnamed["kind"] == TRACK]).tolist():
            self.unnamed.add(_event_name(raw.value(index)))

    def _take_excluded(self, raw: Raw, rows: NDArray[np.void], rejected: Sequence[Rejected]) -> None:
        kept = np.isin(raw.offsets, rows["offset"]) | np.isin(raw.offsets, [one.offset for one in rejected])
        for index in np.flatnonzero(~kept).tolist():
            self.excluded.add(self._excluded_as(raw.value(index)))

    def _excluded_as(self, record: bytes) -> str:
        """The event's name; of a record that is of no use here, what it is."""
        if not record.strip():
            return "(tombstone)"
        try:
            found = self._envelope.decode(record)
        except (msgspec.DecodeError, RecursionError):
            return "(other)"
        if found.type not in TYPES:
            return f"(type {found.type})"
        return found.event if found.type == "track" and found.event else name_of(found.type, None)

    # What is found in the end

    def absent_names(self) -> list[Absent]:
        """Event names of the config that no event has, in alphabetical order."""
        places = places_of(self._config)
        near = [name for name, _ in self.unnamed.most(100)]
        absent = []
        counts = np.bincount(self._name_of, self._events, len(self._names)).tolist()
        for name, count in zip(self._names[1:], counts[1:], strict=True):  # 0 is other
            found = places.get(name, [("", name)])
            if not count and not (name in self.excluded and all(path.startswith("exclude.") for path, _ in found)):
                absent.append(Absent(found[0][1], [path for path, _ in found if path], closest(found[0][1], near)))
        excluded = [
            Absent(name, [f"exclude.events[{index}]"])
            for index, selector in enumerate(self._config.exclude.events)
            for name in selector.event
            if not selector.where and name not in self.excluded
        ]
        return [*absent, *excluded]

    def unmet(self) -> list[Unmet]:
        """Selectors of whose names there are events, but none that carries what they ask for."""
        unmet = []
        for path, selectors in self._config.selectors():
            for index, selector in enumerate(selectors):
                names, conditions = selector.selection()
                of_names = int(self._events[self._codes.matching([(names, ())])].sum())
                if path[0] == "exclude":  # events that met it are not among those accepted
                    met = any(name in self.excluded for name in selector.event)
                else:
                    met = bool(self._events[self._codes.matching([(names, conditions)])].any())
                if selector.where and of_names and not met:
                    unmet.append(Unmet(_place(path, index), selector.event, selector.where, of_names))
        return unmet

    def breakdowns(self) -> dict[str, Values]:
        """How often each value of each breakdown occurs among accepted events."""
        return {
            name: Values(
                breakdown.field or f"computed: {breakdown.computed}", dict(zip(labels, counts.tolist(), strict=True))
            )
            for (name, breakdown), labels, counts in zip(
                self._config.breakdowns.items(), self._labels, self._values, strict=True
            )
        }

    def plans(self) -> dict[str, int]:
        """How many states of subscriptions each plan has; empty where the config has no such part."""
        labels = [] if self._config.subscriptions is None else self._config.subscriptions.labels()
        return dict(zip(labels, self._plans.tolist(), strict=True))


def _event_name(record: bytes) -> str:
    """The name of an accepted track."""
    members, _ = opened(record)
    return string_of(bytes(members["event"]))


def places_of(config: Config) -> dict[str, list[tuple[str, str]]]:
    """Where the config names an event, by its slug: path and spelling of each place."""
    places: dict[str, list[tuple[str, str]]] = {}
    for path, name in _named(config):
        places.setdefault(slug(name), []).append((path, name))
    return places


def _named(config: Config) -> Iterator[tuple[str, str]]:
    for index, name in enumerate(config.events):
        yield f"events[{index}]", name
    for key, section in config.fact_sections().items():
        for name in section.events:
            yield ".".join((*key, "events")), name
    for path, selectors in config.selectors():
        for index, selector in enumerate(selectors):
            if selector.where or path[0] != "exclude":  # names left out altogether have a list of their own
                for name in selector.event:
                    yield _place(path, index), name


def _place(path: Path, index: int) -> str:
    """Of a selector in the list at `path`; the alternatives of a step are all at its own."""
    return spelt(path if path[2:3] == ("steps",) else (*path, index))
