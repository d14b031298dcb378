"""What is remembered of rejected records, and what is said of them."""

from __future__ import annotations

import tracemalloc

from flows.messages.snapshot import ACCOUNTS
from flows.process.rejections import Rejections, nothing_accepted
from schemas.signs import LOOKED_AT
from tests.rejecting import poll


def test_each_reason_has_its_count_and_the_place_and_message_of_its_first_record() -> None:
    rejections = Rejections()
    rejections.take(*poll(10, 2, reason="bad_id", message="$.userId: a placeholder, not an id", offset=5, payload=b"x"))
    rejections.take(*poll(1000, 998, payload=b"x", offset=15))
    rejections.take(*poll(10, 1, reason="bad_id", message="$.anonymousId: something else", offset=1015, payload=b"x"))
    assert str(rejections).splitlines() == [
        "1,001 of 1,020 records rejected",
        "missing_field  998  first at partition 0, offset 15: $.type: missing",
        "bad_id           3  first at partition 0, offset 5: $.userId: a placeholder, not an id",
    ]


def test_what_is_rejected_whole_is_told_with_what_it_looks_like() -> None:
    rejections = Rejections()
    rejections.take(*poll(12, 12))
    assert rejections.nothing_accepted
    heading, reason, likeness = str(rejections).splitlines()
    assert heading == "0 of 12 records accepted"
    assert reason == "missing_field  12  first at partition 0, offset 0: $.type: missing"
    assert likeness.startswith("They look like Amplitude's events: ")


def test_a_format_that_is_read_is_named_only_where_nothing_was_accepted() -> None:
    ours = b'{"type": "track", "event": "a", "userId": ""}'
    some, none = Rejections(), Rejections()
    some.take(*poll(12, 11, payload=ours))
    none.take(*poll(12, 11, payload=ours, excluded=1))
    assert "look like" not in str(some)
    assert "They look like Segment's events" in str(none)


def test_the_most_frequent_reason_says_what_the_records_look_like() -> None:
    rejections = Rejections()
    for number, reason in enumerate(("bad_id", "bad_type", "bad_timestamp")):
        rejections.take(*poll(4, 4, reason=reason, message=f"{number}", payload=b"5"))
    rejections.take(*poll(1000, 900))
    assert "They look like Amplitude's events" in str(rejections)


def test_how_a_file_begins_tells_only_where_nothing_else_was_accepted() -> None:
    some, none = Rejections(), Rejections()
    for rejections in (some, none):
        rejections.take(*poll(1, 1, reason="not_json", message="", payload=b"["))
        rejections.take(*poll(9, 9, payload=b"5"))
    some.take(*poll(1, 0))
    assert "They look like a JSON array" in str(none)
    assert "JSON array" not in str(some)


def test_excluded_records_alone_are_no_rejection() -> None:
    rejections = Rejections()
    rejections.take(*poll(3, 0, excluded=3))
    assert not rejections.nothing_accepted


def test_memory_does_not_grow_with_what_is_rejected() -> None:
    rejections = Rejections()
    tracemalloc.start()
    try:
        for number in range(20):
            rejections.take(*poll(50, 50, payload=bytes(100_000) + b"%d" % number))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rejections.rejected == 1000
    assert held < 20 * LOOKED_AT


def test_accounts_tell_a_topic_that_was_rejected_whole() -> None:
    def account(**counts: int) -> dict[str, int]:
        return dict.fromkeys(ACCOUNTS, 0) | {name.replace("__", "."): count for name, count in counts.items()}

    rejected = account(consumed=2, rejected__bad_id=2)
    assert nothing_accepted({0: rejected, 1: account()})
    assert not nothing_accepted({0: rejected, 1: account(consumed=1, accepted=1)})
    assert not nothing_accepted({0: account(), 1: account(consumed=5, excluded=5)})
    assert not nothing_accepted({})
