"""Which definitions stored state was made with, and what has changed since.

A checkpoint holds `definitions(config)` beside its arrays. One made with others is refused rather than half
read, for its numbers would mix two meanings; `describe_difference` says to the operator what changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from flows.config.event_codes import Condition
from flows.config.model import Config, Subscriptions
from flows.config.notation import field_text, keys_of, slug
from flows.config.selectors import Selector, StepSelector

STATE_LAYOUT: Final = 3
"""Rises when state is stored under other names: the engine would find none under the new ones."""

SUBSCRIPTIONS_LAYOUT: Final = 3
"""Rises when the state of subscriptions is stored otherwise, or means something else; other products keep theirs."""


def definitions(config: Config) -> str:
    """Canonical JSON of everything that stored state depends on; equal texts mean state can be taken over.

    In it: every field of the config as it takes effect. Comments, the order of keys, how a duration is
    written (`1d`, `24h`), the spelling of a name beyond its slug, and the order of lists that are sets
    (windows, events, key actions, a step's further alternatives) make no difference. In it too, though less
    obvious:

    * `product`: the state of one product must not be published as another's by a mistaken path;
    * `shards`: users are dealt out by it;  `minute_history`: so many minutes lie in the state;
    * the vocabulary, not only the lists it is made of: event codes number its entries;
    * the order of a breakdown's values, as they number the codes; a step's first name, as it names cells;
    * `ratio_windows` only when there are funnels: matured conversion keeps counts for each. All else that is
      computed over them comes from published cells and may change freely.
    """
    found = config.model_dump(mode="json")
    found["vocabulary"] = config.vocabulary()
    found["state_layout"] = STATE_LAYOUT
    del found["version"]  # of the file's format, not of a meaning
    del found["events"]  # their only effect is the vocabulary
    if config.subscriptions is None:
        del found["subscriptions"]  # so that state from before there was such a part is still good
    else:
        found["subscriptions"] = _subscriptions(config.subscriptions)
    if not config.funnels:
        del found["ratio_windows"]
    found["key_actions"] = _selected(config.key_actions)
    found["exclude"]["events"] = _selectors(config.exclude.events)
    found["presence"] = {
        "except": _selectors(config.presence.except_),
        "only": None if config.presence.only is None else _selectors(config.presence.only),
        "server": config.presence.server,
    }
    if config.active_users.events is not None:
        found["active_users"]["events"] = _selected(config.active_users.events)
    for name, funnel in config.funnels.items():
        found["funnels"][name]["steps"] = [_step(step) for step in funnel.steps]
    for name, breakdown in config.breakdowns.items():
        found["breakdowns"][name]["field"] = field_text(keys_of(breakdown.field) or ())
        found["breakdowns"][name]["values"] = [slug(value) for value in breakdown.values]
        found["breakdowns"][name]["of"] = sorted(breakdown.of)
        if breakdown.scope == "event":
            del found["breakdowns"][name]["scope"]  # so that state from before there were scopes is still good
    return json.dumps(found, sort_keys=True, separators=(",", ":"))


def fingerprint(config: Config) -> str:
    """32 hexadecimal digits that differ when `definitions` do: SHA-256, cut."""
    return hashlib.sha256(definitions(config).encode()).hexdigest()[:32]


def describe_difference(old_json: str, new_json: str) -> list[str]:
    """One line for each definition that differs between two texts of `definitions`; empty when none does.

    `sessions.timeout was 30m, is 20m`; `funnels.signup is new`; `key_actions no longer has order_completed`.
    """
    try:
        old = json.loads(old_json)
    except ValueError:
        return ["the stored definitions cannot be read"]
    return list(_differences("", old, json.loads(new_json)))


def _selected(selectors: Sequence[Selector]) -> list[str]:
    """As `_selectors`, with one text for each name: how names are grouped makes no difference."""
    return sorted({text for selector in selectors for text in _by_name(selector)})


def _by_name(selector: Selector) -> list[str]:
    _, conditions = selector.selection()
    return [_selector(frozenset({slug(name)}), conditions) for name in selector.event]


def _selectors(selectors: Sequence[Selector]) -> list[str]:
    """Each as one text, so that a difference can name it: `page_viewed where context.page.path is _healthz`."""
    return sorted({_selector(*selector.selection()) for selector in selectors})


def _selector(names: frozenset[str] | None, conditions: Sequence[Condition]) -> str:
    fields = sorted(f"{condition.field} is {' or '.join(sorted(condition.values))}" for condition in conditions)
    return " or ".join(sorted(names or ())) + (f" where {' and '.join(fields)}" if fields else "")


def _subscriptions(section: Subscriptions) -> dict[str, Any]:
    """Names and words as slugs; the order of plans matters, as they number the codes."""
    return {
        "state_layout": SUBSCRIPTIONS_LAYOUT,
        "amount_unit": section.amount_unit,
        "currency": section.currency,
        "plans": [slug(plan) for plan in section.plans],
        "moves": [list(pair) for pair in section.pairs()],
        "events": {slug(name): status for name, status in section.events.items()},
        "statuses": {slug(word): status for word, status in section.statuses.items()},
    }


def _step(step: Sequence[StepSelector]) -> list[str]:
    """What gives the step its name comes first."""
    first = _by_name(step[0])[0]
    given, name = slug(step[0].as_ or step[0].event[0]), slug(step[0].event[0])
    others = [text for text in _selected(step) if text != first]
    return [first if given == name else f"{first} as {given}", *others]


def _differences(path: str, old: Any, new: Any) -> Iterator[str]:
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            place = f"{path}.{key}" if path else key
            if key not in old:
                yield f"{place} is new"
            elif key not in new:
                yield f"{place} is gone"
            else:
                yield from _differences(place, old[key], new[key])
    elif isinstance(old, list) and isinstance(new, list) and all(isinstance(item, str) for item in old + new):
        yield from (f"{path} now has {item}" for item in new if item not in old)
        yield from (f"{path} no longer has {item}" for item in old if item not in new)
        if sorted(old) == sorted(new):
            yield f"{path} is in another order: was {_text(old)}, is {_text(new)}"
    else:
        yield f"{path} was {_text(old)}, is {_text(new)}"


def _text(value: Any) -> str:
    """As the file would have it: `30m`, `off`, `[product_viewed, product_added or added_to_cart]`."""
    if value is None:
        return "off"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(' or '.join(item) if isinstance(item, list) else str(item) for item in value)}]"
    return str(value)
