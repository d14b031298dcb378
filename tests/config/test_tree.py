"""The rules of the metric tree: all that are broken are told at once, each with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.config.file import load, read
from flows.config.limits import Limits
from flows.config.mistakes import ConfigErrors
from flows.config.model import Config
from flows.metrics.checks import check_cells, unknown_metrics

FOCUS = "focus: {metric: active_users.7d, level: focus, class: active_users}"


def mistakes(folder: Path, *nodes: str) -> list[str]:
    """What is told of a tree of these nodes, without the file's name and the places in it."""
    file = folder / "tidegauge.yaml"
    file.write_text("tree:\n" + "".join(f"  {node}\n" for node in nodes))
    found = read(file, environment={}, of_cells=unknown_metrics).mistakes
    return [f"{one.path}: {one.message}" + (f"; {one.suggestion}?" if one.suggestion else "") for one in found]


def node(name: str, level: int | str = 1, drives: str | None = "focus", **more: object) -> str:
    """A right node, but for what is said otherwise."""
    said = {"metric": "users.new.24h", "level": level, "drives": drives, "class_": "reach", **more}
    text = ", ".join(f"{key.strip('_')}: {str(value).lower()}" for key, value in said.items() if value is not None)
    return f"{name}: {{{text}}}"


def test_a_tree_is_held_with_its_defaults(tmp_path: Path) -> None:
    new_users = node("new", from_=10, target=20, since="2026-01-01", by="2026-12-31", alert=True)
    assert mistakes(tmp_path, FOCUS, new_users) == []
    new = load(tmp_path / "tidegauge.yaml", environment={}).config.tree["new"]
    assert (new.level, new.drives, new.class_, new.better, new.owner) == (1, "focus", "reach", "higher", None)
    assert (new.from_, new.target, str(new.since), str(new.by)) == (10, 20, "2026-01-01", "2026-12-31")
    assert isinstance(new.target, int)


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ([node("new", 1, None)],
         ["tree: no node is the focus: give the number that matters most `level: focus`",
          "tree.new.drives: this is missing: name a node of the level above (which has none)"]),
        ([FOCUS, FOCUS.replace("focus:", "second:", 1)],
         ["tree.second.level: focus is the focus already: give this a level from 1 on, and say what it `drives`"]),
        ([FOCUS.replace("class", "drives: focus, class")],
         ["tree.focus.drives: the focus drives nothing: take this out"]),
        ([FOCUS, node("new", drives="focsu")],
         ["tree.new.drives: found 'focsu', which is no node: name a node of the level above (focus); focus?"]),
        ([FOCUS, node("new"), node("ads", 1, "new")],
         ["tree.ads.drives: found new, whose level is 1: name a node of the level above (focus), or give this another"
          " level"]),
        ([FOCUS, node("a", 1, "b"), node("b", 1, "a")],
         ["tree.a.drives: a drives b drives a, in a circle: name a node of the level above (focus)",
          "tree.b.drives: b drives a drives b, in a circle: name a node of the level above (focus)"]),
        ([FOCUS, node("new", class_="reech")],
         ["tree.new.class: found 'reech', expected reach, activation, active_users, engagement, retention or business;"
          " reach?"]),
        ([FOCUS, node("new", 0)], ["tree.new.level: found 0, expected focus or a whole number from 1 to 9"]),
        ([FOCUS, node("new", metric="users.new")],
         ["tree.new.metric: found 'users.new', which this config does not publish: name a cell such as users.new.1m,"
          " users.new.5m, users.new.30m, users.new.1h, users.new.24h"]),
        ([FOCUS, node("new", from_=1)], ["tree.new.from: add `target`: this is where the way to it starts"]),
        ([FOCUS, node("new", target=9, by="2026-12-31")],
         ["tree.new.by: add `from`, `since`: without, nobody can say whether the node is on track"]),
        ([FOCUS, node("new", from_=1, target=9, since="2026-02-01", by="2026-01-31")],
         ["tree.new.by: found 2026-01-31, expected a day from `since` (2026-02-01) on"]),
        ([FOCUS, node("new", since="2026-02-30")],
         ["tree.new.since: found '2026-02-30', expected a day that is in the calendar, such as 2026-12-31"]),
        ([FOCUS, node("new", alert=True)],
         ["tree.new.alert: add `by`: the alert fires while the node is not on track to reach its target by then"]),
        ([FOCUS, node("new", from_=3, target=3)],
         ["tree.new.target: found 3, which is also `from`: there is no way to go"]),
        ([FOCUS, node("new", from_=0.5, target=0.25)],
         ["tree.new.target: found 0.25, expected a number above `from` (0.5), or `better: lower`"]),
        ([FOCUS, node("new", from_=1, target=2, better="lower")],
         ["tree.new.target: found 2, expected a number below `from` (1), or `better: higher`"]),
        ([FOCUS, node("new", target="many")], ["tree.new.target: found 'many', expected a number"]),
    ],
)  # fmt: skip
def test_a_broken_rule_is_told_with_what_to_do(nodes: list[str], told: list[str], tmp_path: Path) -> None:
    assert mistakes(tmp_path, *nodes) == told


def test_all_of_them_are_told_at_once(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        FOCUS,
        node("a", metric="nonsense", alert=True),
        node("b", 2, "focus"),
        node("c", class_="joy"),
    )
    assert [one.partition(":")[0] for one in found] == [
        "tree.a.metric", "tree.a.alert", "tree.b.drives", "tree.c.class",
    ]  # fmt: skip


def test_a_command_that_runs_refuses_a_cell_that_is_not_published() -> None:
    config = Config.model_validate({"tree": {"new": {"metric": "users.now", "level": "focus", "class": "reach"}}})
    with pytest.raises(
        ConfigErrors, match=r"tree\.new\.metric: found 'users\.now', which this config does not publish"
    ):
        check_cells(config, Limits())
