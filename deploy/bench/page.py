"""Writes the tables of PERFORMANCE.md from the results of a bench: no number on that page is typed.

    python -m deploy.bench.page [RESULTS] [PAGE]

Exit codes: 0 written, 1 when RESULTS or PAGE cannot be used.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deploy.bench.measures import STAGES
from deploy.bench.table import Row, number, rows_of

RESULTS: Final = Path(__file__).with_name("results.json")
PAGE: Final = Path(__file__).with_name("PERFORMANCE.md")


def measured(results: dict[str, Any]) -> str:
    """Where and how the results came to be."""
    about, options = results["measured"], results["options"]
    lines = [
        ("when", about["at"]),
        ("took", f"{about['took_s'] / 60:.0f} minutes" + (", quick" if options["quick"] else "")),
        ("processor", f"{about['cpu']}, {about['cores']} cores"),
        ("load average before", number(about["load_before"])),
        ("Python", about["python"]),
        *((name, about[name]) for name in ("bytewax", "confluent-kafka", "numba", "numpy")),
        ("topic", f"{options['events']:,} events, {options['users']:,} users, seed {options['seed']}"),
        ("runs of each size", f"{options['repeats']}; the cheapest counts"),
    ]
    return _table(["", ""], [[name, str(value)] for name, value in lines])


def asked(results: dict[str, Any]) -> str:
    """Every number of which something is asked."""
    rows = [row for row in rows_of(results) if row.asked.text()]
    return _table(
        ["where", "what", "measured", "bar", "dream", ""],
        [
            [row.section, row.name, _with_unit(row), row.asked.bar, row.asked.dream, _emphasised(row.verdict)]
            for row in rows
        ],
    )


def stages(results: dict[str, Any]) -> str:
    """Where the time goes, the largest first."""
    rows = [row for row in rows_of(results) if row.section == STAGES]
    if not rows:
        return "This bench did not measure the stages."
    whole = next(row.value for row in rows if row.name == "all")
    parts = sorted((row for row in rows if row.name != "all"), key=lambda row: -row.value)
    lines = [[row.name, number(row.value), f"{row.value / whole:.0%}"] for row in parts]
    return "\n".join(
        [
            _table(["stage", "ns/event", "share"], [*lines, ["all", number(whole), ""]]),
            "",
            f"The largest part is {parts[0].name}: {number(parts[0].value)} of {number(whole)} ns per event.",
        ]
    )


def everything(results: dict[str, Any]) -> str:
    """All rows, a table for each section."""
    found = []
    for section, rows in groupby(rows_of(results), key=lambda row: row.section):
        lines = [[row.name, _with_unit(row), row.asked.text(), _emphasised(row.verdict)] for row in rows]
        found.append(f"**{section}**\n\n" + _table(["", "measured", "asked", ""], lines))
    return "\n\n".join(found)


PARTS: Final[dict[str, Callable[[dict[str, Any]], str]]] = {
    "measured": measured,
    "asked": asked,
    "stages": stages,
    "everything": everything,
}
"""What stands between `<!-- NAME: written by `make bench-page` -->` and `<!-- NAME: end -->`."""


def with_results(page: str, results: dict[str, Any]) -> str:
    """`page` with these results between its markers; ValueError when a marker is missing."""
    for name, part in PARTS.items():
        begin, end = f"<!-- {name}: written by `make bench-page` -->", f"<!-- {name}: end -->"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"the page lacks {begin if not found else end}")
        page = f"{before}{begin}\n{part(results)}\n{end}{after}"
    return page


def _table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    cells = [heads, ["---"] * len(heads), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def _with_unit(row: Row) -> str:
    return f"{number(row.value)} {row.unit}".rstrip()


def _emphasised(verdict: str) -> str:
    return f"**{verdict}**" if verdict == "MISSED" else verdict


def main(given: Sequence[str] | None = None) -> int:
    """Write the page anew."""
    parser = argparse.ArgumentParser(prog="page", description=__doc__)
    parser.add_argument("results", type=Path, nargs="?", default=RESULTS, help="what make bench wrote (%(default)s)")
    parser.add_argument("page", type=Path, nargs="?", default=PAGE, help="the page to renew (%(default)s)")
    options = parser.parse_args(given)
    try:
        written = with_results(options.page.read_text(), json.loads(options.results.read_text()))
    except (OSError, ValueError, KeyError) as mistake:
        print(f"page: {options.results} or {options.page} cannot be used: {mistake!r}", file=sys.stderr)
        print('page: make bench BENCH="--json deploy/bench/results.json" writes the results', file=sys.stderr)
        return 1
    options.page.write_text(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
