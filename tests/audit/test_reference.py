"""The reference against numbers worked out by hand, its identities, and what must not change any number.

Times in the timelines are minutes after START (a whole hour) unless they say otherwise; W = T - 10 s.
"""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.audit import Record, Result, recompute
from flows.audit.cells import BOUNDS_SECONDS, cumulative, put_quantile
from flows.config.model import Config
from flows.messages.columns import REASONS
from flows.messages.snapshot import ACCOUNTS
from tests.thorough import examples

START = 1_772_442_000_000  # 2026-03-02T09:00:00Z
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000


def record(at_ms: float, user: str, what: str = "page", **more: Any) -> Record:
    """`what` is a type, or the name of a track event; `partition` and `offset` go beside the document."""
    place = {name: more.pop(name) for name in ("partition", "offset") if name in more}
    kinds = ("page", "screen", "identify", "group", "alias")
    kind = {"type": what} if what in kinds else {"type": "track", "event": what}
    document = {**kind, "userId": user, "timestamp": int(START + at_ms), **more}
    return Record(json.dumps(document).encode(), **place)


def config(**options: Any) -> Config:
    return Config.model_validate(options)


def chosen(result: Result, *names: str) -> dict[str, int | float | None]:
    return {name: result.cells.get(name) for name in names}


# Time


def test_nothing_at_all_is_zeros_and_no_ratios() -> None:
    result = recompute([], config(funnels={"f": {"window": "1h", "steps": ["A", "B"]}}))
    assert (result.as_of_ms, result.watermark_ms, result.minutes, result.accounting) == (None, None, {}, {})
    assert set(result.cells.values()) == {0}
    assert not any(name.startswith(("bounce_rate", "stickiness", "funnel.f.conv")) for name in derived(result))
    assert recompute([], config(), START).as_of_ms == START


def derived(result: Result) -> list[str]:
    return [name for name, value in result.cells.items() if isinstance(value, float)]


def test_the_clock_ends_at_the_largest_event_or_at_the_given_time_if_that_is_later() -> None:
    records = [record(5 * MINUTE, "ana"), record(3 * MINUTE, "ben")]
    assert recompute(records, config()).as_of_ms == START + 5 * MINUTE
    assert recompute(records, config(), START + 4 * MINUTE).as_of_ms == START + 5 * MINUTE
    later = recompute(records, config(), START + HOUR)
    assert (later.as_of_ms, later.watermark_ms) == (START + HOUR, START + HOUR - 10 * SECOND)


def test_an_arrival_window_holds_the_current_pane_and_the_59_before() -> None:
    # The 1 h window has panes of a minute. T = 10:00:30 lies in the pane 10:00, so the first is 09:01.
    #   09:00:59.999 ana | 09:01:00 ben ... 10:00:30 cleo
    records = [record(MINUTE - 1, "ana"), record(MINUTE, "ben"), record(60.5 * MINUTE, "cleo")]
    assert chosen(recompute(records, config()), "events.1h", "active_users.1h") == {
        "events.1h": 2,
        "active_users.1h": 2,
    }


def test_an_ordered_window_excludes_what_happens_at_the_watermark_itself() -> None:
    #   0 s ana   20 s ben   T = 30 s, W = 20 s
    records = [record(0, "ana"), record(20 * SECOND, "ben"), record(30 * SECOND, "cleo")]
    result = recompute(records, config())
    assert chosen(result, "users.new.1h", "sessions.started.1h", "events.1h", "active_users.1h") == {
        "users.new.1h": 1,
        "sessions.started.1h": 1,
        "events.1h": 3,
        "active_users.1h": 3,
    }
    assert recompute(records, config(), START + 30 * SECOND + 1).cells["users.new.1h"] == 2


def test_panes_of_a_window_that_is_no_multiple_of_60_ms_are_exact() -> None:
    # A window of 61 s has panes of 1016 2/3 ms. START * 60 = 61,000 p + 47,000, so the pane p + 1 begins
    # 14,000 / 60 = 233.3 ms after START. T = START + 61 s lies in the pane p + 60: p is just outside.
    #   233 ms ana | 234 ms ben ... 61 s cleo
    assert START * 60 % 61_000 == 47_000
    records = [record(233, "ana"), record(234, "ben"), record(61_000, "cleo")]
    assert recompute(records, config(windows=["61s"], ratio_windows=[])).cells["active_users.61s"] == 2


def test_late_is_judged_against_the_partitions_own_clock_event_by_event() -> None:
    # One partition, lateness 10 s:  20 s | 10 s on time | 9.999 s late | 30 s | 19 s late | 20 s on time
    times = (20_000, 10_000, 9_999, 30_000, 19_000, 20_000)
    account = recompute([record(time, "ana") for time in times], config()).accounting[0]
    assert (account["on_time"], account["late"]) == (4, 2)


def test_a_copy_and_an_excluded_event_move_no_clock_further_and_are_never_late() -> None:
    options = config(exclude={"events": ["Ping"]})
    records = [
        record(60_000, "ana", messageId="m"),
        record(0, "ana", messageId="m"),  # a copy, told to be old: duplicate, not late
        record(90_000, "ana", "Ping"),
        record(0, "ana", "Ping"),
        record(51_000, "ana"),  # on time, for the Ping at 90 s did not move the clock
    ]
    result = recompute(records, options)
    account = {name: count for name, count in result.accounting[0].items() if count}
    assert account == {"consumed": 5, "accepted": 2, "on_time": 2, "duplicate": 1, "excluded": 2, "excluded.event": 2}
    assert result.as_of_ms == START + 60_000


def test_copies_are_judged_by_the_clock_of_their_own_partition() -> None:
    # Read in this order, with a dedup horizon of 10 min:
    #   partition 0: ana 0 (m)   ben 25   ana 0 (m)      <- no copy, though partition 1 still holds T at 5
    #   partition 1: cleo 5 before all of these, dora 6 after them
    held = [
        record(5 * MINUTE, "cleo", partition=1),
        record(0, "ana", messageId="m"),
        record(25 * MINUTE, "ben"),
        record(0, "ana", messageId="m"),
        record(6 * MINUTE, "dora", partition=1),
    ]
    assert recompute(held, config()).accounting[0]["duplicate"] == 0
    # Without dora, partition 1 is read to its end at once, T is 25, and the copy is too old to be known.
    account = recompute(held[:-1], config()).accounting[0]
    assert (account["duplicate"], account["late"]) == (0, 1)


@pytest.mark.parametrize(("copied_at_minute", "duplicate"), [(9.99, 1), (19.99, 1), (20, 0)])
def test_a_copy_is_known_in_the_same_and_the_next_generation(copied_at_minute: float, duplicate: int) -> None:
    # Generations of 10 min from START on: the first is read in generation 0, and forgotten with generation 2.
    #   0 ana (m)   t ben   0 ana (m)
    records = [record(0, "ana", messageId="m"), record(copied_at_minute * MINUTE, "ben")]
    records.append(record(0, "ana", messageId="m"))
    assert recompute(records, config()).accounting[0]["duplicate"] == duplicate


def test_a_copy_does_not_make_the_first_younger() -> None:
    # 0 ana (m)   15 ben   ana (m) copy   25 ben   ana (m) counts: two generations after the first
    first, copy = record(0, "ana", messageId="m"), record(0, "ana", messageId="m")
    records = [first, record(15 * MINUTE, "ben"), copy, record(25 * MINUTE, "ben"), copy, copy]
    account = recompute(records, config()).accounting[0]
    assert (account["accepted"], account["duplicate"], account["late"]) == (4, 2, 1)


# Events and active users


def test_events_are_counted_by_the_names_of_the_config_and_other() -> None:
    records = [
        record(0, "ana", "Order Completed"),
        record(0, "ana", "order_completed"),
        record(0, "ana", "Order Refunded"),
        record(0, "ana", "page"),
        record(0, "ana", "identify"),
    ]
    cells = recompute(records, config(key_actions=["Order Completed"], events=["page_viewed"])).cells
    assert {name: value for name, value in cells.items() if name.startswith("events.") and name.endswith(".1h")} == {
        "events.1h": 5,
        "events.page_viewed.1h": 1,
        "events.order_completed.1h": 2,
        "events.other.1h": 2,
    }


def test_only_listed_events_make_a_user_active_when_there_is_a_list() -> None:
    records = [
        record(0, "ana", "page"),
        record(0, "ben", "Order Completed"),
        record(MINUTE, "cleo", "identify"),
    ]
    result = recompute(records, config(active_users={"events": ["page viewed", "identify"]}), START + 2 * MINUTE)
    assert chosen(result, "active_users.1h", "active_users.day", "events.1h") == {
        "active_users.1h": 2,
        "active_users.day": 2,
        "events.1h": 3,
    }
    assert result.minutes[START]["active_users"] == 1


LATE = ("events.24h", "events.a.24h", "active_users.24h", "sessions.started.24h", "users.new.24h", "users.alive")


def test_late_events_out_of_order_count_on_arrival_and_nowhere_else() -> None:
    records = [record(MINUTE, "ben"), record(HOUR, "ana"), record(0, "ben"), record(0, "ben", "A")]
    result = recompute(records, config(events=["A"]), START + HOUR + 2 * MINUTE)
    assert list(chosen(result, *LATE).values()) == [4, 1, 2, 2, 2, 2]
    assert result.cells["sessions.duration_ms.24h"] == 0
    assert list(result.minutes) == [START + MINUTE, START + 31 * MINUTE, START + HOUR]


def test_late_events_in_order_count_everywhere_but_in_closed_minutes() -> None:
    records = [record(HOUR, "ana"), record(0, "ben"), record(0, "ben", "A")]
    result = recompute(records, config(events=["A"]), START + HOUR + 2 * MINUTE)
    assert list(chosen(result, *LATE).values()) == [3, 1, 2, 2, 2, 2]
    assert list(result.minutes) == [START + HOUR]


# Sessions


def test_each_rule_of_engagement_can_be_off() -> None:
    # ana views twice in a second, ben stays 11 s, cleo buys; dora does one thing. Sessions close at 30 min.
    records = [
        *(record(0, "ana"), record(1000, "ana", "screen")),
        *(record(0, "ben", "X"), record(11_000, "ben", "X")),
        record(0, "cleo", "Buy"),
        record(0, "dora"),
    ]
    records.sort(key=lambda r: json.loads(r.value or b"")["timestamp"])

    def bounced(**engaged: Any) -> int | float:
        options = config(key_actions=["Buy"], sessions={"engaged": engaged})
        return recompute(records, options, START + HOUR).cells["sessions.bounced.24h"]

    assert bounced() == 1
    assert bounced(views=None) == 2
    assert bounced(longer_than=None) == 2
    assert bounced(key_actions=None) == 2
    assert bounced(views=None, longer_than=None, key_actions=None) == 4
    assert bounced(longer_than="11s") == 2
    assert bounced(views=1) == 0


def test_identify_group_and_alias_neither_open_nor_extend_a_session() -> None:
    # ana: page 0, identify 20, page 40 -> two sessions, for 40 > 30.   ben: only identifies -> none.
    records = [
        record(0, "ana"),
        record(20 * MINUTE, "ana", "identify"),
        record(20 * MINUTE, "ben", "group"),
        record(40 * MINUTE, "ana"),
    ]
    result = recompute(records, config(), START + 41 * MINUTE)
    assert chosen(result, "sessions.started.24h", "sessions.open", "sessions.events.24h", "users.new.24h") == {
        "sessions.started.24h": 2,
        "sessions.open": 1,
        "sessions.events.24h": 1,
        "users.new.24h": 2,
    }


@pytest.mark.parametrize(
    ("durations_s", "quantile", "expected_ms"),
    [
        ([0, 0, 0, 400], Fraction(1, 2), 0.0),  # rank 2 of the 3 in the first bucket
        ([0, 7, 8, 9], Fraction(1, 2), 5000 + 5000 / 3),  # rank 2: one third into the three between 5 and 10
        ([4, 4], Fraction(1, 2), 2500.0),  # rank 1: half of the two between 0 and 5
        ([20_000], Fraction(1, 2), 14_400_000.0),  # beyond the largest bound
        ([3600] * 9 + [20_000], Fraction(9, 10), 3_600_000.0),  # rank 9 is the end of the bucket up to 3600
        ([3600] * 9 + [20_000], Fraction(95, 100), 14_400_000.0),
    ],
)
def test_a_quantile_is_linear_inside_its_bucket(durations_s: list[int], quantile: Fraction, expected_ms: float) -> None:
    cells: dict[str, int | float] = {}
    put_quantile(cells, "q", quantile, cumulative(s * 1000 for s in durations_s), len(durations_s))
    assert cells == {"q": pytest.approx(expected_ms, rel=1e-15)}


def test_a_duration_is_counted_in_its_bound_and_all_larger_ones() -> None:
    assert dict(zip(BOUNDS_SECONDS, cumulative([0, 5000, 5001, 14_400_001]), strict=True)) == {
        0: 1,
        5: 2,
        **dict.fromkeys((10, 30, 60, 180, 600, 1800, 3600, 14400), 3),
    }


# Funnels

TWO_STEPS = {"window": "1h", "steps": ["A", "B"]}


def funnel(events: str, as_of_minute: float, **options: Any) -> dict[str, int | float]:
    """Cells of one funnel, without its name; `events` is "user step minute, ..."."""
    told = [part.split() for part in events.split(",")]
    records = [record(float(minute) * MINUTE, user, step) for user, step, minute in told]
    cells = recompute(records, config(funnels={"f": TWO_STEPS | options}), START + int(as_of_minute * MINUTE)).cells
    return {name.removeprefix("funnel.f."): value for name, value in cells.items() if name.startswith("funnel.f.")}


def test_one_event_advances_one_step_and_the_converting_one_starts_nothing() -> None:
    # A A A with the steps A, A: the first enters, the second converts, the third enters again.
    cells = funnel("ana A 0, ana A 1, ana A 2", 5, steps=["A", "A"])
    assert (cells["01_a.24h"], cells["converted.24h"], cells["in_progress.24h"]) == (2, 1, 1)


def test_the_next_step_has_precedence_over_reentry() -> None:
    # Steps A, A or B with reentry latest: the second A is the next step, not a new start.
    cells = funnel("ana A 0, ana A 1", 5, steps=["A", ["A", "B"]], reentry="latest")
    assert (cells["01_a.24h"], cells["converted.24h"], cells["convert_ms.24h"]) == (1, 1, MINUTE)


def test_a_step_may_have_alternatives_and_is_named_after_the_first() -> None:
    cells = funnel("ana A 0, ben A 0, ana B 1, ben C 2", 5, steps=["A", ["B", "C"]])
    assert (cells["02_b.24h"], cells["converted.24h"], cells["convert_ms.24h"]) == (2, 2, 3 * MINUTE)


def test_steps_out_of_order_do_not_count() -> None:
    cells = funnel("ana C 0, ana A 1, ana C 2, ana B 3", 5, steps=["A", "B", "C"])
    assert [cells[f"{step}.24h"] for step in ("01_a", "02_b", "03_c", "in_progress")] == [1, 1, 0, 1]


def test_a_late_event_reaches_a_step_where_it_is_in_order() -> None:
    assert funnel("ana A 0, ben A 5, ana B 1", 6)["converted.24h"] == 1
    assert funnel("ana A 0, ana C 2, ben A 5, ana B 1", 6)["converted.24h"] == 0


def test_kaplan_meier_by_hand() -> None:
    # Window 1 h, panes of a minute; W = 50:00, pane 50. Five attempts:
    #   ana    0 -> 10   converted at age 10
    #   ben    0 -> 20   converted at age 20
    #   cleo   0         censored at age 50
    #   dora  35         censored at age 15
    #   eve   40 -> 50   B is at W itself, not used yet: censored at age 10
    # age 10: n = 5, d = 1, c = 1, S = 4/5 | 15: n = 3, c = 1 | 20: n = 2, d = 1, S = 2/5 | 50: n = 1, c = 1
    cells = funnel("ana A 0,ben A 0,cleo A 0,ana B 10,ben B 20,dora A 35,eve A 40,eve B 50", 50 + 1 / 6)
    assert cells["conversion_live"] == pytest.approx(3 / 5, rel=1e-15)
    assert cells["conversion_live_se"] == pytest.approx(2 / 5 * math.sqrt(1 / (5 * 4) + 1 / (2 * 1)), rel=1e-15)


def test_the_oldest_attempts_of_the_window_have_the_last_age() -> None:
    # W = 61:50 lies in the pane 61: attempts of the panes 2..61 count, at ages up to 59.
    #   zoe 1:59 out   bea 2:00 censored at age 59   ana 2:12 -> 61:42 converted at age 59: 1 of 2
    cells = funnel("zoe A 1.99, bea A 2, ana A 2.2, ana B 61.7", 62)
    assert cells["conversion_live"] == pytest.approx(1 / 2, rel=1e-15)


def test_when_all_at_risk_convert_the_error_is_zero_by_the_formula() -> None:
    cells = funnel("ana A 0, ana B 1", 5)
    assert (cells["conversion_live"], cells["conversion_live_se"]) == (1.0, 0.0)


def test_matured_is_the_trailing_window_as_it_stood_one_funnel_window_ago() -> None:
    # Funnel window 1 h, w = 1 h with panes of a minute; W - 1 h = 90:00 is pane 90: panes 31..90.
    #   ana 30:54 out   ben 31:00 converted   cleo 89:54 dropped   dora 90:00 not mature, W is not beyond
    events = "ana A 30.9, ben A 31, ben B 40, cleo A 89.9, dora A 90, zoe C 150"
    cells = funnel(events, 150 + 1 / 6)
    assert (cells["matured.1h"], cells["matured_converted.1h"], cells["conversion_matured.1h"]) == (2, 1, 0.5)
    assert (cells["matured.24h"], cells["matured_converted.24h"]) == (3, 1)
    assert "conversion_matured.5m" in cells  # cleo, 89:54 in the panes of 5 s up to 90:00


def test_an_attempt_carries_the_values_of_its_entry_event_also_when_the_start_moved() -> None:
    breakdowns = {"platform": {"field": "context.device", "values": ["web", "ios"]}}
    records = [
        record(0, "ana", "A", context={"device": "web"}),
        record(MINUTE, "ana", "A", context={"device": "ios"}),
        record(2 * MINUTE, "ana", "B", context={"device": "web"}),
    ]
    for reentry, platform in (("first", "web"), ("latest", "ios")):
        options = config(funnels={"f": TWO_STEPS | {"reentry": reentry}}, breakdowns=breakdowns)
        cells = recompute(records, options, START + 5 * MINUTE).cells
        converted = {label: cells[f"funnel.f.converted.1h{{platform={label}}}"] for label in ("web", "ios", "other")}
        assert converted == {"web": 0, "ios": 0, "other": 0, platform: 1}


# Lifecycle


def test_churn_is_booked_when_it_was_due_and_return_when_it_happened() -> None:
    # churn_after 1 d.  ana: 0, 1 d exactly (still alive), 2 d + 1 ms (churned at 2 d, back 1 ms later).
    records = [record(0, "ana"), record(DAY, "ana"), record(2 * DAY + 1, "ana", "alias")]
    cells = recompute(records, config(churn_after="1d"), START + 2 * DAY + HOUR).cells
    names = ("users.alive", "users.new.30d", "users.churned.30d", "users.resurrected.30d", "users.churned.1h")
    assert [cells[name] for name in names] == [1, 1, 1, 1, 1]
    # In the last hour: churned 1 of (alive 1 - new 0 - resurrected 1 + churned 1) = 1.
    assert cells["user_churn_rate.1h"] == 1.0
    later = recompute(records, config(churn_after="1d"), START + 9 * DAY).cells
    assert (later["users.alive"], later["users.churned.30d"], later.get("user_churn_rate.24h")) == (
        0,
        2,
        None,
    )


# Minutes


def test_minutes_older_than_the_history_and_empty_ones_are_left_out() -> None:
    # W = 179:30, W - 2 h = 59:30: minutes from 60 on. Sessions (timeout 30 min) close at 30, 91.5 and 150;
    # ben has identified himself at 59:54 and 60:00, which is no session.
    records = [
        record(0, "ana"),
        record(59.9 * MINUTE, "ben", "identify"),
        record(60 * MINUTE, "ben", "identify"),
        record(61.5 * MINUTE, "ana"),
        record(120 * MINUTE, "ana"),
    ]
    as_of = START + 179 * MINUTE + 40 * SECOND
    minutes = recompute(records, config(minute_history="2h"), as_of).minutes
    found = {(minute - START) // MINUTE: numbers for minute, numbers in minutes.items()}
    assert list(found) == [60, 61, 91, 120, 150]
    assert found[61] == {
        "events": 1,
        "active_users": 1,
        "new_users": 0,
        "sessions_started": 1,
        "sessions_closed": 0,
        "sessions_bounced": 0,
    }
    assert (found[91]["sessions_closed"], found[91]["sessions_bounced"], found[91]["events"]) == (1, 1, 0)


# Which cells there are


def test_every_cell_of_a_small_config_is_there() -> None:
    options = config(
        windows=["5m", "24h", "30d"],
        ratio_windows=["5m"],
        key_actions=["B"],
        goals={"g": "B"},
        features={"h": "A"},
        funnels={"f": TWO_STEPS},
        milestones={"m": {"from": "A", "to": "B", "within": "5m"}},
        breakdowns={"d": {"field": "context.d", "values": ["x"], "of": ["active_users", "events"]}},
    )
    # A session of ana's that closed at 2, an attempt that converted and one that is under way.
    records = [
        *(record(0, "ana", "A"), record(MINUTE, "ana", "B")),
        *(
            record(58 * MINUTE, "ana", "A"),
            record(59 * MINUTE, "ben", "A"),
            record(60.5 * MINUTE, "ben", "B"),
        ),
    ]
    cells = recompute(records, options, START + 61 * MINUTE).cells
    d = ("", "{d=x}", "{d=other}", "{d=unknown}")
    w = ("5m", "24h", "30d")
    counted = {f"events{name}.{x}{s}" for name in ("", ".a", ".b", ".other") for x in w for s in d}
    counted |= {f"active_users.{x}{s}" for x in (*w, "day") for s in d}
    sums = [*("started", "returning", "gap_ms", "closed", "bounced", "duration_ms", "events"), "with_key_action"]
    sums += ["views", "key_actions"]
    bounds = (0, 5, 10, 30, 60, 180, 600, 1800, 3600, 14400)
    counted |= {f"sessions.{name}.{x}" for name in (*sums, *(f"duration_le_{b}" for b in bounds)) for x in w}
    counted |= {"sessions.open", "sessions.settling", "sessions.settling_engaged"}
    states = ("01_a", "02_b", "converted", "in_progress", "dropped", "convert_ms")
    counted |= {f"funnel.f.{name}.{x}" for name in (*states, *(f"convert_le_{b}" for b in bounds)) for x in w}
    counted |= {"funnel.f.matured.5m", "funnel.f.matured_converted.5m"}
    counted |= {f"{name}.{x}" for name in ("visitors", "views") for x in w}
    counted |= {f"{one}.{x}.{y}" for one in ("goal.g", "feature.h") for x in ("events", "users", "first") for y in w}
    counted |= {"feature.h.users_ever"}
    counted |= {f"engagement.days_{k}_of_{days}" for days in (7, 30) for k in range(1, days + 1)}
    stages, seconds = ("started", "reached", "pending", "missed", "reach_ms"), (60, 300, 900, 3600, 21600, 86400)
    times = [f"reach_le_{b}" for b in (*seconds, 259200, 604800, 1209600, 2592000)]
    counted |= {f"milestone.m.{name}.{x}" for name in (*stages, *times) for x in w}
    counted |= {f"milestone.m.{name}.{x}" for name in ("matured", "matured_reached") for x in ("24h", "30d")}
    counted |= {"users.alive", "users.known", "users.evicted"}
    counted |= {f"users.{name}.{x}" for name in ("new", "resurrected", "churned", "churned_inside") for x in w}
    assert {name for name, value in cells.items() if isinstance(value, int)} == counted
    assert set(derived(recompute(records, options, START + 61 * MINUTE))) == {
        *("stickiness", "stickiness{d=unknown}", "sessions_per_user.5m"),
        *(f"funnel.f.{name}" for name in ("drop_off_02.5m", "convert_mean.5m", "convert_p50.5m", "convert_p90.5m")),
        *("funnel.f.conversion_matured.5m", "funnel.f.conversion_live", "funnel.f.conversion_live_se"),
        *("l7_mean", "l30_mean", "feature_adoption_ever.h"),
        *(f"{name}.{x}" for name in ("returning_share", "session_gap_mean") for x in w),
        *(f"{name}.{x}" for name in ("session_time_per_user", "key_actions_per_user") for x in w),
        *(f"{name}.{x}" for name in ("views_per_visitor", "conversion_rate.g") for x in w),
        *(f"{name}.{x}" for name in ("conversions_per_visitor.g", "feature_adoption.h") for x in w),
        *("user_churn_rate.5m", "user_retention_rate.5m"),
        *(f"milestone_time_{name}.m.{x}" for name in ("mean", "p50", "p90") for x in w),
        *("milestone_rate.m.24h", "milestone_rate.m.30d", "milestone_rate_live.m", "milestone_rate_live_se.m"),
    }
    # 5 minutes before the watermark ben entered and converted within 90 s; ana entered again.
    assert cells["funnel.f.drop_off_02.5m"] == 0.5
    assert cells["funnel.f.convert_mean.5m"] == 90_000
    # Each of them started one session in those 5 minutes.
    assert cells["sessions_per_user.5m"] == 1.0


# Identities and invariances

RICH = config(
    lateness="10s",
    key_actions=["B"],
    events=["D"],
    churn_after="2h",
    sessions={"timeout": "10m", "max_duration": "25m"},
    funnels={
        "short": {"window": "20m", "steps": ["A", "B", "C"]},
        "latest": {"window": "1h", "steps": ["A", ["B", "page_viewed"]], "reentry": "latest"},
    },
    breakdowns={
        "platform": {
            "field": "context.platform",
            "values": ["web", "ios"],
            "of": ["events", "active_users", "sessions", "funnels"],
        }
    },
)

EVENTS = st.lists(
    st.tuples(
        st.integers(0, 5 * 60).map(lambda half_minutes: half_minutes * MINUTE // 2),
        st.sampled_from(["ana", "ben", "cleo"]),
        st.sampled_from(["A", "B", "C", "D", "page", "identify"]),
        st.sampled_from(["web", "iOS", "tv", None]),
        st.integers(0, 10 * SECOND),  # how long it is under way
    ),
    max_size=60,
)
Told = list[tuple[int, str, str, str | None, int]]


def stream(events: Told) -> list[Record]:
    """In the order of time; the messageId tells the events apart."""
    return [
        record(at, user, what, context={"platform": platform}, messageId=f"m{number}", offset=number)
        for number, (at, user, what, platform, _) in enumerate(sorted(events, key=lambda event: event[0]))
    ]


@examples(60)
@given(EVENTS, st.integers(0, 5 * HOUR))
def test_the_identities_hold(events: Told, as_of: int) -> None:
    options = RICH.model_copy(update={"windows": (*RICH.windows, 365 * DAY)})
    shuffled = [
        stream(events)[(7 * number + 3) % len(events)] for number in range(len(events))
    ]  # many late, some copies
    result = recompute([*shuffled, Record(b"{}"), Record(b"?"), *shuffled[:5]], options, START + as_of)
    cells = result.cells
    for account in result.accounting.values():
        rejected = sum(account[f"rejected.{reason}"] for reason in REASONS)
        assert set(account) == set(ACCOUNTS)
        assert account["consumed"] == account["accepted"] + rejected + account["duplicate"] + account["excluded"]
        assert account["accepted"] == account["on_time"] + account["late"]
        assert rejected == 2
    for entered in [name for name in cells if ".01_" in name]:
        prefix, _, at = entered.partition(".01_a.")
        states = [cells[f"{prefix}.{state}.{at}"] for state in ("converted", "in_progress", "dropped")]
        assert cells[entered] == sum(states)
    assert (
        cells["users.alive"] == cells["users.new.365d"] + cells["users.resurrected.365d"] - cells["users.churned.365d"]
    )
    assert cells["sessions.started.365d"] == cells["sessions.closed.365d"] + cells["sessions.open"]
    assert cells["events.365d"] == result.accounting[0]["accepted"]
    for metric in ("events.365d", "sessions.closed.365d", "sessions.open", "funnel.short.dropped.365d"):
        parts = [cells[f"{metric}{{platform={label}}}"] for label in ("web", "ios", "other", "unknown")]
        assert cells[metric] == sum(parts)
    assert all(math.isfinite(value) for value in cells.values())


@examples(60)
@given(EVENTS, st.integers(0, 5 * HOUR))
def test_disorder_within_the_lateness_changes_nothing(events: Told, as_of: int) -> None:
    in_order = stream(events)
    delays = [event[4] for event in sorted(events, key=lambda event: event[0])]
    times = [json.loads(one.value or b"")["timestamp"] for one in in_order]
    arrival = sorted(range(len(in_order)), key=lambda number: times[number] + delays[number])
    shuffled = [in_order[number] for number in arrival]
    assert recompute(shuffled, RICH, START + as_of) == recompute(in_order, RICH, START + as_of)


@settings(max_examples=40, deadline=None)
@given(EVENTS, st.sets(st.integers(0, 59)), st.integers(0, 5 * HOUR))
def test_repeated_lines_change_nothing_but_the_accounting(events: Told, repeated: set[int], as_of: int) -> None:
    once = stream(events)
    twice = [copy for number, one in enumerate(once) for copy in ([one, one] if number in repeated else [one])]
    plain, copied = recompute(once, RICH, START + as_of), recompute(twice, RICH, START + as_of)
    assert (copied.cells, copied.minutes, copied.as_of_ms) == (plain.cells, plain.minutes, plain.as_of_ms)
    for partition, account in copied.accounting.items():
        extra = len(twice) - len(once)
        assert account == plain.accounting[partition] | {
            "consumed": plain.accounting[partition]["consumed"] + extra,
            "duplicate": extra,
        }


@settings(max_examples=40, deadline=None)
@given(EVENTS, st.sampled_from([2, 4, 12]), st.booleans(), st.integers(0, 5 * HOUR))
def test_partitions_change_nothing(events: Told, partitions: int, one_by_one: bool, as_of: int) -> None:
    once = stream(events)
    split = [
        Record(one.value, sum(json.loads(one.value or b"")["userId"].encode()) % partitions, one.offset) for one in once
    ]
    if one_by_one:  # the whole of a partition, then the next
        split.sort(key=lambda one: one.partition)
    plain, parted = recompute(once, RICH, START + as_of), recompute(split, RICH, START + as_of)
    assert (parted.cells, parted.minutes, parted.as_of_ms) == (plain.cells, plain.minutes, plain.as_of_ms)
    assert sum(account["late"] for account in parted.accounting.values()) == 0
