"""What became of the records that were read, for whoever has to be told: how many were rejected, why, and since where.

Memory is bounded: of each reason the count, the first record's place, and a few records to guess a format from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from flows.messages.columns import REASONS, Columns
from flows.messages.raw import Rejected
from schemas.guess import Guess, guess
from schemas.signs import LOOKED_AT

Place = Callable[[Rejected], str]
"""Where a record is, in the words of a message."""

FIRST_SAMPLES: Final = 4
"""Records kept from a reason's beginning: how a file begins tells most."""

LATEST_SAMPLES: Final = 8
"""And the latest ones, for a stream that has changed meanwhile."""


def in_topic(rejected: Rejected) -> str:
    """The place of a record in its topic."""
    return f"partition {rejected.partition}, offset {rejected.offset}"


@dataclass(slots=True)
class Reason:
    """One of the reasons for which records were rejected."""

    name: str  # one of flows.messages.columns.REASONS
    place: str  # of the first such record
    message: str  # of the first such record
    count: int = 0
    first: list[bytes] = field(default_factory=list)
    latest: deque[bytes] = field(default_factory=lambda: deque(maxlen=LATEST_SAMPLES))

    def take(self, record: bytes) -> None:
        """One more record."""
        self.count += 1
        samples = self.first if len(self.first) < FIRST_SAMPLES else self.latest
        samples.append(record[:LOOKED_AT])


class Rejections:
    """Takes polls, and tells what of them was rejected."""

    def __init__(self, place: Place = in_topic) -> None:
        self.consumed = 0
        self.accepted = 0
        self.excluded = 0
        self._place = place
        self._reasons: dict[str, Reason] = {}

    def take(self, poll: Columns, rejected: Sequence[Rejected]) -> None:
        """A poll, as `Intake.read` returns it."""
        self.consumed += poll.consumed
        self.accepted += len(poll.rows)
        self.excluded += int(poll.excluded.sum())
        for one in rejected:
            reason = self._reasons.get(one.reason)
            if reason is None:
                reason = self._reasons[one.reason] = Reason(one.reason, self._place(one), one.message)
            reason.take(one.payload)

    @property
    def rejected(self) -> int:
        """Records rejected so far."""
        return sum(reason.count for reason in self._reasons.values())

    @property
    def nothing_accepted(self) -> bool:
        """Whether records were rejected, and none was accepted."""
        return self.accepted == 0 and self.rejected > 0

    def reasons(self) -> list[Reason]:
        """The most frequent one first."""
        return sorted(self._reasons.values(), key=lambda reason: -reason.count)

    def guess(self) -> Guess | None:
        """What format most records of the most frequent reason have; None where none is known."""
        if not self._reasons:
            return None
        most = self.reasons()[0]
        earliest = next(iter(self._reasons.values())).first[0]
        return guess([*most.first, *most.latest], begins=earliest if self.nothing_accepted else None)

    def lines(self) -> Iterator[str]:
        """A line for each reason, with the place and message of its first record, then what the records look like."""
        reasons = self.reasons()
        name_width = max((len(reason.name) for reason in reasons), default=0)
        count_width = max((len(f"{reason.count:,}") for reason in reasons), default=0)
        for reason in reasons:
            first = f"first at {reason.place}: {reason.message}"
            yield f"{reason.name:{name_width}}  {reason.count:{count_width},}  {first}"
        found = self.guess()
        if found is not None and (self.nothing_accepted or not found.format.read):
            yield str(found)

    def __str__(self) -> str:
        """What is said of all that was read, in several lines."""
        fate, count = ("accepted", self.accepted) if self.nothing_accepted else ("rejected", self.rejected)
        return "\n".join([f"{count:,} of {self.consumed:,} records {fate}", *self.lines()])


def nothing_accepted(accounting: Mapping[int, Mapping[str, int]]) -> bool:
    """Whether the accounts of all partitions say that records were rejected and none was accepted."""
    accounts = accounting.values()
    if any(account["accepted"] for account in accounts):
        return False
    return any(account[f"rejected.{reason}"] for account in accounts for reason in REASONS)
