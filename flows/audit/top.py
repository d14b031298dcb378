"""METRICS.md 5.7: top lists, by giving out slots to one event after another and then counting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flows.audit.cells import Cells
from flows.audit.clock import Turn, arrival_window_holds, pane
from flows.audit.fields import lookup, text_of
from flows.audit.records import Told
from flows.config.limits import Limits
from flows.config.model import Config

WINDOWS = {"5m": 300_000, "1h": 3_600_000, "24h": 86_400_000}
DAY_MS = WINDOWS["24h"]
CHARACTERS = 200
NO_LIMITS = Limits()

Lists = dict[str, dict[str, dict[str, int]]]
"""By list and window: the values that count most, the largest first, ties by text."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A value that an event shows."""

    key: str


@dataclass(frozen=True, slots=True)
class Counted:
    """An event, and where it counts: under a value, or (None) in `other`."""

    turn: Turn
    value: str | None
    has_pair: bool = True  # False: no room for the pair of value and user, so that the event counts by itself


def shown_of(document: dict[str, Any], config: Config) -> dict[str, Told]:
    """By list: "Values are cut at 200 characters, query strings dropped"; what is no single value is none."""
    found = {name: text_of(lookup(document, section.field)) or "" for name, section in config.top.items()}
    kept = {name: text.split("?", 1)[0][:CHARACTERS] for name, text in found.items()}
    return {f"top.{name}": Shown(text) for name, text in kept.items() if text}


def texts_of(document: dict[str, Any], config: Config) -> list[Any]:
    """What the event shows of listed fields, as it is written."""
    return [lookup(document, section.field) for section in config.top.values()]


def top_lists(
    turns: Mapping[str, Sequence[Turn]], config: Config, as_of_ms: int, limits: Limits = NO_LIMITS
) -> tuple[Lists, Cells]:
    """ "Top lists (arrival) ... over 5m, 1h, 24h", and `top.<list>.other.<w>`."""
    lists: Lists = {}
    cells: Cells = {}
    for name, section in config.top.items():
        told = [turn for turn in turns.get(f"top.{name}", ()) if turn.event.ts <= as_of_ms]
        told.sort(key=lambda turn: (turn.used, turn.event.partition, turn.event.offset))
        by_shard: dict[int, list[Turn]] = {}
        for turn in told:
            by_shard.setdefault(shard_of(turn.told.key, config.shards), []).append(turn)
        counted = [given_out(shard, section.count == "users", limits) for shard in by_shard.values()]
        lists[name] = {}
        for window, width in WINDOWS.items():
            counts: Counter[str] = Counter()
            other = 0
            for shard in counted:
                held = [one for one in shard if arrival_window_holds(one.turn.event.ts, width, as_of_ms)]
                found = how_many(held, section.count == "users")
                other += found.pop(None, 0)
                counts.update({value: count for value, count in found.items() if value is not None})
            most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: section.k]
            lists[name][window] = dict(most)
            cells[f"top.{name}.other.{window}"] = other
    return lists, cells


def how_many(held: Iterable[Counted], users: bool) -> Counter[str | None]:
    """Events by where they count; or distinct users, and events whose pair found no room."""
    held = list(held)
    if not users:
        return Counter(one.value for one in held)
    found = Counter(value for value, _ in {(one.value, one.turn.event.user) for one in held if one.has_pair})
    found[None] += sum(not one.has_pair for one in held)
    return found


def given_out(turns: Iterable[Turn], users: bool, limits: Limits) -> list[Counted]:
    """ "a value has its slot while it counts in 24 h; values that found none count in `other`", in one shard.

    "Counts in 24 h" at the turn of an event: some earlier one of the value lies in the window that stands there.
    """
    values: dict[str, int] = {}  # with a slot: the latest event
    pairs: dict[tuple[str | None, str], int] = {}
    counted = []
    stands = None
    for turn in turns:
        now, ts = pane(turn.used, DAY_MS), turn.event.ts
        if now != stands:  # until then nothing leaves the window
            values = {value: last for value, last in values.items() if pane(last, DAY_MS) > now - 60}
            pairs = {pair: last for pair, last in pairs.items() if pane(last, DAY_MS) > now - 60}
            stands = now
        if pane(ts, DAY_MS) <= now - 60:
            continue  # older than all windows
        value: str | None = turn.told.key
        if value in values or len(values) < limits.top_values:
            values[turn.told.key] = max(ts, values.get(turn.told.key, ts))
        else:
            value = None
        pair = (value, turn.event.user)
        if not users or pair in pairs or len(pairs) < limits.top_pairs:
            pairs[pair] = max(ts, pairs.get(pair, ts))
            counted.append(Counted(turn, value))
        else:
            counted.append(Counted(turn, None, has_pair=False))
    return counted


@lru_cache(100_000)
def shard_of(value: str, shards: int) -> int:
    """ "each value lives in one shard": that of the hash of its text modulo their number; a hash of 0 counts as 1."""
    return (xxh64(value.encode()) or 1) % shards


P1, P2, P3, P4, P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
MASK = 2**64 - 1


def xxh64(data: bytes) -> int:
    """XXH64 with seed 0, step by step as its specification has it (doc/xxhash_spec.md of Cyan4973/xxHash)."""

    def rotated(value: int, bits: int) -> int:
        value &= MASK
        return (value << bits | value >> (64 - bits)) & MASK

    def rounded(lane: int, word: int) -> int:
        return rotated(lane + word * P2, 31) * P1 & MASK

    at, result = 0, P5
    if len(data) >= 32:
        lanes = [(P1 + P2) & MASK, P2, 0, -P1 & MASK]
        while at + 32 <= len(data):
            for lane in range(4):
                lanes[lane] = rounded(lanes[lane], int.from_bytes(data[at : at + 8], "little"))
                at += 8
        result = sum(rotated(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True))
        for lane in lanes:
            result = ((result ^ rounded(0, lane)) * P1 + P4) & MASK
    result = (result + len(data)) & MASK
    while at + 8 <= len(data):
        result = (rotated(result ^ rounded(0, int.from_bytes(data[at : at + 8], "little")), 27) * P1 + P4) & MASK
        at += 8
    if at + 4 <= len(data):
        result = (rotated(result ^ int.from_bytes(data[at : at + 4], "little") * P1, 23) * P2 + P3) & MASK
        at += 4
    for byte in data[at:]:
        result = rotated(result ^ byte * P5, 11) * P1 & MASK
    for bits, prime in ((33, P2), (29, P3), (32, 1)):
        result = (result ^ result >> bits) * prime & MASK
    return result
