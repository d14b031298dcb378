"""One text for each meaning: how what a config says is written down where two configs are compared.

How a name is spelt beyond its slug, and the order of lists that are sets, make no difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flows.config.event_codes import Condition
from flows.config.model import Breakdown
from flows.config.notation import field_text, keys_of, slug
from flows.config.selectors import Selector, StepSelector


def selectors(listed: Sequence[Selector]) -> list[str]:
    """Each as one text, so that a difference can name it: `page_viewed where context.page.path is _healthz`."""
    return sorted({_selector(*selector.selection()) for selector in listed})


def selected(listed: Sequence[Selector]) -> list[str]:
    """The same, each name as a text of its own: how names are grouped makes no difference."""
    return sorted({text for selector in listed for text in _by_name(selector)})


def _by_name(selector: Selector) -> list[str]:
    _, conditions = selector.selection()
    return [_selector(frozenset({slug(name)}), conditions) for name in selector.event]


def _selector(selected: frozenset[str] | None, conditions: Sequence[Condition]) -> str:
    fields = sorted(f"{condition.field} is {' or '.join(sorted(condition.values))}" for condition in conditions)
    return " or ".join(sorted(selected or ())) + (f" where {' and '.join(fields)}" if fields else "")


def step(alternatives: Sequence[StepSelector]) -> list[str]:
    """What gives the step its name, which names cells, and then the others."""
    first, *_ = _by_name(alternatives[0])
    name = slug(alternatives[0].event[0])
    given = slug(alternatives[0].as_ or name)
    others = [text for text in selected(alternatives) if text != first]
    return [first if given == name else f"{first} as {given}", *others]


def breakdown(section: Breakdown) -> dict[str, Any]:
    """How an event gets its value, whichever values are listed and whatever is broken down."""
    scope = {} if section.scope == "event" else {"scope": section.scope}
    if section.computed is None:
        return scope | {"field": field_text(section.keys())}
    said: dict[str, Any] = {
        "computed": section.computed,
        "own_hosts": sorted({host.lower() for host in section.own_hosts}),
        "sources": {kind: sorted({host.lower() for host in hosts}) for kind, hosts in section.sources.items()},
    }
    if section.computed == "traffic":
        said["organic"] = section.organic
    if section.scope == "session":
        said["direct"] = section.direct
    return scope | said


def field(path: str) -> str:
    """The path to a field, in one of the ways in which it can be written."""
    return field_text(keys_of(path) or ())
