"""What a reader sees of a live hash, as a page and as a line."""

from __future__ import annotations

import io

from rich.console import Console

from flows.demo.view import Reading, line, page

NOW_MS = 1_790_000_000_000
FIELDS = {
    "_as_of": str(NOW_MS - 400),
    "_published_at": str(NOW_MS - 100),
    "active_users.30d": "9000",
    "active_users.5m": "1234",
    "active_users.24h": "8000",
    "active_users.30d{platform=web}": "5000",
    "active_users.30d{platform=unknown}": "1",
    "active_users.30d{platform=ios}": "4000",
    "active_users.5m{platform=ios}": "77",
    "active_users.day": "6543",
    "events.1m": "18060",
    "sessions.open": "812",
    "sessions.closed.1h": "400",
    "bounce_rate.1h": "0.38125",
    "bounce_rate_provisional": "0.36",
    "sessions.settling": "50",
    "session_duration_p50.1h": "61500",
    "funnel.checkout.01_product_viewed.1h": "200",
    "funnel.checkout.02_order_completed.1h": "50",
    "funnel.checkout.converted.1h": "50",
    "funnel.checkout.in_progress.1h": "30",
    "funnel.checkout.drop_off_02.1h": "0.75",
    "funnel.checkout.conversion_live": "0.29",
    "funnel.checkout.conversion_live_se": "0.01",
    "users.alive": "9100",
    "users.new.24h": "42",
    "accounting.consumed": "100",
    "accounting.accepted": "90",
    "accounting.duplicate": "4",
    "accounting.excluded": "3",
    "accounting.rejected.empty": "2",
    "accounting.rejected.not_json": "1",
    "accounting.consumed{partition=0}": "100",
}


def drawn(reading: Reading, width: int = 120) -> str:
    output = io.StringIO()
    Console(file=output, width=width).print(page(reading))
    return output.getvalue()


def reading(**changed: str) -> Reading:
    return Reading("shop", FIELDS | changed, NOW_MS)


def test_the_page_shows_every_part_of_the_product() -> None:
    shown = drawn(reading())
    for expected in ("1,234", "6,543", "812", "38.1%", "61.5 s", "29.0% ± 1.0%", "75.0%", "9,100", "301"):
        assert expected in shown
    assert "as of 2026-09-21 14:13:19 UTC (now)" in shown
    assert "all accounted for" in shown


def test_the_page_fits_a_terminal_of_eighty_columns() -> None:
    assert max(len(row) for row in drawn(reading(), width=80).splitlines()) <= 80


def test_windows_stand_in_the_order_of_their_length() -> None:
    assert reading().windows("active_users") == ["5m", "24h", "30d"]


def test_unlisted_platforms_stand_last() -> None:
    assert reading().values("active_users.30d") == ["platform=ios", "platform=web", "platform=unknown"]


def test_the_line_tells_the_same_in_short() -> None:
    assert line(reading()) == (
        "as of 2026-09-21 14:13:19 UTC (now) | 301 events/s | active users 5m 1,234 | open sessions 812"
        " | bounce 1h 38.1% | provisional 36.0% | checkout 1h 200 > 50 (converts 29.0%) | alive 9,100"
        " | all accounted for"
    )


def test_an_absent_number_is_a_dash_and_never_a_zero() -> None:
    assert "checkout 1h 200 > 50 (converts -)" in line(
        Reading("shop", {k: v for k, v in FIELDS.items() if k != "funnel.checkout.conversion_live"}, NOW_MS)
    )


def test_stale_numbers_say_so_before_anything_else() -> None:
    old = reading(_published_at=str(NOW_MS - 42_000))
    assert old.state == "stale"
    assert line(old) == "STALE: last published 42.0 s ago"
    assert "STALE: last published 42.0 s ago" in drawn(old).splitlines()[0]


def test_numbers_that_do_not_say_when_they_were_published_are_stale() -> None:
    unknown = Reading("shop", {"sessions.open": "3"}, NOW_MS)
    assert unknown.state == "stale"
    assert line(unknown) == "STALE: last published at an unknown time"


def test_nothing_published_is_said_in_so_many_words() -> None:
    nothing = Reading("shop", {}, NOW_MS)
    assert nothing.state == "absent"
    assert line(nothing) == "NO DATA: nothing is published for product shop"
    assert "NO DATA" in drawn(nothing)


def test_a_stream_that_is_behind_says_how_far() -> None:
    assert "(5 min ago)" in line(reading(_as_of=str(NOW_MS - 300_000)))


def test_records_that_are_not_accounted_for_are_counted() -> None:
    assert line(reading(**{"accounting.accepted": "88"})).endswith("2 RECORDS UNACCOUNTED FOR")


def test_a_product_without_any_event_yet_is_drawn() -> None:
    bare = Reading("shop", {"_published_at": str(NOW_MS)}, NOW_MS)
    assert "no event yet" in drawn(bare)
    assert "no event yet" in line(bare)
