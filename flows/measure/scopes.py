"""Breakdowns by what a visit or a user began with (METRICS.md 5, "Breakdown scope").

A breakdown of scope `session` has the value of the first event of the session that is open for the user then, one of
scope `first` that of the user's first event that shows presence. Both are stamped on events, in order, before the
ordered families see them; so a family knows nothing of scopes.

    events         identify    page    track     identify     page
    their own      a           b       c         d            e
    session                    [-- one ----------- timeout -| [-- another
    scope session  a           b       b         b            e
    scope first    a           a       a         a            a

(The first identify shows presence but opens no session. One after the session's timeout would have its own value.)
Nothing is kept for a scope that no breakdown has. When the config gets one, users of before have the value `unknown` by
their first event, and a session that is open then begins, for the scope, with its next event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import steady
from flows.compiled.prefetch import prefetch, upcoming
from flows.config.model import UNKNOWN, Config
from flows.messages.columns import PAGE, SCREEN, TRACK
from flows.metrics.family import Groups
from flows.state.axes import Legend
from flows.state.container import Arrays, Container
from flows.state.rows import UserRows

LATEST_SESSION: Final = np.dtype(
    [
        ("start", "i8"),  # ms
        ("closes_at", "i8"),  # last event + timeout; 0: there was none
        ("dims", "u8"),  # breakdown codes of its first event
    ]
)
NONE_YET: Final = np.iinfo(np.uint64).max
"""In place of a first event's codes: no code is 255."""


class Rules(NamedTuple):
    """The config as the loop takes it."""

    timeout: int
    max_duration: int
    shows_presence: NDArray[np.bool_]  # by event code
    of_session: np.uint64  # the bytes of `dims` that hold breakdowns of that scope
    of_first: np.uint64


class Scopes(Container):
    """What the latest session and the first event of each user showed."""

    def __init__(self, config: Config) -> None:
        of_session, of_first = (_bytes_of(config, scope) for scope in ("session", "first"))
        self._rules = Rules(
            config.sessions.timeout,
            config.sessions.max_duration,
            config.shows_presence(config.codes()),
            of_session,
            of_first,
        )
        self._dims = Groups(config, None)
        self._unknown = sum(
            one.labels().index(UNKNOWN) << 8 * place for place, one in enumerate(config.breakdowns.values())
        )
        self._sessions = UserRows(LATEST_SESSION, dims=self._dims)
        self._firsts = UserRows(np.uint64, fill=NONE_YET, dims=self._dims)
        self._kept = [*([self._sessions] if of_session else []), *([self._firsts] if of_first else [])]

    def stamp(self, rows: NDArray[Any]) -> None:
        """Put the values of their scopes into `dims` of `rows` (dtype HELD), which are all there are up to their time,
        in order.
        """
        if self._kept:
            _stamp(rows, self._rules, self._sessions.rows, self._firsts.rows)

    def save(self, users: int) -> Arrays:
        return {
            "sessions": self._sessions.save(users)["rows"],
            "firsts": self._firsts.save(users)["rows"],
            "users": np.array([users]),
        }

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        for kept, stored in ((self._sessions, arrays["sessions"]), (self._firsts, arrays["firsts"])):
            if kept in self._kept:
                kept.load({"rows": stored}, capacity)
        known = int(arrays["users"][0])
        if self._firsts in self._kept and not len(arrays["firsts"]):
            self._firsts.rows[:known] = self._unknown  # their first events were before there was such a scope

    def legend(self) -> Legend:
        return self._dims.legend()

    def carry(self, arrays: Arrays, past: Legend) -> Arrays:
        carried = self._firsts.carry({"rows": arrays["firsts"]}, past)["rows"]
        return {
            "sessions": self._sessions.carry({"rows": arrays["sessions"]}, past)["rows"],
            "firsts": np.where(arrays["firsts"] == NONE_YET, NONE_YET, carried),
            "users": arrays["users"],
        }

    def resize(self, capacity: int) -> None:
        for kept in self._kept:
            kept.resize(capacity)

    def keep(self, slots: NDArray[Any]) -> None:
        for kept in self._kept:
            kept.keep(slots)


def _bytes_of(config: Config, scope: str) -> np.uint64:
    places = (place for place, breakdown in enumerate(config.breakdowns.values()) if breakdown.scope == scope)
    return np.uint64(sum(255 << 8 * place for place in places))


@steady
def _stamp(rows: NDArray[Any], rules: Rules, sessions: NDArray[Any], firsts: NDArray[np.uint64]) -> None:
    for i in range(len(rows)):
        row = rows[i]
        slot = row["slot"]
        ts = row["ts"]
        own = row["dims"]
        shows = rules.shows_presence[row["code"]]
        if rules.of_session:
            prefetch(sessions, upcoming(rows, i))
            kind = row["kind"]
            session = sessions[slot]
            if shows and kind in (TRACK, PAGE, SCREEN):
                if ts > session["closes_at"] or ts - session["start"] > rules.max_duration:
                    session["start"] = ts
                    session["dims"] = own
                session["closes_at"] = ts + rules.timeout
            if ts <= session["closes_at"]:
                row["dims"] = row["dims"] & ~rules.of_session | session["dims"] & rules.of_session
        if rules.of_first:
            prefetch(firsts, upcoming(rows, i))
            if shows and firsts[slot] == NONE_YET:
                firsts[slot] = own
            if firsts[slot] != NONE_YET:
                row["dims"] = row["dims"] & ~rules.of_first | firsts[slot] & rules.of_first
