"""The product's numbers as gauges: one family for each kind of number, whose series differ in their labels.

Product series are thousands, so each gets its text up to the value once, at start: a page of 5,000 series then takes
1.8 ms of CPU, where the library's encoder takes 26 ms and, holding the GIL, makes the flow wait.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from flows.metrics.cells import Cell, Derived, Tally
from flows.process.health import Health
from flows.publish.prometheus.health import health_families
from flows.publish.prometheus.samples import PREFIX

FAMILY: Final = re.compile(r"[a-z][a-z0-9_]*")
LABEL: Final = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
TOP: Final = f"{PREFIX}top"
TOP_HELP: Final = "What counts most in the window, of top lists that are exported: events, or users, that show a value."
RESERVED_LABELS: Final = frozenset({"product", "le"})
RESERVED_ENDINGS: Final = ("_total", "_bucket", "_count", "_sum", "_created", "_info")
"""What a gauge may not end in: the formats give these endings a meaning."""


class Catalogue(Protocol):
    """All cells that a config makes."""

    @property
    def cells(self) -> Sequence[Cell]:
        """Those counted by the shards."""

    @property
    def derived(self) -> Sequence[Derived]:
        """Those computed from them."""

    @property
    def tallies(self) -> Sequence[Tally]:
        """Counters and histograms over hidden cells."""


@dataclass(slots=True)
class ProductFamily:
    """One kind of number: its helps and, for each series, the cell it shows, its factor and its text."""

    name: str
    units: dict[str, str] = field(default_factory=dict)  # one, or one for each value of the label `unit`
    helps: list[str] = field(default_factory=list)
    series: list[tuple[str, float, str]] = field(default_factory=list)


def product_families(catalogue: Catalogue, product: str) -> list[ProductFamily]:
    """The gauge families of a catalogue; each series has the label `product` and its cell's own.

    A family that several metrics share has all their helps. Raises ValueError, naming both sides, for what
    cannot be a name or a label, for metrics of different units in one family that no label `unit` tells apart,
    and for two cells that would be the same series.
    """
    families: dict[str, ProductFamily] = {}
    shown: dict[tuple[str, frozenset[tuple[str, str]]], str] = {}
    nothing = Health(redis_configured=True).read()
    taken = {family.name for family in health_families(None, None, nothing, product)}
    taken |= {TOP} | {PREFIX + tally.prometheus for tally in catalogue.tallies}
    cells: list[Cell | Derived] = [*catalogue.cells, *catalogue.derived]
    for cell in cells:
        metric = cell.metric
        if metric is None or metric.prometheus is None:
            continue
        name = PREFIX + metric.prometheus
        if not FAMILY.fullmatch(metric.prometheus) or name.endswith(RESERVED_ENDINGS):
            raise ValueError(f"metric {metric.name} cannot have {name}: that is no name for a gauge")
        if name in taken:
            raise ValueError(f"metric {metric.name} cannot have {name}: that tells the health of the process")
        unit = metric.unit if metric.scale == 1.0 else f"{metric.unit} x {metric.scale}"
        family = families.setdefault(name, ProductFamily(name))
        held = family.units.setdefault(cell.labels.get("unit", ""), unit)
        if held != unit:
            raise ValueError(f"{name} holds {held}, so metric {metric.name} cannot add {unit}")
        if metric.help not in family.helps:
            if re.search(r'["\\\n]', metric.help):
                raise ValueError(f"the help of metric {metric.name} needs escaping: {metric.help!r}")
            family.helps.append(metric.help)
        for label, value in cell.labels.items():
            if not LABEL.fullmatch(label) or label in RESERVED_LABELS or not _is_text(value):
                raise ValueError(f"cell {cell.name} cannot have the label {label}={value!r}")
        labels = {"product": product, **cell.labels}
        other = shown.setdefault((name, frozenset(labels.items())), cell.name)
        if other != cell.name:
            raise ValueError(f"cells {other} and {cell.name} would both be {name} with the labels {labels}")
        text = ",".join(f'{label}="{_escaped(labels[label])}"' for label in sorted(labels))
        family.series.append((cell.name, metric.scale, f"{name}{{{text}}}"))
    return list(families.values())


def _is_text(value: str) -> bool:
    """Whether `value` can be written as UTF-8; one lone surrogate would break the whole page."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def product_page(families: Iterable[ProductFamily], cells: Mapping[str, int | float]) -> str:
    """The families with the values of `cells`, as both the text and the OpenMetrics format have it.

    A cell that is absent, or no finite number, has no series.
    """
    lines = []
    for family in families:
        lines.append(f"# HELP {family.name} {' '.join(family.helps)}\n# TYPE {family.name} gauge\n")
        for cell, scale, series in family.series:
            value = cells.get(cell)
            if value is not None and math.isfinite(value):
                # Divided, for 1999 / 100.0 is 19.99, and 1999 * 0.01 is not.
                lines.append(f"{series} {value if scale == 1 else value / (1 / scale)}\n")
    return "".join(lines)


def top_page(top: Mapping[str, Mapping[str, Mapping[str, int]]], exported: Collection[str], product: str) -> str:
    """The values of those top lists that may be labels; "" where there are none.

    A value that is no longer in its list has no series, so that Prometheus calls it stale at the next scrape.
    """
    series = {
        f'{TOP}{{list="{name}",product="{product}",value="{_escaped(_visible(value))}",window="{window}"}}': count
        for name, windows in top.items()
        if name in exported
        for window, counts in windows.items()
        for value, count in counts.items()
    }
    heads = [f"# HELP {TOP} {TOP_HELP}\n# TYPE {TOP} gauge\n"] if exported else []
    return "".join([*heads, *(f"{one} {count}\n" for one, count in series.items())])


def _visible(value: str) -> str:
    """With the code points of control characters in their place, which readers of the page may trip over."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", value)
