"""The report of `tidegauge validate --events`: what a config makes of a file of events."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Final

from flows.commands.census import Absent, Census, Unmet
from flows.commands.progress import progress_shown
from flows.commands.verdict import NOTHING_ACCEPTED, sentence
from flows.config.file import Loaded
from flows.config.model import OTHER, UNKNOWN
from flows.decode.intake import Intake
from flows.process.log_lines import plain
from flows.process.outcomes import SourceError
from flows.source.file import FileSource

SHOWN: Final = 10
"""Names of events that are listed with their counts."""

MOST_ABSENT: Final = 50
"""Names of the config that are listed as absent."""


logger = logging.getLogger(__name__)


def report(file: str, loaded: Loaded) -> int:
    """Print what the config makes of the events in `file`; 0, or NOTHING_ACCEPTED."""
    config, settings = loaded
    try:
        with (
            progress_shown() as progress,
            closing(FileSource(file, limits=settings.limits, progress=progress)) as source,
        ):
            census = Census(config, source.place)
            intake = Intake(config, settings.limits)
            for raw in source.polls():
                census.take(raw, *intake.read(raw))
    except SourceError as failure:
        logger.error("%s", failure)
        return NOTHING_ACCEPTED
    print("\n".join(lines(source.name, census)))
    return 0 if census.rejections.accepted else NOTHING_ACCEPTED


def lines(name: str, census: Census) -> Iterator[str]:
    """The report on the file `name`; no text of an event can move the cursor."""
    rejections = census.rejections
    if not rejections.consumed:
        yield f"{name}: {sentence(rejections)}"
        return
    yield f"{name}: {rejections.accepted:,} of {rejections.consumed:,} records accepted"
    yield from (f"  {plain(line)}" for line in _fates(census))
    if rejections.accepted:
        yield from (f"  {plain(line)}" for line in _names(census))
        yield from (f"  {plain(line)}" for line in _values(census))


def _fates(census: Census) -> Iterator[str]:
    rejections = census.rejections
    if census.first_ms is not None and census.last_ms is not None:
        yield f"times     {_time(census.first_ms)} to {_time(census.last_ms)}"
    if census.clamped:
        yield f"clamped   {census.clamped:,}: their time lay ahead of the record's, which is used instead"
    if rejections.excluded:
        names = ", ".join(f"{name} {count:,}" for name, count in census.excluded.most(SHOWN))
        yield f"excluded  {rejections.excluded:,}: {names}"
    if rejections.rejected:
        yield f"rejected  {rejections.rejected:,}:"
        yield from (f"  {line}" for line in rejections.lines())


def _names(census: Census) -> Iterator[str]:
    absent = census.absent_names()
    if absent:
        yield "named in the config, but never found:"
        yield from (f"  {_told(one)}" for one in absent[:MOST_ABSENT])
        if len(absent) > MOST_ABSENT:
            yield f"  and {len(absent) - MOST_ABSENT:,} more"
    if unmet := census.unmet():
        yield "chosen in the config by what they carry (`where`), but never found:"
        yield from (f"  {_condition(one)}" for one in unmet[:MOST_ABSENT])
        if len(unmet) > MOST_ABSENT:
            yield f"  and {len(unmet) - MOST_ABSENT:,} more"
    if unnamed := census.unnamed.most(SHOWN):
        yield f"most frequent names that the config does not mention{'' if census.unnamed.exact else ' (at least)'}:"
        width = len(f"{unnamed[0][1]:,}")
        yield from (f"  {count:{width},}  {name}" for name, count in unnamed)


def _told(one: Absent) -> str:
    places = f" ({', '.join(one.places)})" if one.places else ""
    return f"{one.name}{places}" + (f"; did you mean {one.suggestion}?" if one.suggestion else "")


def _condition(one: Unmet) -> str:
    asked = " and ".join(f"{field} is {' or '.join(values)}" for field, values in one.where.items())
    return f"{' or '.join(one.names)} where {asked} ({one.place}); found {one.events:,} without"


def _values(census: Census) -> Iterator[str]:
    accepted = census.rejections.accepted
    for name, values in census.breakdowns().items():
        yield from _dimension(f"breakdown {name} ({values.field})", values.counts, accepted)
    states = sum(census.plans().values())
    if states:
        yield from _dimension("subscriptions.plans", census.plans(), states)


def _dimension(title: str, counts: dict[str, int], total: int) -> Iterator[str]:
    listed = {label: count for label, count in counts.items() if label not in (OTHER, UNKNOWN)}
    shares = ", ".join(f"{label} {counts[label] / total:.1%}" for label in counts if counts[label])
    yield f"{title}: {shares}"
    if never := [label for label, count in listed.items() if not count]:
        shown = ", ".join(never[:MOST_ABSENT]) + (
            f" and {len(never) - MOST_ABSENT:,} more" if never[MOST_ABSENT:] else ""
        )
        yield f"  never found: {shown}"
    if counts[UNKNOWN] == total:
        yield "  no event has this field"


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
