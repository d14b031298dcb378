"""The vocabulary of rules: durations and times as PromQL writes them, groups of rules, and the file they become.

*Time compression* lets tests run hours of a product's life in minutes: a stream whose clock runs `speed` times as fast
as the real one, and meets it at `meets_s`, is judged by rules whose ranges are as much shorter, and whose idea of the
present is that of the stream. What the process does by its own clock (checkpoints, publishing) is not compressed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import dedent, indent
from typing import Final

UNITS_MS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


def duration(ms: float) -> str:
    """`6d23h30m`: whole milliseconds, at least one, as Prometheus writes them."""
    rest, text = max(1, round(ms)), ""
    for unit, size in UNITS_MS:
        count, rest = divmod(rest, size)
        text += f"{count}{unit}" if count else ""
    return text


@dataclass(frozen=True, slots=True)
class Pace:
    """How stream time runs against real time; by default they are the same."""

    speed: float = 1.0
    meets_s: float = 0.0  # Unix time at which both clocks show the same

    def span(self, ms: float) -> str:
        """A duration of the stream, as it passes in Prometheus."""
        return duration(ms / self.speed)

    def now(self) -> str:
        """The present of the stream, in Unix seconds, as an expression."""
        if self.speed == 1:
            return "time()"
        return f"({self.meets_s:.3f} - {self.speed:g} * ({self.meets_s:.3f} - time()))"


@dataclass(frozen=True, slots=True)
class Recording:
    """A number with a name, so that alerts read like sentences."""

    record: str
    expr: str
    comment: str  # what it is, and why so
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alert:
    """What fires, when, how loudly, and what whoever is woken reads."""

    alert: str
    expr: str
    comment: str
    for_: str
    keep_firing_for: str | None
    severity: str
    area: str  # product or pipeline
    summary: str
    description: str
    dashboard: str
    runbook: str


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that Prometheus evaluates one after the other, so that a later one sees what an earlier one recorded."""

    name: str
    comment: str
    rules: Sequence[Recording | Alert]


def rule_file(groups: Sequence[Group], heading: str) -> str:
    """The groups as a rule file that can be read: expressions over several lines, each rule with its reason."""
    parts = [*_comment(heading, ""), "groups:"]
    for group in groups:
        parts += ["", *_comment(group.comment, "  "), f"  - name: {group.name}", "    rules:"]
        for rule in group.rules:
            parts += ["", *_comment(rule.comment, "      "), *_rule(rule)]
    return "\n".join(parts) + "\n"


def _rule(rule: Recording | Alert) -> Iterator[str]:
    if isinstance(rule, Recording):
        yield f"      - record: {rule.record}"
        yield from _expression(rule.expr)
        if rule.labels:
            yield "        labels:"
            yield from (f"          {name}: {json.dumps(value)}" for name, value in rule.labels.items())
        return
    yield f"      - alert: {rule.alert}"
    yield from _expression(rule.expr)
    yield f"        for: {rule.for_}"
    if rule.keep_firing_for is not None:
        yield f"        keep_firing_for: {rule.keep_firing_for}"
    yield "        labels:"
    yield f"          severity: {rule.severity}"
    yield f"          area: {rule.area}"
    yield "        annotations:"
    for name in ("summary", "description"):
        yield f"          {name}: >-"
        yield from indent(dedent(getattr(rule, name)).strip(), " " * 12).splitlines()
    yield f"          dashboard: {rule.dashboard}"
    yield f"          runbook_url: {rule.runbook}"


def _expression(expr: str) -> Iterator[str]:
    yield "        expr: |"
    yield from indent(tidy(expr), " " * 10).splitlines()


def tidy(expr: str) -> str:
    """An expression without the margin it has in the code, and without empty lines."""
    return re.sub(r"\n\s*\n", "\n", dedent(expr).strip())


def _comment(text: str, margin: str) -> Iterator[str]:
    return (f"{margin}# {line}".rstrip() for line in dedent(text).strip().splitlines())
