"""Values of listed fields: what they are, in the loop and in the decoder, and that each poll brings their texts."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flows.audit.top import xxh64
from flows.config.limits import Limits
from flows.config.model import Config
from flows.decode.hashing import id_hash
from flows.decode.intake import Intake
from flows.decode.values import value_of
from flows.messages.columns import TEXTS
from flows.messages.raw import Raw
from flows.metrics.top.texts import pieces_of, texts_in

CONFIG = Config.model_validate({"top": {"pages": {"field": "context.page.path"}}})
NOW_MS = 1_774_742_400_000
CHARACTERS = st.characters(exclude_categories=["Cs"])


def shown(*paths: Any, ascii_only: bool = True, slow: bool = False) -> list[str | None]:
    """The value that each event of one poll shows. `slow`: with a text that only the decoder takes."""
    values: list[bytes | None] = []
    for number, path in enumerate(paths):
        event = {"type": "page", "userId": "u", "messageId": f"m{number}", "timestamp": NOW_MS}
        event |= {"context": {"page": {"path": path}}}
        text = json.dumps(event, ensure_ascii=ascii_only)
        values.append(text.replace('"u"', '"\\u0075"').encode() if slow else text.encode())
    raw = Raw.of("t", 0, 1, values, range(len(values)), [NOW_MS] * len(values), True, None)
    columns, rejected = Intake(CONFIG, Limits()).read(raw)
    assert not rejected
    rows = columns.facts.get("values.pages")
    if rows is None:
        return [None] * len(paths)
    texts = texts_in(columns.facts[TEXTS])
    found = dict(zip(rows["offset"].tolist(), rows["key"].tolist(), strict=True))
    return [texts[found[number]] if number in found else None for number in range(len(paths))]


def test_a_value_is_a_text_without_its_query_and_cut() -> None:
    paths = [
        "/a?x=1",
        "/a",
        "x" * 201,
        "?only",
        "",
        None,
        7,
        -1.50,
        True,
        {"a": 1},
        [1],
        '/ü\n\0"\\/\u2028😀',
        "😀" * 300,
    ]
    wanted = [
        "/a",
        "/a",
        "x" * 200,
        None,
        None,
        None,
        "7",
        "-1.5",
        "true",
        None,
        None,
        '/ü\n\0"\\/\u2028😀',
        "😀" * 200,
    ]
    for slow in (False, True):
        assert shown(*paths, slow=slow) == wanted
        assert shown(*paths, slow=slow, ascii_only=False) == wanted


@given(st.lists(st.text(CHARACTERS, max_size=260), min_size=1, max_size=30), st.booleans())
def test_the_loop_reads_what_the_decoder_reads(paths: list[str], ascii_only: bool) -> None:
    wanted = [value_of(path) or None for path in paths]
    assert shown(*paths, ascii_only=ascii_only) == wanted
    assert shown(*paths, ascii_only=ascii_only, slow=True) == wanted


def test_a_poll_of_more_texts_than_there_was_room_for_brings_them_all() -> None:
    paths = [f"/{number:04d}/" + "x" * (number % 190) for number in range(3000)]
    assert shown(*paths) == paths


@given(st.dictionaries(st.integers(1, 2**64 - 1), st.text(CHARACTERS, min_size=1, max_size=200)))
def test_texts_come_back_from_their_pieces(texts: dict[int, str]) -> None:
    assert texts_in(pieces_of(texts)) == texts


@given(st.binary(max_size=300))
def test_the_audit_hashes_as_the_job_does(data: bytes) -> None:
    text = data.decode("latin-1")
    assert (xxh64(text.encode()) or 1) == id_hash(text)


def test_an_event_that_is_rejected_for_what_it_tells_shows_no_value() -> None:
    config = Config.model_validate({"top": {"orders": {"field": "properties.order_id"}}, "orders": {}})
    event = {"type": "track", "event": "Order Completed", "userId": "u", "timestamp": NOW_MS}
    good = event | {"properties": {"order_id": "o1", "revenue": "5.00"}}
    bad = event | {"properties": {"order_id": "o2", "revenue": "much"}}
    values: list[bytes | None] = [json.dumps(one).encode() for one in (bad, good)]
    raw = Raw.of("t", 0, 1, values, range(2), [NOW_MS] * 2, True, None)
    columns, rejected = Intake(config, Limits()).read(raw)
    assert [one.reason for one in rejected] == ["bad_property"]
    assert columns.facts["values.orders"]["key"].tolist() == [id_hash("o1")]
    assert np.array_equal(columns.facts["values.orders"]["offset"], [1])
