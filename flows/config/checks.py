"""What a single value must obey beyond its type, and what is said when it does not."""

from __future__ import annotations

import difflib
import zoneinfo

from flows.config.mistakes import Finding, closest, shown
from flows.config.notation import format_duration


def check_windows(windows: tuple[int, ...]) -> tuple[int, ...]:
    """`windows` (ms) in ascending order; one given twice, under whatever name, is refused."""
    broken = [
        Finding((index,), f"{format_duration(window)} is listed twice")
        for index, window in enumerate(windows)
        if window in windows[:index]
    ]
    if broken:
        raise Finding.error(broken)
    return tuple(sorted(windows))


def each_once(listed: tuple[str, ...]) -> tuple[str, ...]:
    """`listed` in alphabetical order; a definition given twice is refused."""
    broken = [
        Finding((index,), f"{name} is listed twice") for index, name in enumerate(listed) if name in listed[:index]
    ]
    if broken:
        raise Finding.error(broken)
    return tuple(sorted(listed))


def check_time_zone(zone: str) -> str:
    """`zone` if the time zone database knows it."""
    try:
        zoneinfo.ZoneInfo(zone)
    # Besides "not found", odd names give ValueError (absolute paths), IsADirectoryError ("Europe"), ...
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
        known = zoneinfo.available_timezones()
        if not known:
            raise ValueError("no time zone database was found; install the package tzdata") from None
        raise Finding.error(
            [Finding((), f"found {shown(zone)}, expected an IANA time zone", _likely_zone(zone, known))]
        ) from None
    return zone


def _likely_zone(zone: str, known: set[str]) -> str | None:
    wanted = zone.lower().replace(" ", "_")
    cities = {name.rpartition("/")[2].lower(): name for name in sorted(known, reverse=True)}
    if wanted in cities:
        return cities[wanted]
    near_city = difflib.get_close_matches(wanted, cities, n=1, cutoff=0.8)
    return closest(wanted, known) or (cities[near_city[0]] if near_city else None)
