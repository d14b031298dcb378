from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.config.yaml_tree import MAX_DEPTH, Place, read_tree


def flaws(text: bytes) -> list[tuple[int, int, str]]:
    return [(*flaw.place, flaw.message) for flaw in read_tree(text).flaws]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *[(word, word) for word in ("no", "on", "1:30", "2024-01-01", "0x1F", "1e3", "007", "1.10", "1_000", "=")],
        *[
            ("'null'", "null"),
            ("true", True),
            ("False", False),
            ("12", 12),
            ("-1", -1),
            ("", None),
            ("~", None),
        ],
    ],
)
def test_words_stay_words_and_only_json_has_other_values(written: str, value: object) -> None:
    assert read_tree(f"a: {written}\n".encode()).value == {"a": value}


def test_keys_are_text_whatever_they_look_like() -> None:
    assert read_tree(b"on: 1\n5: 2\nnull: 3\n").value == {"on": 1, "5": 2, "null": 3}


def test_an_empty_file_has_no_value_and_no_flaw() -> None:
    for text in (b"", b"\n\n# only a comment\n", b"---\n", b"\xef\xbb\xbf"):
        tree = read_tree(text)
        assert (tree.value, tree.flaws) == (None, [])


def test_every_value_knows_its_place() -> None:
    tree = read_tree("größe: 1\nliste:\n  - a\n  - {tief: x}\n".encode())
    assert tree.place(("größe",)) == Place(1, 8)
    assert tree.place(("größe",), of_key=True) == Place(1, 1)
    assert tree.place(("liste", 1, "tief")) == Place(4, 12)
    assert tree.place(("liste", 1, "missing")) == Place(4, 5)
    assert tree.place(("missing",)) == Place(1, 1)


def test_what_is_missing_in_a_section_is_said_at_its_name() -> None:
    assert read_tree(b"funnels:\n  checkout:\n    steps: [a]\n").place(("funnels", "checkout", "window")) == Place(2, 3)


def test_a_key_given_twice_is_said_at_the_second_and_the_first_counts() -> None:
    tree = read_tree(b"a: 1\nb: {c: 1, c: 2}\na: 2\n")
    assert tree.value == {"a": 1, "b": {"c": 1}}
    assert flaws(b"a: 1\nb: {c: 1, c: 2}\na: 2\n") == [
        (2, 11, "this key is given twice, first in line 2"),
        (3, 1, "this key is given twice, first in line 1"),
    ]


def test_tabs_are_all_found_and_the_rest_is_read_nevertheless() -> None:
    tree = read_tree(b"a:\n\tb: 1\n\tc: 2\nd: 3\n")
    assert tree.value == {"a": {"b": 1, "c": 2}, "d": 3}
    assert [tuple(flaw.place) for flaw in tree.flaws] == [(2, 1), (3, 1)]
    assert all("tab" in flaw.message for flaw in tree.flaws)


@pytest.mark.parametrize(
    ("text", "line", "column", "word"),
    [
        (b"a: [1, 2\nb: 3", 2, 2, "not closed with ]"),
        (b"a: 'x\nb: 2\n", 3, 1, "not closed"),
        (b"a: b: c", 1, 5, "colon"),
        (b"a: 1\n  b: 2", 2, 4, "indentation"),
        (b"a:\n  b: 1\n c: 2\n", 3, 2, "indentation"),
        (b"a: *x", 1, 4, "*x refers to nothing"),
        (b"---\na: 1\n---\nb: 2", 3, 1, "second document"),
        (b"a: @x", 1, 4, "must be quoted"),
        (b"a: \x00", 1, 4, "U+0000"),
        (b"a: 1\nb: \xff", 2, 4, "0xff is not UTF-8"),
        (b"\xff\xfea\0", 1, 1, "UTF-16"),
        (b"? [a]\n: b", 1, 3, "plain text"),
        (b"a: !!python/object:os.system x", 1, 4, "is not supported"),
        (b"a: !!float 1.5", 1, 4, "is not supported"),
        (b"<<: 5", 1, 5, "<< expects a section"),
        (b"a: &a [1, *a]", 1, 4, "contains itself"),
        (b"a: &a\n  <<: *a", 1, 4, "contains itself"),
        (b"a: " + b"[" * 100 + b"]" * 100, 1, 4 + MAX_DEPTH, "deep within"),
        (b"[" * 5000, 1, 1, "deep within"),
    ],
)
def test_what_is_wrong_with_the_text_is_said_in_plain_words(text: bytes, line: int, column: int, word: str) -> None:
    ((found_line, found_column, message),) = flaws(text)
    assert (found_line, found_column) == (line, column)
    assert word in message


def test_anchors_and_merges_are_followed_and_keep_their_places() -> None:
    tree = read_tree(b"base: &base {x: 1, y: 2}\nown:\n  <<: *base\n  y: 3\nagain: *base\n")
    assert tree.value == {"base": {"x": 1, "y": 2}, "own": {"x": 1, "y": 3}, "again": {"x": 1, "y": 2}}
    assert tree.place(("own", "x")) == Place(1, 17)
    assert tree.place(("own", "y")) == Place(4, 6)
    assert tree.flaws == []


def test_aliases_that_multiply_are_stopped() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    tree = read_tree("\n".join(lines).encode())
    assert tree.value is None
    assert [flaw.message[:21] for flaw in tree.flaws] == ["more than 100000 valu"]


PIECES = st.sampled_from(
    [
        "a",
        "b: ",
        ": ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        "&x ",
        "*x",
        "<<: ",
        "\t",
        "\n",
        "  ",
        "'",
        '"',
        "#",
        "|",
        "!!int ",
        "? ",
        ",",
    ]
)


@given(st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=40).map(lambda parts: "".join(parts).encode())))
def test_no_text_is_too_much_for_the_reader(text: bytes) -> None:
    tree = read_tree(text)
    lines = text.count(b"\n") + text.count(b"\r") + text.count(b"\x85") + text.count(b"\xa8") + text.count(b"\xa9") + 1
    assert all(1 <= flaw.place.line <= lines + 1 and flaw.place.column >= 1 for flaw in tree.flaws)
