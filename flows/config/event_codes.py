"""What an event is, as one small number: its name, and which conditions of the config it meets.

A condition is that a field has one of some values: `properties.kind` is `weekly` or `monthly`. Conditions are looked at
once, when a record is read, and become part of the event's code. So whatever the config says of events, by name or by
what they carry, is a table by code from there on, and nobody looks at a field again.

    names        other = 0, order_completed = 1, report_created = 2
    conditions   kind is weekly = bit 0, kind is daily = bit 1; both are asked of report_created

    code  name              meets
    0     other
    1     order_completed
    2     report_created    none of its conditions
    3     report_created    kind is weekly
    4     report_created    kind is daily
    5     report_created    both (of one field it never happens)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, inlined
from flows.config.notation import field_text, keys_of, slug

MAX_CONDITIONS: Final = 30
"""Different conditions in all: a value's code is the set of those it meets, 31 bits wide."""
MAX_CODES: Final = 0xFFFF
"""Codes are two bytes wide."""


class Condition(NamedTuple):
    """A field has one of these values."""

    field: str  # as `field_text` writes it
    values: frozenset[str]  # slugs

    @classmethod
    def of(cls, field: str, values: Iterable[str]) -> Condition:
        """Of a field and values as the config writes them."""
        keys = keys_of(field)
        assert keys is not None  # the config has seen to it
        return cls(field_text(keys), frozenset(map(slug, values)))


Selection: TypeAlias = tuple[frozenset[str] | None, Sequence[Condition]]
"""Events of one of these names (None: of any) that meet all these conditions."""

FROM_SERVERS: Final = (Condition("channel", frozenset({"server"})), Condition("context.channel", frozenset({"server"})))
"""Each of them says that an event was sent by a server."""
NOT_INTERACTIVE: Final = Condition("properties.interactive", frozenset({"false"}))
"""It says that the user did nothing for a `track` event to be sent."""


class Codes:
    """All codes that events can have, of names and the conditions that are asked of the events of each."""

    def __init__(self, asked: Mapping[str, Collection[Condition]]) -> None:
        self.names: tuple[str, ...] = tuple(asked)  # by the name's own code
        everything = {condition for conditions in asked.values() for condition in conditions}
        ordered = sorted(everything, key=_in_order)
        self._bits = {condition: 1 << bit for bit, condition in enumerate(ordered)}
        self.asked = np.array([self._set(conditions) for conditions in asked.values()], np.int64)  # by name: bits
        sizes = np.array([1 << len(conditions) for conditions in asked.values()], np.int64)
        self.first = np.cumsum(sizes) - sizes  # by name: its first code
        self.name_of = np.repeat(np.arange(len(sizes)), sizes)  # by code: its name's own code
        self.meets = np.array(  # by code: the conditions that it meets, of those that are asked
            [spread(place, int(bits)) for bits, size in zip(self.asked, sizes, strict=True) for place in range(size)],
            np.int64,
        )

    def __len__(self) -> int:
        return len(self.name_of)

    def fields(self) -> list[str]:
        """The fields that conditions look at."""
        return sorted({condition.field for condition in self._bits})

    def met(self, field: str, value: str | None) -> int:
        """The conditions that `value` (the JSON text of a scalar; None: there is none) of a field meets, as bits."""
        if value is None:
            return 0
        found = slug(value)
        return self._set([one for one in self._bits if one.field == field and found in one.values])

    def matching(self, selections: Iterable[Selection]) -> NDArray[np.bool_]:
        """By code: whether an event of it is one of any of `selections`."""
        found = np.zeros(len(self), np.bool_)
        for selected, conditions in selections:
            wanted = self._set(conditions)
            named = np.array([selected is None or name in selected for name in self.names], np.bool_)
            found |= named[self.name_of] & (self.meets & wanted == wanted)
        return found

    def legend(self) -> dict[str, list[list[Any]]]:
        """What all codes follow from, as a checkpoint keeps it: by name the conditions that are asked."""
        return {
            name: [[one.field, sorted(one.values)] for one in sorted(self._among(bits), key=_in_order)]
            for name, bits in zip(self.names, self.asked.tolist(), strict=True)
        }

    def translated(self, past: Mapping[str, Sequence[Sequence[Any]]]) -> NDArray[np.uint16]:
        """By code under the legend `past`: the code of now.

        A name that has none of its own any more is that of all others, the first. A condition that was not asked is not
        met.
        """
        was = Codes({name: [Condition(field, frozenset(values)) for field, values in past[name]] for name in past})
        places = {name: place for place, name in enumerate(self.names)}
        codes = np.zeros(len(was), np.uint16)
        for code, (name, met) in enumerate(zip(was.name_of.tolist(), was.meets.tolist(), strict=True)):
            place = places.get(was.names[name], 0)
            bits = self._set(condition for condition in was._among(met) if condition in self._bits)
            codes[code] = self.first[place] + _place_of(bits, int(self.asked[place]))
        return codes

    def _among(self, bits: int) -> list[Condition]:
        return [condition for condition, bit in self._bits.items() if bits & bit]

    def _set(self, conditions: Iterable[Condition]) -> int:
        return sum({self._bits[condition] for condition in conditions})


def _place_of(met: int, asked: int) -> int:
    """`place_among`, for single calls."""
    bits = [bit for bit in range(MAX_CONDITIONS) if asked >> bit & 1]
    return sum(1 << number for number, bit in enumerate(bits) if met >> bit & 1)


def _in_order(condition: Condition) -> tuple[str, list[str]]:
    return condition.field, sorted(condition.values)


def spread(place: int, bits: int) -> int:
    """The subset of `bits` that stands at `place` among all: bit i of `place` says whether its i-th bit is in it."""
    subset = 0
    while bits:
        lowest = bits & -bits
        if place & 1:
            subset |= lowest
        place >>= 1
        bits ^= lowest
    return subset


@inlined
def place_among(met: Number, bits: Number) -> Number:
    """The inverse of `spread`: where the subset `met & bits` stands among all of `bits`."""
    place: Number = 0
    weight: Number = 1
    while bits:
        lowest = bits & -bits
        if met & lowest:
            place += weight
        weight += weight
        bits ^= lowest
    return place
