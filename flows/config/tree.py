"""The `tree:` part of the user's file: the metric that matters most, what drives it, and the targets of both.

The tree measures nothing: it reads published numbers. So it is no part of any definition of state, and a node can be
added, changed or taken out while the job's state goes on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from flows.config.fields import Section, Slug
from flows.config.mistakes import Finding, closest, shown

FOCUS: Final = "focus"
DEEPEST: Final = 9
MAX_NODES: Final = 50
NUMBER_PATTERN: Final = r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?"

MetricClass = Literal["reach", "activation", "active_users", "engagement", "retention", "business"]


def level_text(level: int) -> str:
    """As the file and labels write it: `focus`, `1`, `2`."""
    return str(level) if level else FOCUS


def _level(value: Any) -> Any:
    if value == FOCUS:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= DEEPEST:
        raise ValueError(f"expected {FOCUS} or a whole number from 1 to {DEEPEST}")
    return value


def _number(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(NUMBER_PATTERN, value, re.ASCII):  # as YAML's reader leaves fractions
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("expected a number")
    return value


def _day(value: Any) -> Any:
    if type(value) is date:
        return value
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        raise ValueError("expected a day such as 2026-12-31")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError("expected a day that is in the calendar, such as 2026-12-31") from None


Level = Annotated[
    int,
    BeforeValidator(_level),
    PlainSerializer(lambda level: level or FOCUS),
    WithJsonSchema({"anyOf": [{"const": FOCUS}, {"type": "integer", "minimum": 1, "maximum": DEEPEST}]}),
]
"""Written `focus`, 1, 2; held as 0, 1, 2."""
Number = Annotated[int | float, BeforeValidator(_number), WithJsonSchema({"type": "number"})]
Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]


class Node(Section):
    """A published number with its place in the tree and, optionally, a target."""

    metric: str = Field(min_length=1, max_length=300)
    """The number: any cell of this config, such as `active_users.7d` or `sessions.started.24h{platform=ios}`."""
    level: Level
    """`focus` for the number that matters most, 1 for what drives it, 2 for what drives those."""
    drives: Slug | None = None
    """The node of the level above that this one moves; the focus drives none."""
    class_: MetricClass = Field(alias="class")
    """The kind of number."""
    better: Literal["higher", "lower"] = "higher"
    """The direction that is good."""
    from_: Number | None = Field(None, alias="from")
    """The value at the start of the way to the target."""
    target: Number | None = None
    """The value to reach, in the unit of the cell: shares as 0.25, money in minor units (500000 is 5,000.00), times in
    ms."""
    since: Day | None = None
    """The day on which the way to the target starts, at its local midnight."""
    by: Day | None = None
    """The day at whose end, in local time, the target is to be reached; needs `from`, `target` and `since`."""
    owner: str | None = Field(None, min_length=1, max_length=100)
    """The person or team that answers for it."""
    alert: bool = False
    """Whether TargetMissed alerts while the node is not on track; needs `by`."""


def broken_tree(tree: Mapping[str, Node]) -> Iterator[Finding]:
    """Every rule that a tree breaks; paths begin with `tree`."""
    if tree:
        yield from _focus(tree)
    for name, node in tree.items():
        yield from _place(tree, name, node)
        yield from _target(name, node)


def _focus(tree: Mapping[str, Node]) -> Iterator[Finding]:
    found = [name for name, node in tree.items() if node.level == 0]
    if not found:
        yield Finding(("tree",), f"no node is the focus: give the number that matters most `level: {FOCUS}`")
    for name in found[1:]:
        yield Finding(
            ("tree", name, "level"),
            f"{found[0]} is the focus already: give this a level from 1 on, and say what it `drives`",
            because_of=[("tree", found[0], "level")],
        )


def _place(tree: Mapping[str, Node], name: str, node: Node) -> Iterator[Finding]:
    path = ("tree", name, "drives")
    if node.level == 0:
        if node.drives is not None:
            yield Finding(path, "the focus drives nothing: take this out")
        return
    above = [other for other, one in tree.items() if one.level == node.level - 1]
    choice = f"a node of the level above ({', '.join(above) or 'which has none'})"
    because_of = [("tree", name, "level"), *(("tree", other, "level") for other in above)]
    if node.drives is None:
        yield Finding(path, f"this is missing: name {choice}", because_of=because_of)
    elif node.drives not in tree:
        found = f"found {shown(node.drives)}, which is no node: name {choice}"
        yield Finding(path, found, closest(node.drives, above), because_of=[*because_of, ("tree", node.drives)])
    elif circle := _circle(tree, name):
        yield Finding(
            path,
            f"{' drives '.join(circle)}, in a circle: name {choice}",
            because_of=[*because_of, *(("tree", other, "drives") for other in circle)],
        )
    elif node.drives not in above:
        level = level_text(tree[node.drives].level)
        found = f"found {node.drives}, whose level is {level}: name {choice}, or give this another level"
        yield Finding(path, found, because_of=[*because_of, ("tree", node.drives, "level")])


def _circle(tree: Mapping[str, Node], name: str) -> list[str]:
    """The way from a node back to itself; empty: there is none."""
    way, here = [name], tree[name].drives
    while here is not None and here in tree and here not in way:
        way.append(here)
        here = tree[here].drives
    return [*way, name] if here == name else []


def _target(name: str, node: Node) -> Iterator[Finding]:
    said = {
        key: value
        for key in ("from", "target", "since", "by")
        if (value := getattr(node, "from_" if key == "from" else key)) is not None
    }
    path = ("tree", name)
    if "from" in said and "target" not in said:
        found = "add `target`: this is where the way to it starts"
        yield Finding((*path, "from"), found, because_of=[(*path, "target")])
    if "by" in said and (missing := [f"`{key}`" for key in ("from", "target", "since") if key not in said]):
        yield Finding(
            (*path, "by"),
            f"add {', '.join(missing)}: without, nobody can say whether the node is on track",
            because_of=[(*path, key) for key in ("from", "target", "since")],
        )
    if node.since is not None and node.by is not None and node.by < node.since:
        yield Finding((*path, "by"), f"found {node.by}, expected a day from `since` ({node.since}) on")
    if node.alert and "by" not in said:
        found = "add `by`: the alert fires while the node is not on track to reach its target by then"
        yield Finding((*path, "alert"), found, because_of=[(*path, "by")])
    if node.from_ is not None and node.target is not None:
        if node.from_ == node.target:
            yield Finding((*path, "target"), f"found {node.target}, which is also `from`: there is no way to go")
        elif (node.target > node.from_) != (node.better == "higher"):
            wanted, other = ("above", "lower") if node.better == "higher" else ("below", "higher")
            yield Finding(
                (*path, "target"),
                f"found {node.target}, expected a number {wanted} `from` ({node.from_}), or `better: {other}`",
                because_of=[(*path, "better"), (*path, "from")],
            )
