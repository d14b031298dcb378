"""What there is to say about each published number: its meaning, how it is computed and from what, where to get it.

Everything follows from the catalogue, the formulas' docstrings and signatures, and the parts of the state that a number
depends on. `tidegauge explain` and the "?" of the live page show the same definitions.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from flows.config.model import Config
from flows.messages.errors import TidegaugeError
from flows.metrics.catalogue import Catalogue, catalogue, families
from flows.metrics.cells import AS_OF, Cell, Derived, Metric, nearest
from flows.metrics.known_since import parts_of
from flows.metrics.minutes import MinuteBook
from flows.publish.prometheus.samples import PREFIX
from flows.publish.redis.layout import Keys

SINCE: Final = "_since."


class UnknownCell(TidegaugeError):  # noqa: N818 - what the user has to correct
    """A product publishes no such number; the message names those that are near."""


@dataclass(frozen=True, slots=True)
class Input:
    """A published number that another one is computed from."""

    name: str  # of the formula's parameter
    cell: str


@dataclass(frozen=True, slots=True)
class Definition:
    """One published number."""

    cell: str
    metric: Metric
    ordered: bool  # stands at the watermark; else at the stream clock
    parts: tuple[str, ...]  # of the state that it depends on
    command: str  # that reads it from Redis
    series: str  # the PromQL of it, "": it is in Redis only
    formula: str = ""  # in words; "": it is counted
    inputs: tuple[Input, ...] = ()
    unpublished: int = 0  # counts in the formula that are not published
    compute: Callable[..., float | None] | None = None

    def since_ms(self, fields: Mapping[str, str]) -> int | None:
        """Since when it counts, by the fields of the live hash: 0 is the stream's beginning; None: nothing says."""
        known = [int(fields[name]) for name in self.since_fields if name in fields]
        return max(known) if known else None

    @property
    def help(self) -> str:
        """What the metric means, with the placeholders of its name filled in from the cell's."""
        pattern = re.sub(r"<(\w+)>", r"(?P<\1>[^.{]+)", self.metric.name.replace(".", r"\."))
        values = found.groupdict() if (found := re.match(pattern, self.cell)) else {}
        return re.sub(r"<(\w+)>", lambda match: values.get(match[1], match[0]), self.metric.help)

    @property
    def since_fields(self) -> list[str]:
        """The fields of the live hash that `since_ms` looks at; a part without one is as old as its family."""
        return [SINCE + part for part in self.parts]

    def told(self, fields: Mapping[str, str]) -> dict[str, Any]:
        """All of it as JSON has it, with the values that `fields` of the live hash give."""
        return {
            "cell": self.cell,
            "value": fields.get(self.cell),
            "help": self.help,
            "unit": self.metric.unit,
            "formula": self.formula,
            "inputs": [{"name": one.name, "cell": one.cell, "value": fields.get(one.cell)} for one in self.inputs],
            "unpublished": self.unpublished,
            "since": since_text(self.since_ms(fields)),
            "stands_at": "_watermark" if self.ordered else "_as_of",
            "redis": self.command,
            "promql": self.series,
        }


def since_text(since_ms: int | None) -> str:
    """The time as prose has it."""
    if since_ms is None:
        return "not known"
    if since_ms == 0:
        return "the beginning of the stream"
    return f"{datetime.fromtimestamp(since_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


class Definitions(Mapping[str, Definition]):
    """The definitions of all numbers that `config` publishes, by cell; in the order of the catalogue."""

    def __init__(self, config: Config, listed: Catalogue | None = None) -> None:
        self.config = config
        self._listed = listed or catalogue(config)
        self._live = Keys(config.product).live
        self._origin = {cell.name: origin for cell, origin in _origins(config)}
        for derived in self._listed.derived:  # each stands behind those that it is derived from
            self._origin[derived.name] = _together(self._origin[name] for name in derived.inputs if name != AS_OF)
        self._published = {cell.name: cell for cell in self._listed.cells if cell.metric is not None}
        self._derived = {cell.name: cell for cell in self._listed.derived}
        self._breakdowns: dict[str | None, dict[str, None]] = {}  # of each family of Prometheus
        cells: list[Cell | Derived] = [*self._published.values(), *self._derived.values()]
        for cell in cells:
            assert cell.metric is not None
            self._breakdowns.setdefault(cell.metric.prometheus, {}).update(dict.fromkeys(cell.group))

    def __getitem__(self, cell: str) -> Definition:
        if cell in self._published:
            found = self._published[cell]
            assert found.metric is not None
            origin = self._origin[cell]
            return Definition(
                cell, found.metric, origin.ordered, origin.parts, self._command(cell), self._series(found)
            )
        derived = self._derived[cell]
        origin = self._origin[cell]
        named = [
            Input(name, of)
            for name, of in zip(_parameters(derived.formula, len(derived.inputs)), derived.inputs, strict=True)
        ]
        shown = tuple(one for one in named if one.cell in self or one.cell == AS_OF)
        return Definition(
            cell,
            derived.metric,
            origin.ordered,
            origin.parts,
            self._command(cell),
            self._series(derived),
            in_words(derived.formula),
            shown,
            len(named) - len(shown),
            derived.formula,
        )

    def __iter__(self) -> Iterator[str]:
        yield from self._published
        yield from self._derived

    def __len__(self) -> int:
        return len(self._published) + len(self._derived)

    def __contains__(self, cell: object) -> bool:
        return cell in self._published or cell in self._derived

    def of(self, cell: str) -> Definition:
        """The definition; UnknownCell, with names that are near, where there is none."""
        if cell in self:
            return self[cell]
        plain = [name for name in self if "{" not in name or "{" in cell]
        near = nearest(cell, plain)
        hint = f"; there are {', '.join(near)}" if near else ""
        raise UnknownCell(
            f"{self.config.product} publishes no {cell}{hint} (`tidegauge schema cells` lists every number of a config;"
            " schemas/redis.v1.md describes the accounting and the fields that begin with _)"
        )

    def _command(self, cell: str) -> str:
        return f"redis-cli HGET '{self._live}' '{cell}'"

    def _series(self, cell: Cell | Derived) -> str:
        """The selector of just this series: a breakdown that it does not have is matched as empty."""
        metric = cell.metric
        if metric is None or metric.prometheus is None:
            return ""
        empty = {name: "" for name in self._breakdowns[metric.prometheus] if name not in cell.labels}
        labels = {"product": self.config.product, **cell.labels, **empty}
        matchers = ", ".join(f'{name}="{value}"' for name, value in labels.items())
        return f"{PREFIX}{metric.prometheus}{{{matchers}}}"


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a cell comes from."""

    ordered: bool
    parts: tuple[str, ...]


def _together(origins: Iterable[_Origin]) -> _Origin:
    """Of a cell that is derived from some."""
    found = list(origins)
    parts = dict.fromkeys(part for origin in found for part in origin.parts)
    return _Origin(any(origin.ordered for origin in found), tuple(parts))


def _origins(config: Config) -> Iterator[tuple[Cell, _Origin]]:
    for name, family in families(config, MinuteBook(config)).items():
        for cell in (cell for block in family.blocks() for cell in block.cells()):
            trail = family.trail(cell)
            parts = (*parts_of(name, family, cell), *(trail.parts if trail else ()))
            yield cell, _Origin(family.ordered, parts)


def in_words(formula: Callable[..., float | None]) -> str:
    """What a formula's docstring says, and that of the function to which it refers with "see `name`"."""
    text = " ".join((inspect.getdoc(formula) or "").split())
    if match := re.search(r";? see `(\w+)`", text):
        of = getattr(sys.modules[formula.__module__], match[1])
        text = f"{text.replace(match[0], '').rstrip('.')}. {in_words(of)}"
    return text


def _parameters(formula: Callable[..., float | None], number: int) -> list[str]:
    """The names of so many positional arguments; those of a `*` parameter share its name."""
    names: list[str] = []
    for parameter in inspect.signature(formula).parameters.values():
        left = number - len(names)
        names += [parameter.name] * (left if parameter.kind is parameter.VAR_POSITIONAL else min(1, left))
    return names
