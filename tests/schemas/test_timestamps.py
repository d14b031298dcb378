from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flows.messages.raw import PADDING
from schemas.timestamps import NOT_READ, number_ms, number_ms_at, text_ms, text_ms_at

NINE = 1_772_442_000_000  # 2026-03-02T09:00:00Z


def at(text: str) -> int | None:
    """What the compiled reader says, with other text around, as in a batch."""
    buffer = np.frombuffer(b"9" + text.encode() + b"9" + bytes(PADDING), np.uint8)
    result = int(text_ms_at(buffer, 1, 1 + len(text.encode())))
    return None if result == NOT_READ else result


def number_at(text: str) -> int | None:
    buffer = np.frombuffer(b"9" + text.encode() + b"9" + bytes(PADDING), np.uint8)
    result = int(number_ms_at(buffer, 1, 1 + len(text)))
    return None if result == NOT_READ else result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-02T09:00:00Z", NINE),
        ("2026-03-02t09:00:00z", NINE),
        ("2026-03-02 09:00:00+00:00", NINE),
        ("2026-03-02T09:00:00-00:00", NINE),
        ("2026-03-02T14:30:00+0530", NINE),
        ("2026-03-02T11:00:00+02", NINE),
        ("2026-03-01 23:15:00.000-0945", NINE),
        ("2026-03-02 09:00:00 UTC", NINE),
        ("2026-03-02T09:00:00.5 UTC", NINE + 500),
        ("2026-03-02T14:30:00+05:30", NINE),
        ("2026-03-01T23:15:00-09:45", NINE),
        ("2026-03-03T08:59:00+23:59", NINE),
        ("2026-03-02T09:00:00.1Z", NINE + 100),
        ("2026-03-02T09:00:00.129Z", NINE + 129),
        ("2026-03-02T09:00:00.1299999999999999999999Z", NINE + 129),  # cut, not rounded
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
        ("2000-02-29T00:00:00Z", 951_782_400_000),
        ("2000-01-01T00:00:00Z", 946_684_800_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
    ],
)
def test_an_rfc_3339_text_is_read_to_the_millisecond(text: str, expected: int) -> None:
    assert text_ms(text) == expected
    assert at(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1772442000", NINE),
        ("1772442000.25", NINE + 250),
        ("1772442000129", NINE + 129),
        ("1772442000129999", NINE + 129),
        ("1772442000129999999", NINE + 129),
    ],
)
def test_the_digits_of_a_number_are_that_number(text: str, expected: int) -> None:
    assert text_ms(text) == number_ms(text) == expected
    assert at(text) == number_at(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "01772442000", "1772442000.", "1.772442e9", "-1772442000", "99999999", "2026-03-02"),
        *("2026-03-02T09:00:00", "9" * 19, "1" * 20, "1" * 4000),
        *("2026-03-02T09:00Z", "26-03-02T09:00:00Z"),
        *("2026-03-02T09:00:60Z", "2026-03-02T24:00:00Z", "2026-03-02T09:60:00Z", "2026-13-02T09:00:00Z"),
        *("2026-00-02T09:00:00Z", "2026-03-00T09:00:00Z", "2026-02-29T09:00:00Z", "2100-02-29T09:00:00Z"),
        *("2026-04-31T09:00:00Z", "0000-03-02T09:00:00Z", "+2026-03-02T09:00:00Z", "2026-03-02T09:00:00.Z"),
        *("2026-03-02T09:00:00,5Z", "2026-03-02T09:00:00+053", "2026-03-02T09:00:00+5", "2026-03-02T09:00:00+"),
        *("2026-03-02T09:00:00+24:00", "2026-03-02T09:00:00+2400", "2026-03-02T09:00:00+24"),
        *("2026-03-02T09:00:00+05:3", "2026-03-02T09:00:00+05:"),
        *("2026-03-02T09:00:00UTC", "2026-03-02T09:00:00 utc", "2026-03-02T09:00:00 UTC ", "2026-03-02T09:00:00  UTC"),
        *("2026-03-02T09:00:00 GMT", "2026-03-02T09:00:00 U", "2026-03-02T09:00:00 +05:30"),
        *("2026-03-02T09:00:00+05:60", "2026-03-02T09:00:00ZZ"),
        *("2026-03-02T09:00:00Z ", " 2026-03-02T09:00:00Z"),
        *("2026-03-02  09:00:00Z", "2026-03-02_09:00:00Z", "2026/03/02T09:00:00Z", "2026-03-02T09.00.00Z"),
        *("2026-3-02T09:00:00Z", "２026-03-02T09:00:00Z", "2026-03-02T09:00:0Z"),
        *("2026-W10-1T09:00:00Z", "2026-03-02T-1:00:00Z"),
        *("2026-03-02T09:00:00.5", "2026-03-02T09:00:00.+05:30"),
        *("2026-03-02T09:00:00+05:30Z", "2026-03-02T09:00:00\n"),
    ],
)  # fmt: skip
def test_anything_else_is_no_time(text: str) -> None:
    assert text_ms(text) is None
    assert at(text) is None


@given(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
    st.sampled_from("Tt "),
    st.text("0123456789", min_size=1, max_size=30),
)
def test_every_time_in_every_offset_is_read(
    local: datetime, offset_minutes: int, separator: str, fraction: str
) -> None:
    local = local.replace(microsecond=0, tzinfo=UTC)
    sign = "-" if offset_minutes < 0 else "+"
    offset = f"{sign}{abs(offset_minutes) // 60:02d}:{abs(offset_minutes) % 60:02d}"
    text = f"{local:%Y-%m-%d}".rjust(10, "0") + separator + f"{local:%H:%M:%S}.{fraction}{offset}"
    whole = (local - timedelta(minutes=offset_minutes)) - datetime(1970, 1, 1, tzinfo=UTC)
    expected = whole // timedelta(milliseconds=1) + int(Fraction(f"0.{fraction}") * 1000)
    assert text_ms(text) == expected
    assert at(text) == expected


@given(
    st.text("0123456789-:TZz+. \téUC", max_size=32)
    | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z| UTC|[+-][0-9]{1,5})", fullmatch=True)
    | st.from_regex(r"[0-9]{7,21}(\.[0-9]{0,4})?", fullmatch=True)
)
@example("2026-03-02T09:00:00-00:0")
def test_both_readers_agree_on_any_text(text: str) -> None:
    assert at(text) == text_ms(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1772442000", NINE),
        ("1772442000.0", NINE),
        ("1772442000.1239999999999999", NINE + 123),
        ("1772442000000", NINE),
        ("1772442000000.999", NINE),
        ("1.772442e9", NINE),
        ("1772442000000000e-6", NINE),
        ("99999999999.9999", 99_999_999_999_999),  # the last number of seconds
        ("100000000000", 100_000_000_000),  # the first number of milliseconds
        ("99999999999999.9", 99_999_999_999_999),  # the last of milliseconds
        ("100000000000000", 100_000_000_000),  # the first of microseconds
        ("1772442000129999", NINE + 129),
        ("99999999999999999", 99_999_999_999_999),  # the last of microseconds
        ("100000000000000000", 100_000_000_000),  # the first of nanoseconds
        ("1772442000129999999", NINE + 129),
        ("8999999999999999999", 8_999_999_999_999),
        ("9000000000000000000", None),
        ("99999999", None),
        ("946684799.9999", 946_684_799_999),
        ("0", None),
        ("-1772442000", None),
        ("1e400", None),
        ("-1e400", None),
        ("1e-400", None),
        ("1e9999999999999999999", None),
        ("1e-9999999999999999999", None),
        ("9" * 4000, None),
        ("1772442000." + "9" * 4000, NINE + 999),
    ],
)
def test_a_number_is_seconds_milliseconds_microseconds_or_nanoseconds_by_its_size(
    text: str, expected: int | None
) -> None:
    assert number_ms(text) == expected


@given(st.decimals("100000000", "8999999999999999999", allow_nan=False))
def test_the_compiled_reader_reads_plain_numbers_as_the_exact_one(number: object) -> None:
    text = format(number, "f")
    assert number_at(text) == number_ms(text)


@pytest.mark.parametrize("text", ["-1772442000", "1e9", "1.7E9", "9" * 20, "9" * 4000, "", "-", "1772442000."])
def test_the_compiled_reader_leaves_unusual_numbers_alone(text: str) -> None:
    assert number_at(text) is None
