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

A computed breakdown may look back (`direct: last`): where a session's own value is `direct`, it has the last other one,
of the latest of the user's sessions whose own value was another, if that began at most 90 days before. Taking it does
not renew it.

Nothing is kept for a scope that no breakdown has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import inlined, steady
from flows.compiled.prefetch import prefetch, upcoming
from flows.config.channels import DIRECT, LAST_MS
from flows.config.model import Config
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
NONE_YET: Final = 255
"""In place of the code that the first event showed: no value has it."""
CODE_BITS: Final = 8
"""Of the last other value: its code in the low bits, the time of its session above; 0: there was none."""


class Rules(NamedTuple):
    """The config as the loop takes it."""

    timeout: int
    max_duration: int
    shows_presence: NDArray[np.bool_]  # by event code
    of_session: np.uint64  # the bytes of `dims` that hold breakdowns of that scope
    of_first: NDArray[np.uint64]  # where in `dims` those of this one begin, in bits
    looking_back: NDArray[np.uint64]  # the same of those by session that look back
    direct: NDArray[np.int64]  # by place in `looking_back`: the code of `direct`


class Scopes(Container):
    """What the latest session and the first event of each user showed."""

    def __init__(self, config: Config) -> None:
        self._scopes = [breakdown.scope for breakdown in config.breakdowns.values()]
        self._dims = Groups(config, None)
        of_session = sum(255 << place for place in self._places("session"))
        breakdowns = enumerate(config.breakdowns.items())
        self._looking_back = [(name, 8 * place, one.labels()) for place, (name, one) in breakdowns if one.looks_back]
        self._rules = Rules(
            config.sessions.timeout,
            config.sessions.max_duration,
            config.shows_presence(config.codes),
            np.uint64(of_session),
            np.array(self._places("first"), np.uint64),
            np.array([place for _, place, _ in self._looking_back], np.uint64),
            np.array([labels.index(DIRECT) for _, _, labels in self._looking_back], np.int64),
        )
        self._sessions = UserRows(LATEST_SESSION)
        self._firsts = UserRows(np.uint64, fill=np.iinfo(np.uint64).max)
        self._others = UserRows(np.int64, width=len(self._looking_back))
        self._kept = [
            kept for scope, kept in (("session", self._sessions), ("first", self._firsts)) if scope in self._scopes
        ]
        if self._looking_back:
            self._kept.append(self._others)

    def _places(self, scope: str) -> list[int]:
        return [8 * place for place, of in enumerate(self._scopes) if of == scope]

    def stamp(self, rows: NDArray[Any]) -> None:
        """Put the values of their scopes into `dims` of `rows` (dtype HELD), which are all there are up to their time,
        in order.
        """
        if self._kept:
            _stamp(rows, self._rules, self._sessions.rows, self._firsts.rows, self._others.rows)

    def save(self, users: int) -> Arrays:
        return {name: rows.save(users)["rows"] for name, rows in self._all().items()}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        for name, kept in self._all().items():
            if kept in self._kept:
                kept.load({"rows": arrays[name]}, capacity)

    def upgraded(self, arrays: Arrays) -> Arrays:
        """An earlier build had no sessions that look back."""
        return {"others": np.zeros((len(arrays["sessions"]), 0), np.int64), **arrays}

    def _all(self) -> dict[str, UserRows]:
        return {"sessions": self._sessions, "firsts": self._firsts, "others": self._others}

    def legend(self) -> Legend:
        return self._dims.legend()

    def carry(self, arrays: Arrays, past: Legend) -> Arrays:
        """A breakdown that is new, or another, begins with the user's first event from now on, and knows of no session
        before; what a session that is open began with is unknown there.
        """
        sessions, firsts = arrays["sessions"].copy(), arrays["firsts"]
        sessions["dims"] = self._dims.words(sessions["dims"], past)
        goes_on = self._dims.going_on(past)
        were = {name: 8 * place for place, (name, _, _) in enumerate(past["breakdowns"])}
        words = self._dims.words(firsts, past)
        for place, (name, _, _) in enumerate(self._dims.legend()["breakdowns"]):
            none_yet = np.uint64(NONE_YET << 8 * place)
            if name in goes_on:
                known = (firsts >> np.uint64(were[name])) & np.uint64(255) != NONE_YET
                words = np.where(known, words, words | none_yet)
            else:
                words = words | none_yet
        others = self._others_of_now(arrays["others"], past, goes_on)
        return {"sessions": sessions, "firsts": words, "others": others}

    def _others_of_now(self, others: NDArray[np.int64], past: Legend, goes_on: set[str]) -> NDArray[np.int64]:
        were = [(name, labels) for name, definition, labels in past["breakdowns"] if definition.get("direct") == "last"]
        columns = {name: (place, labels) for place, (name, labels) in enumerate(were) if name in goes_on}
        found = np.zeros((len(others), len(self._looking_back)), np.int64)
        for column, (name, _, labels) in enumerate(self._looking_back):
            if name in columns:
                was_at, old = columns[name]
                codes = np.array([labels.index(label) for label in old], np.int64)
                was = others[:, was_at]
                now = was >> CODE_BITS << CODE_BITS | codes[was & ((1 << CODE_BITS) - 1)]
                found[:, column] = np.where(was != 0, now, 0)
        return found

    def resize(self, capacity: int) -> None:
        for kept in self._kept:
            kept.resize(capacity)

    def keep(self, slots: NDArray[Any]) -> None:
        for kept in self._kept:
            kept.keep(slots)


@inlined
def _look_back(rules: Rules, others: NDArray[np.int64], slot: int, session: Any) -> None:
    """Where a session that begins came direct, let it have the user's last other value; else it is that from now on."""
    start = session["start"]
    for i in range(len(rules.looking_back)):
        place = rules.looking_back[i]
        code = np.int64(session["dims"] >> place & np.uint64(255))
        other = others[slot, i]
        if code != rules.direct[i]:
            others[slot, i] = start << CODE_BITS | code
        elif other != 0 and start - (other >> CODE_BITS) <= LAST_MS:
            last = np.uint64(other & 255)
            session["dims"] = session["dims"] & ~(np.uint64(255) << place) | last << place


@steady
def _stamp(
    rows: NDArray[Any],
    rules: Rules,
    sessions: NDArray[Any],
    firsts: NDArray[np.uint64],
    others: NDArray[np.int64],
) -> None:
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
                    _look_back(rules, others, slot, session)
                session["closes_at"] = ts + rules.timeout
            if ts <= session["closes_at"]:
                row["dims"] = row["dims"] & ~rules.of_session | session["dims"] & rules.of_session
        if len(rules.of_first):
            prefetch(firsts, upcoming(rows, i))
        for place in rules.of_first:
            byte = np.uint64(255) << place
            if shows and firsts[slot] & byte == byte:
                firsts[slot] = firsts[slot] & ~byte | own & byte
            if firsts[slot] & byte != byte:
                row["dims"] = row["dims"] & ~byte | firsts[slot] & byte
