"""What one publish says, as Redis holds it (schemas/redis.v1.md): numbers as text, and the cut that they stand at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from flows.messages.snapshot import ACCOUNTS

OF_PARTITION = re.compile(r"(?P<name>[a-z_.]+)\{partition=(?P<partition>\d+)\}")


Top = Mapping[str, Mapping[str, Mapping[str, int]]]
"""Top lists: list -> window -> value -> count."""

SINCE = "_since."
"""Begins the fields that say when a part began to count."""


@dataclass(frozen=True)
class Published:
    """The live hash, the top lists, and the minutes and days that were closed by then."""

    fields: Mapping[str, str]
    minutes: Mapping[int, Mapping[str, str]] = field(default_factory=dict)  # start of a minute (epoch ms) -> field
    minutes_from_ms: int = 0  # what was closed before may have gone by the time the minutes were read
    top: Top = field(default_factory=dict)
    days: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # ISO date -> field

    @property
    def as_of_ms(self) -> int | None:
        """T; None before the first event."""
        return int(self.fields["_as_of"]) if "_as_of" in self.fields else None

    @property
    def changed(self) -> bool:
        """Whether some part of it began later than the stream, since its config has changed."""
        return any(text != "0" for name, text in self.fields.items() if name.startswith(SINCE))

    @property
    def spans(self) -> dict[int, tuple[int, int]]:
        """By partition: the offset of the first record that is counted, and of the first that is not counted yet."""
        first, behind = self._by_partition("_from_offset"), self._by_partition("_to_offset")
        return {partition: (first[partition], behind[partition]) for partition in sorted(first.keys() & behind.keys())}

    @property
    def partitions(self) -> set[int]:
        """Those whose records are accounted for, also where there are none."""
        return set(self._by_partition("accounting.consumed"))

    def account(self, partition: int) -> dict[str, int]:
        """Records of a partition by what became of them, under the names of ACCOUNTS."""
        return {
            name: records
            for name in ACCOUNTS
            if (records := self._by_partition(f"accounting.{name}").get(partition)) is not None
        }

    def _by_partition(self, name: str) -> dict[int, int]:
        found = ((OF_PARTITION.fullmatch(field), text) for field, text in self.fields.items() if field.startswith(name))
        return {
            int(match["partition"]): int(text)
            for match, text in found
            if match is not None and match["name"] == name and text.lstrip("-").isdecimal()
        }
