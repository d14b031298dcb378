"""The results as a table that a person reads and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One number: its section, what it is, its value and unit, and what is asked of it ("" where nothing is)."""

    section: str
    name: str
    value: float
    unit: str = ""
    bar: str = ""  # "<= 2.6" or ">= 300,000", in the row's unit

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None where there is none."""
        if not self.bar:
            return None
        sign, number = self.bar.split()
        limit = float(number.replace(",", ""))
        return self.value <= limit if sign == "<=" else self.value >= limit


def _number(value: float) -> str:
    if value != value or abs(value) == float("inf"):
        return "never"
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def text(rows: list[Row]) -> str:
    """All rows, a heading per section."""
    lines = []
    section = ""
    for row in rows:
        if row.section != section:
            section = row.section
            lines += ["", section]
        verdict = {None: "", True: f"  bar {row.bar}", False: f"  bar {row.bar}  MISSED"}[row.met]
        lines.append(f"  {row.name:<46}{_number(row.value):>12} {row.unit:<10}{verdict}".rstrip())
    return "\n".join(lines)


def write_json(path: Path, rows: list[Row], about: dict[str, Any]) -> None:
    """`about` and the rows; a number that does not exist is null."""
    finite = [
        asdict(row) | {"met": row.met, "value": row.value if abs(row.value) < float("inf") else None} for row in rows
    ]
    path.write_text(json.dumps(about | {"rows": finite}, indent=1) + "\n")
