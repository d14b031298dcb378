"""The results as a table: on the terminal, as JSON, and in the page between its markers."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from deploy.bench.peers.result import CatchUp, Failed, Result, Steady, Verdict, result_from
from deploy.bench.peers.task import CELLS

BEGIN: Final = "<!-- written by `make bench-peers`: begin -->"
END: Final = "<!-- written by `make bench-peers`: end -->"
HEADINGS: Final = (
    "peer",
    "numbers",
    "events/s and core",
    "CPU per event",
    "by the clock",
    "fresh p50",
    "p99",
    "memory",
)
STORIES: Final = ("late", "duplicates", "broken", "killed")


def rows(results: Sequence[Result]) -> list[list[str]]:
    """The headings and a row for each peer; costs also as multiples of Tidegauge's."""
    own = next((result.catch_up for result in results if result.name == "tidegauge"), None)
    yardstick = own if isinstance(own, CatchUp) else None
    stories = [name for name in STORIES if any(name in result.stories for result in results)]
    table = [[*HEADINGS, *stories]]
    for result in results:
        if result.unavailable is not None:
            table.append([result.title, "cannot be had here", *[""] * (len(table[0]) - 2)])
            continue
        table.append(
            [
                result.title,
                f"{result.cells} of {len(CELLS)}",
                *_costs(result.catch_up, yardstick),
                *_ages(result.steady),
                *(_verdict(result.stories.get(name)) for name in stories),
            ]
        )
    return table


def _costs(price: CatchUp | Failed | None, yardstick: CatchUp | None) -> list[str]:
    if not isinstance(price, CatchUp):
        return ["failed" if price else "-", "-", "-"]
    speed = f"{_two_digits(1e9 / price.cpu_ns)}" if price.cpu_ns > 0 else "too few events"
    return [
        speed,
        _times(price.cpu_ns, yardstick.cpu_ns if yardstick else 0),
        _times(price.wall_ns, yardstick.wall_ns if yardstick else 0),
    ]


def _times(cost: float, own: float) -> str:
    return f"{float(f'{cost / own:.2g}'):g} x" if cost > 0 and own > 0 else "-"


def _two_digits(value: float) -> str:
    return f"{int(float(f'{value:.2g}')):,}"


def _ages(found: Steady | Failed | None) -> list[str]:
    if not isinstance(found, Steady):
        return ["failed" if found else "-", "-", "-"]
    return [_seconds(found.p50_ms), _seconds(found.p99_ms), f"{found.peak_bytes / 1e6:,.0f} MB"]


def _seconds(age_ms: float | None) -> str:
    return "never" if age_ms is None else f"{age_ms / 1000:.2f} s" if age_ms < 10_000 else f"{age_ms / 1000:.0f} s"


def _verdict(found: Verdict | Failed | None) -> str:
    if found is None:
        return "-"
    if isinstance(found, Failed):
        return "failed"
    return "right" if not found.wrong else f"{found.wrong} wrong, by up to {_percent(found.worst)}"


def _percent(share: float) -> str:
    return f"{share * 100:.2g} %" if share < 0.1 else f"{share * 100:.0f} %"


def text(results: Sequence[Result]) -> str:
    """The table for a terminal, and what did not work below it."""
    table = rows(results)
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join([*lines, "", *notes(results)])


def markdown(results: Sequence[Result], options: Mapping[str, Any]) -> str:
    """The table for a page, the versions, and what did not work."""
    if not results:
        return "Not measured yet."
    head, *body = ("| " + " | ".join(row) + " |" for row in rows(results))
    rule = "|" + "---|" * len(rows(results)[0])
    load = (
        f"Steady load {options['rate']:,.0f} events/s for {options['seconds']:.0f} s, {options['users']:,} users; "
        f"stories of {options['events']:,} events."
    )
    return "\n".join([head, rule, *body, "", load, "", *(f"* {line}" for line in [*notes(results), *_cannot(results)])])


def notes(results: Sequence[Result]) -> list[str]:
    """The versions, and the reason of everything that failed."""
    found = [f"{result.title}: {result.versions}" for result in results if result.versions]
    for result in results:
        if result.unavailable is not None:
            found.append(f"{result.title} cannot be had here: {result.unavailable}")
        parts = {"catch-up": result.catch_up, "steady load": result.steady} | dict(result.stories)
        found += [
            f"{result.title}, {what}: failed, {part.reason}" for what, part in parts.items() if isinstance(part, Failed)
        ]
    return found


def _cannot(results: Sequence[Result]) -> list[str]:
    return [f"{result.title} cannot give {what}: {why}." for result in results for what, why in result.cannot.items()]


def write_json(path: Path, results: Sequence[Result], about: Mapping[str, Any]) -> None:
    """`about` and the results; a number that does not exist is null."""
    written = dict(about) | {"peers": [dataclasses.asdict(result) for result in results]}
    path.write_text(json.dumps(_finite(written), indent=1) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path) -> tuple[list[Result], dict[str, Any]]:
    """The results of a file, and the options that they were measured with."""
    written = json.loads(path.read_text())
    return [result_from(part) for part in written["peers"]], written["options"]


def with_table(page: str, results: Sequence[Result], options: Mapping[str, Any]) -> str:
    """The page, with the table of these results between its markers; ValueError when it has none."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no line {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{markdown(results, options)}\n{END}{after}"


def write_page(path: Path, results: Sequence[Result], options: Mapping[str, Any]) -> None:
    """Renew the table of a page."""
    path.write_text(with_table(path.read_text(), results, options))
