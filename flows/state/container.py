"""What the shard asks of everything a family remembers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flows.state.axes import Legend

Arrays = dict[str, NDArray[Any]]


class Container(ABC):
    """Flat arrays with a way into a checkpoint and back.

    A family keeps all its state in public attributes that are containers; the shard finds them there. Containers that
    hold one row per user follow the user table through `resize` and `keep`; for the others both do nothing.
    """

    @abstractmethod
    def save(self, users: int) -> Arrays:
        """The arrays to write into a checkpoint, those per user cut to the first `users` rows."""

    @abstractmethod
    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        """Take back what `save` gave, with room for `capacity` users."""

    def legend(self) -> Legend:
        """What the places of its arrays stand for (JSON); None: nothing that a config could change."""
        return None

    def carry(self, arrays: Arrays, past: Legend) -> Arrays:
        """What `save` gave under the legend `past`, as it is under those of now: `load` takes it then."""
        # Asked only where the legend has changed, and without an own `legend` it never does.
        raise NotImplementedError(f"{type(self).__name__} has no labels")

    def upgraded(self, arrays: Arrays) -> Arrays:
        """What `save` of an earlier build gave, as it is given now; anything else as it is."""
        return arrays

    def resize(self, capacity: int) -> None:  # noqa: B027 - most containers hold nothing per user
        """Make room for `capacity` users."""

    def keep(self, slots: NDArray[Any]) -> None:  # noqa: B027
        """Renumber the users: the new slot i is the old `slots[i]`; all others are forgotten."""


def renumbered(owners: NDArray[np.int64], slots: NDArray[Any]) -> NDArray[np.int64]:
    """The new slots of those who had the slots `owners`, -1: forgotten; `slots` is as in `Container.keep`."""
    new = np.full(int(max(owners.max(initial=0), slots.max(initial=0))) + 1, -1, np.int64)
    new[slots] = np.arange(len(slots))
    found: NDArray[np.int64] = new[owners]
    return found


def containers(owner: object) -> dict[str, Container]:
    """The containers among the public attributes of `owner`, by name, in order of their definition."""
    return {
        name: value for name, value in vars(owner).items() if isinstance(value, Container) and not name.startswith("_")
    }


def bytes_held(container: Container) -> int:
    """Of memory, in its arrays, in tuples of arrays that it gives to kernels, and in containers of its own."""
    total = 0
    for value in vars(container).values():
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, np.ndarray):
                total += one.nbytes
            elif isinstance(one, Container):
                total += bytes_held(one)
    return total
