"""The results as a table that a person reads and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Asked:
    """What a number should be, in the unit of its row: the bar it must reach, and what would be better still."""

    bar: str = ""  # "<= 2.6" or ">= 300,000"; "" where nothing is asked
    dream: str = ""

    def text(self) -> str:
        """Both, as far as they are."""
        return "; ".join(filter(None, [self.bar, f"dream {self.dream}" if self.dream else ""]))


NOTHING = Asked()


@dataclass(frozen=True, slots=True)
class Row:
    """One number: its section, what it is, its value and unit, and what is asked of it."""

    section: str
    name: str
    value: float  # not finite where the number does not exist
    unit: str = ""
    asked: Asked = NOTHING

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None where there is none."""
        return _within(self.value, self.asked.bar) if self.asked.bar else None

    @property
    def verdict(self) -> str:
        """`met`, `dream` when that is met as well, `MISSED`, or nothing where there is no bar."""
        if self.asked.dream and _within(self.value, self.asked.dream):
            return "dream"
        return {None: "", True: "met", False: "MISSED"}[self.met]


def _within(value: float, limit: str) -> bool:
    sign, number = limit.split()
    bound = float(number.replace(",", ""))
    return value <= bound if sign == "<=" else value >= bound


def number(value: float) -> str:
    """As much of `value` as means something."""
    if not math.isfinite(value):
        return "none"
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def text(rows: Iterable[Row]) -> str:
    """All rows, a heading per section."""
    lines = []
    section = ""
    for row in rows:
        if row.section != section:
            section = row.section
            lines += ["", section]
        lines.append(
            f"  {row.name:<48}{number(row.value):>12} {row.unit:<10}{row.asked.text():<28}{row.verdict}".rstrip()
        )
    return "\n".join(lines)


def write_json(path: Path, rows: Iterable[Row], about: dict[str, Any]) -> None:
    """`about` and the rows; a number that does not exist is null."""
    finite = [asdict(row) | {"met": row.met, "value": row.value if math.isfinite(row.value) else None} for row in rows]
    path.write_text(json.dumps(about | {"rows": finite}, indent=1) + "\n")


def rows_of(written: dict[str, Any]) -> list[Row]:
    """The rows of what `write_json` has written."""
    return [
        Row(
            row["section"],
            row["name"],
            math.inf if row["value"] is None else row["value"],
            row["unit"],
            Asked(**row["asked"]),
        )
        for row in written["rows"]
    ]
