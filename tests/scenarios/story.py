"""Reads the golden stories of this folder.

A story is a YAML file: `title`, `story` (prose), `start` (the instant +0s), `config` (as in
tidegauge.yaml), `events` and `looks`. Every time is written relative to the start: `+1h 30m`, `-1ms`,
`+0s`.

An event has `at` (its own time), who (`user` or `visitor`, without an account), and what (`track`, `page`,
`screen` with a name, or `identify`). May be added: `arrives` (when it is read; as a rule at its own time),
`id` (messageId), `received` (receivedAt, and when it is read), `context`, `properties`, `partition`. In `properties`
the times `effective_at` and `cancel_at` are relative to the start as well.
`every` and `times` repeat it, `crowd` lets that many people do it at each time; both number the users:
`buyer 1`, `buyer 2`, ... `raw` instead of who and what is a record as it stands.

A look is what is seen at `at`: everything that had arrived by then has been read and the clock stands
there. `see` gives cells (fractions as `1/3`), `absent` names cells that are not there, `minutes` gives some
or all numbers of a minute, or `open` for one that is not in the history, `days` the same of dates, `accounting` gives
sums over the partitions, `top` gives top lists by list and window, each whole and in its order.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import yaml

from flows.audit import Record
from flows.config.model import UNITS_MS, Config

Period = TypeVar("Period", int, str)
FOLDER = Path(__file__).parent
KINDS = ("track", "page", "screen", "identify")
STORY_KEYS = {"title", "story", "start", "config", "events", "looks"}
EVENT_KEYS = {
    *("at", "arrives", "received", "user", "visitor", *KINDS, "id", "context", "properties", "partition"),
    *("every", "times", "crowd", "raw"),
}
RELATIVE_PROPERTIES = ("effective_at", "cancel_at")
LOOK_KEYS = {"at", "see", "absent", "minutes", "days", "accounting", "top"}


@dataclass(frozen=True)
class Scenario:
    """One look of one story: replay `records` up to `as_of_ms`, and the rest has to come out."""

    name: str  # "bounced_visit at +45m"
    title: str
    config: Config
    records: tuple[Record, ...]  # in the order of reading
    as_of_ms: int
    cells: Mapping[str, int | float]  # float: derived
    absent: tuple[str, ...]
    minutes: Mapping[int, Mapping[str, int] | None]  # start, epoch ms -> field -> number; None: still open
    days: Mapping[str, Mapping[str, int] | None]  # date -> field -> number; None: still open
    accounting: Mapping[str, int]  # sums over the partitions
    top: Mapping[str, Mapping[str, Mapping[str, int]]]  # list -> window -> value -> count, in this order


def load_scenarios() -> list[Scenario]:
    """All looks of all stories, in the order of the files' names."""
    return [scenario for path in sorted(FOLDER.glob("*.yaml")) for scenario in read_story(path)]


def disagreements(
    scenario: Scenario,
    cells: Mapping[str, int | float],
    minutes: Mapping[int, Mapping[str, int]],
    days: Mapping[str, Mapping[str, int]],
    accounting: Mapping[int, Mapping[str, int]],
    top: Mapping[str, Mapping[str, Mapping[str, int]]],
) -> list[str]:
    """One line for everything that came out otherwise than told; counts exactly, ratios to 12 digits."""
    found = []
    for name, told in scenario.cells.items():
        got = cells.get(name)
        if got is None or not (got == told or (isinstance(told, float) and math.isclose(got, told, rel_tol=1e-12))):
            found.append(f"{name}: told {told}, got {got}")
    found += [f"{name}: told absent, got {cells[name]}" for name in scenario.absent if name in cells]
    found += _otherwise("minute", scenario.minutes, minutes)
    found += _otherwise("day", scenario.days, days)
    for field, count in scenario.accounting.items():
        total = sum(account[field] for account in accounting.values())
        if total != count:
            found.append(f"accounting {field}: told {count}, got {total}")
    for name, windows in scenario.top.items():
        for window, counts in windows.items():
            got_counts = top.get(name, {}).get(window, {})
            if list(got_counts.items()) != list(counts.items()):
                found.append(f"top {name} {window}: told {counts}, got {dict(got_counts)}")
    return found


def _otherwise(
    kind: str, told: Mapping[Period, Mapping[str, int] | None], closed: Mapping[Period, Mapping[str, int]]
) -> Iterator[str]:
    for period, numbers in told.items():
        if numbers is None and period in closed:
            yield f"{kind} {period}: told open, got {dict(closed[period])}"
        for field, count in (numbers or {}).items():
            if closed.get(period, {}).get(field, 0) != count:
                yield f"{kind} {period} {field}: told {count}, got {closed.get(period, {}).get(field)}"


def read_story(path: Path) -> list[Scenario]:
    """The looks of one file; a key that is none is an error."""
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    _only(told, STORY_KEYS, path.name)
    start = instant(told["start"])
    config = Config(**told.get("config", {}))
    arrivals = []
    for event in told["events"]:
        _only(event, EVENT_KEYS, path.name)
        arrivals += _arrivals(event, start)
    arrivals.sort(key=lambda arrival: arrival[0])  # stable: as listed when they arrive together
    scenarios = []
    for look in told["looks"]:
        _only(look, LOOK_KEYS, path.name)
        as_of = start + span(look["at"])
        offsets: dict[int, int] = {}
        records = []
        for arrives, partition, value in arrivals:
            if arrives <= as_of:
                offsets[partition] = offsets.get(partition, -1) + 1
                records.append(Record(value, partition, offsets[partition]))
        scenarios.append(
            Scenario(
                name=f"{path.stem} at {look['at']}",
                title=told["title"],
                config=config,
                records=tuple(records),
                as_of_ms=as_of,
                cells={name: _number(value) for name, value in look.get("see", {}).items()},
                absent=tuple(look.get("absent", ())),
                minutes={
                    start + span(at): None if numbers == "open" else numbers
                    for at, numbers in look.get("minutes", {}).items()
                },
                days={str(date): None if of == "open" else of for date, of in look.get("days", {}).items()},
                accounting=look.get("accounting", {}),
                top=look.get("top", {}),
            )
        )
    return scenarios


def span(text: str) -> int:
    """Milliseconds of `+1h 30m`, `-1ms`."""
    parts = re.findall(r"(\d+)(ms|s|m|h|d)", text)
    if re.fullmatch(r"[+-]?\d+(ms|s|m|h|d)( \d+(ms|s|m|h|d))*", text) is None:
        raise ValueError(f"{text!r} is no time such as +1h 30m")
    total = sum(int(count) * UNITS_MS[unit] for count, unit in parts)
    return -total if text.startswith("-") else total


def instant(written: datetime | str) -> int:
    """Epoch milliseconds of the start; YAML has read the text already."""
    moment = written if isinstance(written, datetime) else datetime.fromisoformat(written)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * 1000


def _arrivals(event: dict[str, Any], start: int) -> list[tuple[int, int, bytes]]:
    """(when it is read, partition, value) of every repetition."""
    arrivals = []
    times, crowd = event.get("times", 1), event.get("crowd", 1)
    for number in range(times * crowd):
        later = number // crowd * span(event.get("every", "0s"))
        at = start + span(event["at"]) + later
        received = start + span(event["received"]) + later if "received" in event else None
        arrives = start + span(event["arrives"]) + later if "arrives" in event else (received or at)
        suffix = f" {number + 1}" if times * crowd > 1 else ""
        if "raw" in event:
            value = event["raw"].encode()
        else:
            document = _document(event, suffix, at, received)
            for name in RELATIVE_PROPERTIES:
                if document.get("properties", {}).get(name) is not None:
                    moment = _written(start + later + span(document["properties"][name]))
                    document["properties"] = document["properties"] | {name: moment}
            value = json.dumps(document, ensure_ascii=False).encode()
        arrivals.append((arrives, event.get("partition", 0), value))
    return arrivals


def _document(event: dict[str, Any], suffix: str, at: int, received: int | None) -> dict[str, Any]:
    (kind,) = (kind for kind in KINDS if kind in event)
    who = {"userId": event["user"] + suffix} if "user" in event else {"anonymousId": event["visitor"] + suffix}
    document: dict[str, Any] = {"type": kind, **who, "timestamp": _written(at)}
    if kind == "track":
        document["event"] = event["track"]
    elif event[kind]:
        document["name"] = event[kind]
    if "id" in event:
        document["messageId"] = event["id"]
    if received is not None:
        document["receivedAt"] = _written(received)
    for part in ("context", "properties"):
        if part in event:
            document[part] = event[part]
    return document


def _written(time_ms: int) -> str:
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"


def _number(value: int | float | str) -> int | float:
    return float(Fraction(value)) if isinstance(value, str) else value


def _only(told: dict[str, Any], known: set[str], where: str) -> None:
    if strange := set(told) - known:
        raise ValueError(f"{where}: unknown {', '.join(sorted(strange))}")
