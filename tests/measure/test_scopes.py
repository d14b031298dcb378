"""Breakdowns by what a visit or a user began with: what is kept of users, and for how long."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flows.config.limits import Limits
from flows.config.model import Config
from flows.measure.scopes import Scopes
from flows.messages.columns import IDENTIFY, TRACK
from flows.metrics.catalogue import state_bytes_per_user
from flows.metrics.family import HELD
from tests.engine import Engine, polls
from tests.laws.test_laws import START, encoded

MINUTE = 60_000
USERS = 16


def config(**scopes: str) -> Config:
    """Breakdowns of some scopes, in alphabetical order; codes are a 0, b 1, other 2, unknown 3."""
    return Config.model_validate(
        {
            "sessions": {"timeout": "30m", "max_duration": "1h"},
            "breakdowns": {
                name: {"field": f"properties.{name}", "values": ["a", "b"], "scope": scope, "of": ["funnels"]}
                for name, scope in scopes.items()
            },
        }
    )


def looking_back(**more: Any) -> Config:
    """One computed breakdown by session; codes of `traffic` are paid 0, organic 1, direct 2, referral 3, other 4."""
    traffic = {"computed": "traffic", "scope": "session", "of": ["funnels"]} | more
    return Config.model_validate({"sessions": {"timeout": "30m"}, "breakdowns": {"traffic": traffic}})


def made(settings: Config) -> Scopes:
    scopes = Scopes(settings)
    scopes.resize(USERS)
    return scopes


def rows(*events: tuple[int, int, int], slot: int = 0, kind: int = TRACK) -> NDArray[Any]:
    """(minute, code of the first breakdown, code of the second)."""
    held = np.zeros(len(events), HELD)
    held["ts"] = [START + minute * MINUTE for minute, _, _ in events]
    held["dims"] = [first | second << 8 for _, first, second in events]
    held["slot"] = slot
    held["kind"] = kind
    return held


def stamped(scopes: Scopes, held: NDArray[Any]) -> list[tuple[int, int]]:
    scopes.stamp(held)
    return [(int(dims) & 255, int(dims) >> 8) for dims in held["dims"]]


def test_each_breakdown_has_the_value_of_its_own_scope() -> None:
    events = rows((0, 0, 1), (30, 1, 0), (61, 1, 0))
    assert stamped(made(config(x="session", y="first")), events.copy()) == [(0, 1), (0, 1), (1, 1)]
    assert stamped(made(config(x="first", y="event")), events.copy()) == [(0, 1), (0, 0), (0, 0)]


def test_a_session_that_would_get_too_long_is_another_one_and_what_opens_none_belongs_to_it() -> None:
    #   minutes   0    30   60 | 61        91           92
    #             [-- an hour -][-- another, closes at 91
    scopes = made(config(x="session"))
    assert stamped(scopes, rows((0, 0, 0), (30, 1, 0), (60, 2, 0), (61, 1, 0))) == [(0, 0), (0, 0), (0, 0), (1, 0)]
    assert stamped(scopes, rows((91, 3, 0), (92, 3, 0), kind=IDENTIFY)) == [(1, 0), (3, 0)]


def test_a_value_of_the_highest_code_is_one_like_any_other() -> None:
    values = [f"v{number}" for number in range(253)]
    eight = {f"b{n}": {"field": f"properties.p{n}", "values": values, "scope": "first"} for n in range(8)}
    scopes = made(Config.model_validate({"breakdowns": eight}))
    unknown = sum(254 << 8 * place for place in range(8))
    held = rows((0, 0, 0), (1, 0, 0))
    held["dims"][0] = unknown
    scopes.stamp(held)
    assert held["dims"].tolist() == [unknown, unknown]


DAY = 24 * 60
DIRECT = 2


def test_a_session_that_comes_direct_has_the_last_other_value_for_90_days_which_that_does_not_renew() -> None:
    #   day      0         45       90       90 + 1 ms
    #   own      paid      direct   direct   direct
    #   has      paid      paid     paid     direct
    visits = rows((0, 0, 0), (45 * DAY, DIRECT, 0), (90 * DAY, DIRECT, 0))
    assert stamped(made(looking_back()), visits.copy()) == [(0, 0)] * 3
    visits["ts"][2] += 1
    assert stamped(made(looking_back()), visits.copy()) == [(0, 0), (0, 0), (DIRECT, 0)]
    assert stamped(made(looking_back(direct="own")), visits) == [(0, 0), (DIRECT, 0), (DIRECT, 0)]


def test_the_last_other_value_is_that_of_a_sessions_first_event_as_of_its_beginning() -> None:
    # The second event of the first session comes by a link, 10 minutes in; it opens no session.
    scopes = made(looking_back())
    assert stamped(scopes, rows((0, 0, 0), (10, 3, 0), (60, DIRECT, 0))) == [(0, 0)] * 3
    ninety_days_after_the_second_event = rows((90 * DAY + 10, DIRECT, 0))
    assert stamped(scopes, ninety_days_after_the_second_event) == [(DIRECT, 0)]


def test_what_belongs_to_a_session_has_what_that_took_and_another_other_value_replaces_it() -> None:
    scopes = made(looking_back())
    assert stamped(scopes, rows((0, 0, 0), (60, DIRECT, 0), (70, 3, 0), (200, 4, 0))) == [(0, 0)] * 3 + [(4, 0)]
    assert stamped(scopes, rows((300, DIRECT, 0))) == [(4, 0)]
    assert stamped(scopes, rows((10_000, DIRECT, 0), slot=9)) == [(DIRECT, 0)]  # somebody else


def test_the_last_other_value_is_kept_moved_and_forgotten_with_its_user() -> None:
    settings = looking_back()
    scopes = made(settings)
    stamped(scopes, rows((0, 0, 0), slot=3))
    scopes.keep(np.array([0, 3]))  # 3 becomes 1
    saved = {name: array.copy() for name, array in scopes.save(2).items()}
    scopes = Scopes(settings)
    scopes.load(saved, 2)
    scopes.resize(USERS)
    assert stamped(scopes, rows((60, DIRECT, 0), slot=1)) == [(0, 0)]
    assert stamped(scopes, rows((60, DIRECT, 0), slot=3)) == [(DIRECT, 0)]


def test_a_breakdown_that_looks_back_goes_on_beside_a_new_one_and_not_as_another() -> None:
    before = made(looking_back())
    stamped(before, rows((0, 0, 0)))
    both = {"traffic": {"computed": "traffic", "scope": "session"}, "a": {"computed": "channel", "scope": "session"}}
    after = Scopes(Config.model_validate({"sessions": {"timeout": "30m"}, "breakdowns": both}))
    after.load(after.carry(before.save(1), before.legend()), USERS)
    direct = Config.model_validate({"breakdowns": both}).breakdowns["a"].labels().index("direct")
    assert stamped(after, rows((60, direct, DIRECT))) == [(direct, 0)]
    other = Scopes(looking_back(own_hosts=["shop.example"]))
    other.load(other.carry(before.save(1), before.legend()), USERS)
    assert stamped(other, rows((60, DIRECT, 0))) == [(DIRECT, 0)]


def test_state_of_before_there_were_sessions_that_look_back_is_taken() -> None:
    scopes = made(config(x="session"))
    stamped(scopes, rows((0, 0, 0)))
    saved = scopes.save(1)
    del saved["others"]
    now = Scopes(config(x="session"))
    assert {name: array.dtype for name, array in now.upgraded(saved).items()} == {
        name: array.dtype for name, array in now.save(0).items()
    }
    now.load(now.upgraded(saved), USERS)
    assert stamped(now, rows((10, 1, 0))) == [(0, 0)]


NOTHING: dict[str, str] = {}


@pytest.mark.parametrize(
    ("scopes", "kept"),
    [
        (NOTHING, 0),
        ({"x": "event"}, 0),
        ({"x": "first"}, 8),
        ({"x": "session"}, 24),
        ({"x": "session", "y": "first"}, 32),
    ],
)
def test_nothing_is_kept_of_a_scope_that_nobody_asks_for(scopes: dict[str, str], kept: int) -> None:
    settings = config(**scopes)
    saved = made(settings).save(USERS).values()
    assert sum(array.nbytes for array in saved) == kept * USERS
    plain = config(**dict.fromkeys(scopes, "event"))
    assert state_bytes_per_user(settings) - state_bytes_per_user(plain) == kept


def test_a_sessions_last_other_value_takes_eight_bytes_more() -> None:
    saved = made(looking_back()).save(USERS).values()
    assert sum(array.nbytes for array in saved) == (24 + 8) * USERS
    own = state_bytes_per_user(looking_back(direct="own"))
    assert state_bytes_per_user(looking_back()) - own == 8


def test_rows_of_a_config_without_scopes_are_not_touched() -> None:
    held = rows((0, 0, 1), (1, 1, 0))
    held.flags.writeable = False  # a loop would refuse it
    assert stamped(made(config(x="event")), held) == [(0, 1), (1, 0)]


def test_what_is_known_of_users_survives_a_checkpoint_and_growth() -> None:
    settings = config(x="session", y="first")
    scopes = made(settings)
    stamped(scopes, rows((0, 0, 1), slot=5))
    saved = {name: array.copy() for name, array in scopes.save(6).items()}
    scopes = Scopes(settings)
    scopes.load(saved, 8)
    scopes.resize(USERS)
    assert stamped(scopes, rows((10, 1, 0), slot=5)) == [(0, 1)]
    assert stamped(scopes, rows((10, 1, 0), slot=12)) == [(1, 0)]


def test_a_breakdown_that_is_new_begins_with_the_first_event_from_then_on_and_the_others_go_on() -> None:
    before, after = made(config(x="first")), Scopes(config(a="event", x="first", y="first"))
    stamped(before, rows((0, 1, 0), slot=5))
    after.load(after.carry(before.save(8), before.legend()), USERS)
    held = rows((1, 3, 3), (2, 3, 3), slot=5)
    held["dims"] = [3 | 2 << 8 | 0 << 16, 3 | 2 << 8 | 2 << 16]
    after.stamp(held)
    assert held["dims"].tolist() == [3 | 1 << 8 | 0 << 16] * 2
    fresh = rows((1, 3, 2), slot=6)  # a user of whom nothing was known
    assert stamped(after, fresh) == [(3, 2)]
    other = Scopes(config(x="session"))  # the same name with another scope is another breakdown
    other.load(other.carry(before.save(8), before.legend()), USERS)
    assert stamped(other, rows((1, 0, 0), (2, 1, 0), slot=5)) == [(0, 0), (0, 0)]


def test_what_a_user_began_with_moves_with_the_user_and_is_forgotten_with_it() -> None:
    scopes = made(config(x="session", y="first"))
    stamped(scopes, rows((0, 0, 1), slot=3))
    stamped(scopes, rows((0, 0, 1), slot=1))
    scopes.keep(np.array([0, 3]))
    assert stamped(scopes, rows((10, 1, 0), slot=1)) == [(0, 1)]  # who was 3
    assert stamped(scopes, rows((10, 1, 0), slot=3)) == [(1, 0)]  # somebody new


def test_a_shard_at_its_limit_of_users_keeps_values_with_their_users() -> None:
    settings = Config.model_validate(
        {
            "shards": 1,
            "lateness": "0s",
            "funnels": {"f": {"window": "1h", "steps": ["Began", "Ended"]}},
            "breakdowns": {"x": {"field": "properties.x", "values": ["a", "b"], "scope": "first", "of": ["funnels"]}},
        }
    )
    engine = Engine(settings, Limits(users_per_shard=10))

    def event(name: str, user: int, minute: int, value: str) -> dict[str, object]:
        when = START + minute * MINUTE + user
        return {"type": "track", "event": name, "userId": f"u{user}", "timestamp": when, "properties": {"x": value}}

    stream = [event("Seen", user, minute, "a") for minute, user in enumerate(range(40))]
    stream += [event("Began", 39, 41, "b"), event("Began", 0, 42, "b")]  # who is still known, and who was evicted
    for raw in polls(encoded(stream), [5] * 10, 1):
        engine.read(raw)
        engine.tick()
        engine.restart()
    cells = engine.tick(START + 60 * MINUTE).cells
    assert cells["users.evicted"] >= 29
    assert cells["funnel.f.01_began.1h{x=a}"] == 1
    assert cells["funnel.f.01_began.1h{x=b}"] == 1
