"""What the places along an array stand for, so that numbers are found again by name when the config has changed.

A checkpoint keeps beside an array what its places stood for when it was saved. Where that has changed since, each place
of the new array is the sum of old places: its own by name, none for what is new, and more than one where something has
no name of its own any more and is counted with all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Legend: TypeAlias = Any
"""JSON: what places stand for, as kept in a checkpoint."""


class Axis(Protocol):
    """The places along one axis of an array."""

    def __len__(self) -> int:
        """How many there are."""

    def legend(self) -> Legend:
        """What they stand for."""

    def size(self, past: Legend) -> int:
        """How many there were under another legend."""

    def sources(self, past: Legend) -> Sequence[Sequence[int]]:
        """By place: the places under `past` whose sum it is."""


class Words(Protocol):
    """What the bytes of a `dims` word stand for."""

    def legend(self) -> Legend:
        """One byte for each breakdown; what the values of each stand for."""

    def words(self, values: NDArray[np.uint64], past: Legend) -> NDArray[np.uint64]:
        """The words made under another legend, as they are under these."""


class Names:
    """Places with names; what has none of its own any more is counted at `rest`, or forgotten where that is None."""

    def __init__(self, names: Sequence[str], rest: str | None = None) -> None:
        self._names = list(names)
        self._rest = rest

    def __len__(self) -> int:
        return len(self._names)

    def legend(self) -> Legend:
        return self._names

    def size(self, past: Legend) -> int:
        return len(past)

    def sources(self, past: Legend) -> Sequence[Sequence[int]]:
        gone = [place for place, name in enumerate(past) if name not in self._names]
        places = {name: [place] for place, name in enumerate(past)}
        return [places.get(name, []) + (gone if name == self._rest else []) for name in self._names]

    def places(self, codes: NDArray[Any], past: Legend) -> NDArray[Any]:
        """Places under another legend, as they are under this one; there must be a `rest` for what has none."""
        assert self._rest is not None
        found = [self._names.index(name if name in self._names else self._rest) for name in past]
        return np.array(found, codes.dtype)[codes.astype(np.int64)]


class Numbers:
    """Places whose meaning is fixed in the code of a family, and part of its layout."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def legend(self) -> Legend:
        return self._count

    def size(self, past: Legend) -> int:
        return int(past)

    def sources(self, past: Legend) -> Sequence[Sequence[int]]:
        return [[place] if place < past else [] for place in range(self._count)]


def axis_of(axis: Axis | int) -> Axis:
    """A number of places is an axis as well."""
    return Numbers(axis) if isinstance(axis, int) else axis


def carried(values: NDArray[Any], first: int, axes: Sequence[Axis], past: Sequence[Legend]) -> NDArray[Any]:
    """`values`, whose axes from `first` on had the legend `past`, with those of `axes`."""
    for number, (axis, legend) in enumerate(zip(axes, past, strict=True), first):
        if axis.legend() != legend:
            parts = [values.take(places, axis=number).sum(axis=number) for places in axis.sources(legend)]
            values = np.stack(parts, axis=number) if parts else values.take([], axis=number)
    return values
