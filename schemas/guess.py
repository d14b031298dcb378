"""Guesses what format rejected records have, for whoever reads that they were rejected. A guess decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.formats import FORMATS, Format
from schemas.signs import Sample


@dataclass(frozen=True, slots=True)
class Guess:
    """What most of some records look like."""

    format: Format
    alike: int  # records that look like it
    of: int  # records that were looked at

    def __str__(self) -> str:
        """One sentence."""
        which = "They look" if self.alike == self.of else f"{self.alike} of {self.of} of them look"
        return f"{which if self.of > 1 else 'It looks'} like {self.format.title}: {self.format.advice}."


def guess(records: Iterable[bytes], *, begins: bytes | None = None) -> Guess | None:
    """What at least half of the records look like; None: nothing that is known.

    `begins`: the first record of a file of which none was accepted; it may say what all are. Total for any bytes.
    Records without a value are not looked at.
    """
    found = [format_of(record) for record in records if record.strip()]
    beginning = None if begins is None else format_of(begins)
    if beginning is not None and beginning.whole:
        return Guess(beginning, len(found), len(found))
    known = Counter(one for one in found if one is not None)
    if not known:
        return None
    likely, alike = known.most_common(1)[0]
    return Guess(likely, alike, len(found)) if alike * 2 >= len(found) else None


def format_of(record: bytes) -> Format | None:
    """The first format of the table of which a record shows a sign; total for any bytes."""
    sample = Sample(record)
    return next((one for one in FORMATS if any(sign(sample) for sign in one.signs)), None)
