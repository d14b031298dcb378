"""What a checkpoint holds of each part of the source, and under which name.

Names are the address of the state in the store, so they are frozen: a partition's is its number in five digits. In a
cluster each process has a part of its own that ticks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bytewax.inputs import StatefulSourcePartition

from flows.messages.raw import Raw
from flows.messages.tick import Tick
from flows.process.outcomes import SourceError
from flows.source.log_identity import Place, Proof

State = tuple[int, str, int | None, tuple[int, ...] | None, str | None]
"""Version, topic, next offset (None: the partition's start was not known yet), the last record counted (a `Proof`;
None: there is none), and the topic's id (None: not known). Version 1, which is still read, had neither of these two.
"""

STATE_VERSION: Final = 2
_TICKS_NAME: Final = "ticks-"


def part_name(partition: int) -> str:
    """The name under which a partition's state is stored."""
    return f"{partition:05d}"


def ticks_name(process: int) -> str:
    """The name of the part that ticks in a process of a cluster."""
    return f"{_TICKS_NAME}{process:02d}"


def ticking_process(name: str) -> int | None:
    """The process whose part that ticks is called so; None: it is a partition's."""
    return int(name.removeprefix(_TICKS_NAME)) if name.startswith(_TICKS_NAME) else None


def state_of(topic: str, place: Place, topic_id: str | None) -> State:
    """What is stored of a partition of `topic` that has been read up to `place`."""
    return STATE_VERSION, topic, place.offset, None if place.proof is None else tuple(place.proof), topic_id


@dataclass(frozen=True, slots=True)
class Restored:
    """What a stored state says."""

    place: Place
    topic_id: str | None
    failure: SourceError | None  # why it cannot be gone on from


def restored(state: State, topic: str) -> Restored:
    """Read a stored state, of any version, for a source that reads `topic`."""
    version, stored_topic, offset, proof, topic_id = (*state, None, None)[:5]
    failure = None
    if version not in (1, STATE_VERSION):
        failure = SourceError(f"the checkpoint's offsets are of version {version}, this is {STATE_VERSION}")
    elif stored_topic != topic:
        failure = SourceError(
            f"the checkpoint was made from topic {stored_topic}, now {topic} is configured; each topic needs a state "
            f"folder of its own"
        )
    return Restored(Place(offset, None if proof is None else Proof(*proof)), topic_id, failure)


class UnusedPart(StatefulSourcePartition[Raw | Tick, State]):
    """A ticking part of a cluster of another size: it ends at once."""

    def next_batch(self) -> list[Raw | Tick]:
        """Nothing."""
        raise StopIteration

    def snapshot(self) -> State:
        """Nothing that anybody reads."""
        return STATE_VERSION, "", None, None, None
