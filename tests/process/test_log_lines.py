"""No text can forge a line of the log, move the cursor, or turn the direction of writing."""

from __future__ import annotations

import logging
import re

from hypothesis import given
from hypothesis import strategies as st

from flows.process.log_lines import FORMAT, LineFormatter, plain

BEGIN = re.compile(r"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ +")


def logged(text: str) -> str:
    record = logging.LogRecord("any", logging.ERROR, "here", 1, "server said: %s", (text,), None)
    return LineFormatter(FORMAT).format(record)


def test_a_forged_line_is_indented_and_an_escape_is_shown() -> None:
    forged = "x\n2026-01-01 00:00:00,000 ERROR   forged\r\x1b[2Jgone \u202etxet\u202c \ud83d \x00"
    line = logged(forged)
    first, second = line.split("\n")
    assert first.endswith("ERROR   server said: x")
    assert second == r"    2026-01-01 00:00:00,000 ERROR   forged\r\x1b[2Jgone \u202etxet\u202c \ud83d \x00"
    assert len(BEGIN.findall(line)) == 1


def test_text_of_any_language_stays_as_it_is() -> None:
    assert plain("مرحبا 你好 😀 Grüße") == "مرحبا 你好 😀 Grüße"


@given(st.text(st.characters(), max_size=200))
def test_whatever_the_text_only_the_record_begins_at_the_margin(text: str) -> None:
    line = logged(text)
    line.encode()  # can be written
    assert len(BEGIN.findall(line)) == 1
    assert [part for part in line.split("\n")[1:] if not part.startswith("    ")] == []
    assert "".join(line.split("\n")).isprintable()
