"""One text for each meaning: how what a config says is written down where two configs are compared.

How a name is spelt beyond its slug, and the order of lists that are sets, make no difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flows.config.event_codes import Condition
from flows.config.model import Breakdown, Selector
from flows.config.notation import field_text, keys_of, slug


def names(listed: Iterable[str]) -> list[str]:
    """Their slugs, each once."""
    return sorted({slug(name) for name in listed})


def selectors(listed: Sequence[Selector]) -> list[str]:
    """Each as one text, so that a difference can name it: `page_viewed where context.page.path is _healthz`."""
    return sorted({_selector(*selector.selection()) for selector in listed})


def _selector(selected: frozenset[str] | None, conditions: Sequence[Condition]) -> str:
    fields = sorted(f"{condition.field} is {' or '.join(sorted(condition.values))}" for condition in conditions)
    return " or ".join(sorted(selected or ())) + (f" where {' and '.join(fields)}" if fields else "")


def step(alternatives: Sequence[str]) -> list[str]:
    """The first name, which names cells, and then the others."""
    first = slug(alternatives[0])
    return [first, *(name for name in names(alternatives) if name != first)]


def breakdown(section: Breakdown) -> dict[str, Any]:
    """What its values are told by, whichever they are and whatever is broken down."""
    said = section.model_dump(mode="json", exclude={"values", "of"})
    return said | {"field": field_text(keys_of(section.field) or ())}
