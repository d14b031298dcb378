"""What a checkpoint holds for one shard, taken back container by container, each under the legend of now."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.layout import CheckpointError, State, check_made_with, unpack
from flows.checkpoint.parts import Definitions, compare
from flows.measure.clock import StreamClock
from flows.messages.columns import NO_TIME
from flows.messages.snapshot import ACCOUNTS
from flows.state.container import Container, containers

ACCOUNTING, OFFSETS = "accounting", "offsets"


class Stored:
    """The state in `frozen`, to be taken back under `definitions`; raises CheckpointError where nothing of it can."""

    def __init__(self, frozen: bytes | memoryview, definitions: Definitions) -> None:
        self._state: State = unpack(frozen)
        self._definitions = definitions
        self._legends = json.loads(self._state.legends)
        self._comparison = compare(check_made_with(self._state), definitions)
        if self._comparison.refused:
            raise CheckpointError(
                f"the checkpoint cannot go on: {'; '.join(self._comparison.refused)}; "
                "restore that, or start afresh with an empty --state folder"
            )

    @property
    def users(self) -> int:
        """How many the shard knew."""
        return len(self._state.arrays["users/hashes"])

    def keeps(self, part: str) -> bool:
        """Whether a part goes on."""
        return part in self._comparison.kept

    def since(self, clock: StreamClock) -> dict[str, int]:
        """When the parts began that have not been there from the beginning, by the clock of the checkpoint (ms).

        What begins now begins with the first millisecond after all that has been read: so it counts no part of an event
        that others have seen with other eyes, and begins in all shards at once.
        """
        began = dict(self._state.since)
        starts = 0 if clock.latest_ms == NO_TIME else clock.next_ms
        found = {part: began.get(part, 0) if self.keeps(part) else starts for part in self._definitions.parts}
        return {part: since for part, since in found.items() if since}

    def accounting(self) -> NDArray[np.int64]:
        """Records by partition and account."""
        stored, past = self._state.arrays[ACCOUNTING], self._legends[ACCOUNTING]
        found = np.zeros((len(stored), len(ACCOUNTS)), np.int64)
        for column, account in enumerate(ACCOUNTS):
            if account in past:
                found[:, column] = stored[:, past.index(account)]
        if "late_out_of_order" not in past:  # an earlier build left out whatever was late
            found[:, ACCOUNTS.index("late_out_of_order")] = found[:, ACCOUNTS.index("late")]
        return found

    def offsets(self) -> NDArray[np.int64]:
        """By partition: of the first record that is counted, and behind the last."""
        return self._state.arrays[OFFSETS].copy()

    def load_all(self, prefix: str, owner: object, capacity: int) -> None:
        """Let all containers of `owner` hold what was saved under their names behind `prefix`."""
        for name, container in containers(owner).items():
            self.load(f"{prefix}{name}", container, capacity)

    def load(self, name: str, container: Container, capacity: int) -> None:
        """Let `container` hold what was saved under that name."""
        prefix = f"{name}/"
        arrays = container.upgraded(
            {key.removeprefix(prefix): array for key, array in self._state.arrays.items() if key.startswith(prefix)}
        )
        if {key: array.dtype for key, array in arrays.items()} != {
            key: array.dtype for key, array in container.save(0).items()
        }:
            raise CheckpointError(
                f"the checkpoint holds {name} otherwise than this version of tidegauge does; "
                "run the version that wrote it, or start afresh with an empty --state folder"
            )
        past, legend = self._legends.get(name), container.legend()
        container.load(arrays if past == legend else container.carry(arrays, past), capacity)
