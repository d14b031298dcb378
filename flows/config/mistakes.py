"""What is wrong with a configuration and how to put it right: where, what was found, what is expected.

A `Finding` knows its place by keys; a `Mistake` knows which file, line and column, or which variable that is.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic_core import PydanticCustomError

from flows.messages.errors import TidegaugeError

Path = tuple[str | int, ...]

SHOWN: Final = 60
"""Characters of a wrong value that a message repeats; the rest helps nobody."""


RULES: Final = "rules"
"""The type of the pydantic errors that carry findings, as `findings` in their context."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and the keys that lead to it."""

    path: Path
    message: str
    suggestion: str | None = None
    at_key: bool = False  # the key itself is wrong, rather than its value
    because_of: Sequence[Path] = ()  # other places that the judgement rests on

    @staticmethod
    def error(found: Sequence[Finding]) -> PydanticCustomError:
        """The exception that carries findings through pydantic; paths are relative to what is validated."""
        text = "; ".join(": ".join(filter(None, (".".join(map(str, f.path)), f.message))) for f in found)
        return PydanticCustomError(RULES, "{text}", {"text": text, "findings": list(found)})


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing to put right (or, as a warning, to think about)."""

    source: str  # the file, or "environment", or "command line"
    path: str  # the place within: "funnels.checkout.steps.1", "REDIS_URL", "--redis"; empty: the whole
    message: str  # "found 'abc', expected a duration such as 10s, 30m, 1h or 30d"
    suggestion: str | None = None  # what to write instead
    line: int | None = None  # from 1; None: the source has no lines, or the whole is meant
    column: int | None = None  # from 1, in characters

    def __str__(self) -> str:
        """One line: `shop.yaml:3:11: lateness: found ..., expected ...; did you mean 10s?`."""
        where = ":".join(str(part) for part in (self.source, self.line, self.column) if part is not None)
        parts = [where, self.path, self.message] if self.path else [where, self.message]
        return ": ".join(parts) + (f"; did you mean {self.suggestion}?" if self.suggestion else "")


class ConfigErrors(TidegaugeError):  # noqa: N818 - it carries several errors, and its name says so
    """The configuration cannot be used; `mistakes` holds every reason, in the order of the file."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


def shown(value: object) -> str:
    """`value` as a message may repeat it: one line, unprintable characters escaped, cut at SHOWN."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a section" if value else "an empty section"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def closest(word: str, choices: Iterable[str]) -> str | None:
    """The one of `choices` that `word` most resembles, whatever the case; None when none is near."""
    by_lower = {choice.lower().replace("-", "_"): choice for choice in choices}
    near = difflib.get_close_matches(word.lower().replace("-", "_"), by_lower, n=1, cutoff=0.6)
    return by_lower[near[0]] if near else None
