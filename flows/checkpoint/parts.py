"""What stored state consists of, what each part of it depends on, and what becomes of it under another config.

A *part* is whatever can begin later than the rest: a family, one funnel, a window, a name told apart, a breakdown, one
value of it. State keeps the definitions of its parts. Under another config

    keeps    a part with the same definition goes on to the digit
    afresh   one whose definition, or whose layout in the code, has changed begins anew
    new      one that was not there begins
    goes     one that is not there any more is forgotten

The past stays as it was read: what changes how records are read holds for those read from then on, and restarts
nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Fate = Literal["keeps", "afresh", "new", "goes"]
LOSSES: Final = ("afresh", "goes")
"""What takes something away that was known."""


@dataclass(frozen=True, slots=True)
class Definition:
    """What a part depends on, in the words of the config: JSON.

    `grows`: parts that belong to it. More of them, if they were nothing before, leave it as it is; fewer do not.
    """

    words: Mapping[str, Any]
    grows: frozenset[str] = frozenset()
    layout: int = 1

    def beside(self, words: Mapping[str, Any]) -> Definition:
        """This, and more that it depends on."""
        return Definition({**self.words, **words}, self.grows, self.layout)


@dataclass(frozen=True, slots=True)
class Definitions:
    """All that a state depends on."""

    whole: Mapping[str, Any]
    """What nothing goes on without: another product, or users dealt out otherwise."""
    reading: Mapping[str, Any]
    """How records are read and judged."""
    parts: Mapping[str, Definition]

    def text(self) -> str:
        """Canonical JSON: equal texts mean equal definitions."""
        parts = {
            name: {"words": part.words, "grows": sorted(part.grows), "layout": part.layout}
            for name, part in self.parts.items()
        }
        said = {"whole": self.whole, "reading": self.reading, "parts": parts}
        return json.dumps(said, sort_keys=True, separators=(",", ":"))

    @staticmethod
    def of(text: str) -> Definitions:
        """What `text` gave; ValueError where it is none."""
        try:
            said = json.loads(text)
            parts = {
                name: Definition(part["words"], frozenset(part["grows"]), part["layout"])
                for name, part in said["parts"].items()
            }
            return Definitions(said["whole"], said["reading"], parts)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"these are no definitions ({error!r})") from None

    def fingerprint(self) -> str:
        """32 hexadecimal digits that differ when the texts do: SHA-256, cut."""
        return hashlib.sha256(self.text().encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a part, and because of what."""

    part: str
    fate: Fate
    reasons: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """What becomes of state made with one set of definitions under another."""

    refused: Sequence[str]
    """Why nothing can go on; empty where something does."""
    reading: Sequence[str]
    """What will be read or judged otherwise from now on."""
    changes: Sequence[Change] = field(repr=False)
    """Of every part, also those that go on."""

    @property
    def kept(self) -> frozenset[str]:
        """The parts that go on."""
        return frozenset(change.part for change in self.changes if change.fate == "keeps")

    @property
    def losses(self) -> list[Change]:
        """The parts whose past is lost."""
        return [change for change in self.changes if change.fate in LOSSES]


def compare(old: Definitions, new: Definitions) -> Comparison:
    """What becomes of the parts of `old`, and of those of `new`."""
    changes = [
        Change(name, "goes") if name not in new.parts else _change(name, old, new.parts[name])
        for name in [*new.parts, *(name for name in old.parts if name not in new.parts)]
    ]
    return Comparison(
        list(_differences("", old.whole, new.whole)), list(_differences("", old.reading, new.reading)), changes
    )


def _change(name: str, old: Definitions, new: Definition) -> Change:
    was = old.parts.get(name)
    if was is None:
        return Change(name, "new")
    reasons = list(_differences(name, was.words, new.words))
    reasons += [f"{name} no longer has {part.rpartition('.')[2]}" for part in sorted(was.grows - new.grows)]
    reasons += [
        f"{name} now has {part.rpartition('.')[2]}, which was told apart before"
        for part in sorted(new.grows - was.grows)
        if part in old.parts
    ]
    if was.layout != new.layout:
        reasons.append(f"this version keeps {name} otherwise")
    return Change(name, "afresh" if reasons else "keeps", reasons)


def _differences(path: str, old: Any, new: Any) -> Iterator[str]:
    """One line for each definition that differs: `sessions.timeout was 30m, is 20m`."""
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
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
