"""The one list of everything that is published: families, their metrics, and the cells that a config makes of them.

Docs, Redis fields, Prometheus families and panels are all derived from here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from flows.config.alerts import Alerts
from flows.config.limits import Limits
from flows.config.model import Config
from flows.facts.fact import Fact
from flows.metrics import tree
from flows.metrics.active_users import ActiveUsers
from flows.metrics.alerts import AnyShape
from flows.metrics.cells import Cell, Derived, Metric, Tally
from flows.metrics.charts import ChartRow, Number
from flows.metrics.days import DayBook
from flows.metrics.engagement import Engagement
from flows.metrics.events import Events
from flows.metrics.family import Family
from flows.metrics.features import Feature
from flows.metrics.feedback import Feedback
from flows.metrics.frameworks import Headings, headings_of
from flows.metrics.funnels import Funnel
from flows.metrics.goals import Goal
from flows.metrics.lifecycle import Lifecycle
from flows.metrics.milestones import Milestones
from flows.metrics.minutes import MinuteBook, Minutes
from flows.metrics.orders import orders_of
from flows.metrics.referrals import Referrals
from flows.metrics.retention import Retained
from flows.metrics.rows import Operands
from flows.metrics.sessions import Sessions
from flows.metrics.spend import Spending
from flows.metrics.subscriptions import Subscriptions
from flows.metrics.surveys import Surveyed
from flows.metrics.tickets import Tickets
from flows.metrics.top import Top
from flows.metrics.visitors import Visitors
from flows.state.container import containers

SAMPLE_USERS = 4096
BYTES_OF_SCOPE = {"event": 0, "session": 24, "first": 8}
"""Per user, for all breakdowns of a scope together."""
BYTES_OF_OTHER = 8
"""Per user, for each breakdown by session that looks back."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All cells under one config: `cells` in the order of a shard's vector, and those `derived` from their sums."""

    cells: Sequence[Cell]
    derived: Sequence[Derived]
    tallies: Sequence[Tally] = ()
    minute_fields: Sequence[str] = ()  # of the minute history, in the order of the book's columns
    days: DayBook = field(default_factory=lambda: DayBook(Config()))
    """Empty: for the fields of a day, and when each is final."""
    headlines: Sequence[Number] = ()
    charts: Sequence[ChartRow] = ()
    headings: Mapping[str, Headings] = field(default_factory=dict)  # in AARRR and HEART, by the metric's name

    def metrics(self) -> list[Metric]:
        """The definitions, each once, in the order of their first cell."""
        published = [cell.metric for cell in self.cells if cell.metric] + [cell.metric for cell in self.derived]
        return list({metric.name: metric for metric in published}.values())


Members: TypeAlias = Callable[[Config, MinuteBook, Limits], dict[str, Family]]
"""What makes the families of a shard."""


def families(config: Config, book: MinuteBook, limits: Limits | None = None) -> dict[str, Family]:
    """One new instance of every family, by the name under which its state is kept."""
    limits = limits or Limits()
    return {
        "events": Events(config),
        "active_users": ActiveUsers(config),
        "engagement": Engagement(config),
        "minutes": Minutes(config, book),
        "sessions": Sessions(config, book),
        **({"visitors": Visitors(config)} if config.measures_visitors else {}),
        **{f"goal.{name}": Goal(config, name, book) for name in config.goals},
        **{f"feature.{name}": Feature(config, name, book) for name in config.features},
        **{f"funnel.{name}": Funnel(config, name, book) for name in config.funnels},
        **{f"milestone.{name}": Milestones(config, name) for name in config.milestones},
        **({"retention": Retained(config, book)} if config.retention else {}),
        "lifecycle": Lifecycle(config, book),
        **({"subscriptions": Subscriptions(config, limits, book)} if config.subscriptions else {}),
        **(orders_of(config, book) if config.orders else {}),
        **({"spend": Spending(config, limits)} if config.spend else {}),
        **{f"survey.{name}": Surveyed(config, name) for name in config.surveys},
        **({"feedback": Feedback(config)} if config.feedback else {}),
        **({"tickets": Tickets(config, limits)} if config.tickets else {}),
        **({"referrals": Referrals(config)} if config.referrals else {}),
        **{f"top.{name}": Top(config, name, limits) for name in config.top},
    }


def facts_of(members: Mapping[str, Family]) -> list[Fact]:
    """The facts that some families take, each once."""
    return list({family.takes.name: family.takes for family in members.values() if family.takes}.values())


def takers(fact: Fact, members: Mapping[str, Family]) -> dict[str, Family]:
    """The families that take a kind of facts."""
    return {name: one for name, one in members.items() if one.takes is not None and one.takes.name == fact.name}


def facts(config: Config) -> list[Fact]:
    """The facts that events carry under a config."""
    return facts_of(families(config, MinuteBook(config)))


def alerts_of(config: Config, thresholds: Alerts) -> list[AnyShape]:
    """All that may alert besides the pipeline itself, in the order of the families."""
    classes = dict.fromkeys(type(family) for family in families(config, MinuteBook(config)).values())
    return [
        *(shape for family in classes for shape in family.alerts(config, thresholds)),
        *tree.alerts_of(config, thresholds),
    ]


def catalogue(config: Config) -> Catalogue:
    """Everything that `config` publishes, besides the accounting."""
    book = MinuteBook(config)
    members = families(config, book).values()
    cells = [cell for family in members for block in family.blocks() for cell in block.cells()]
    operands = Operands(cells)
    derived = [cell for family in members for formula in family.formulas() for cell in operands.derive(formula)]
    both: list[Cell | Derived] = [*cells, *derived]
    published = {cell.name: cell.metric for cell in both if cell.metric is not None}
    nodes = tree.cells_of(config, published)
    counted = {cell.name for cell in cells}
    return Catalogue(
        cells,
        [*derived, *nodes],
        [tally for family in members for tally in family.tallies()],
        book.fields,
        book.days,
        [number for family in members for number in family.headlines()],
        [
            *(row for family in members for row in family.charts()),
            *tree.charts_of(config, nodes, counted),
        ],
        dict(_headings(members)) | {cell.metric.name: tree.HEADINGS for cell in nodes},
    )


def _headings(members: Collection[Family]) -> Iterator[tuple[str, Headings]]:
    for family in members:
        for metric in family.metrics():
            if (found := headings_of(metric.name, family.FRAMEWORKS)) is not None:
                yield metric.name, found


def state_bytes_per_user(config: Config) -> int:
    """Bytes of checkpointed state per known user, besides breakdown values shown and recent message ids."""
    total = 8 + 4 + 6  # hash, last seen, and the index at two thirds full
    total += sum(BYTES_OF_SCOPE[scope] for scope in {breakdown.scope for breakdown in config.breakdowns.values()})
    total += BYTES_OF_OTHER * sum(breakdown.looks_back for breakdown in config.breakdowns.values())
    for family in families(config, MinuteBook(config)).values():
        for container in containers(family).values():
            container.resize(SAMPLE_USERS)
            per_user = container.save(SAMPLE_USERS).values()
            total += sum(array.itemsize for array in per_user if len(array) == SAMPLE_USERS)
    return total
