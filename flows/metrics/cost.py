"""What a configuration costs: published numbers and stored bytes, known before the first event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flows.config.limits import Limits
from flows.config.model import Config
from flows.messages.snapshot import ACCOUNTS
from flows.metrics import tree
from flows.metrics.catalogue import catalogue, families, state_bytes_per_user
from flows.metrics.cells import Cell, Derived
from flows.metrics.family import Family
from flows.metrics.minutes import MinuteBook
from flows.state.container import bytes_held, containers

RESERVED_FIELDS = 6
"""Of the live hash: _as_of, _watermark, _published_at, _run, _consumed and _partial."""
OFFSETS_PER_PARTITION = 2
"""Where the counted records of a partition begin and end: _from_offset and _to_offset."""

MINUTE_MS = 60_000


def too_many_cells(config: Config, limits: Limits) -> str | None:
    """What is wrong with a `config` that makes more cells than may be published; found without making them."""
    cells = expected_cells(config)
    if cells <= limits.publish_fields:
        return None
    return (
        f"found {cells:,} cells, expected at most {limits.publish_fields:,} (limits.publish_fields);"
        " list fewer breakdown values or windows, or name fewer metrics in a breakdown's `of`"
    )


@dataclass(frozen=True, slots=True)
class Cost:
    """Sizes of everything that one product publishes and keeps."""

    counted: int  # cells of counts, published
    derived: int  # cells computed from them
    series: int  # Prometheus series of cells; the health series come on top
    fields: int  # of the live hash in Redis, with one partition, all of it known since the beginning
    fields_per_partition: int  # each further partition adds so many
    minutes: int  # hashes of the minute history
    fixed_bytes: int  # of memory for trailing windows, minutes and days, however few users there are
    user_bytes: int  # stored state per known user; recent message ids and breakdown values shown come on top
    use_bytes: int  # at most, for each goal and each feature that a user has ever used

    @property
    def cells(self) -> int:
        """All published cells."""
        return self.counted + self.derived


def expected_cells(config: Config) -> int:
    """The number of cells under `config`, without making them: a large number may not fit into memory.

    Exact, for every cell is there once, and with a breakdown of its family once more for each of its labels.
    """
    plain = config.model_copy(update={"tree": {}})
    listed = {name: one for name, one in config.breakdowns.items() if one.computed is None}
    short = dict(config.breakdowns)  # what is computed has few values, and numbers are derived of single ones
    short |= {name: one.model_copy(update={"values": ("one",)}) for name, one in listed.items()}
    shortest = _cells(plain.model_copy(update={"breakdowns": short}))
    total = shortest + len(tree.cells_of(config, {node.metric: tree.VALUE for node in config.tree.values()}))
    for name, breakdown in listed.items():
        longer = short | {name: breakdown.model_copy(update={"values": ("one", "two")})}
        added = _cells(plain.model_copy(update={"breakdowns": longer})) - shortest
        total += added * (len(breakdown.values) - 1)
    return total


def _cells(config: Config) -> int:
    listed = catalogue(config)
    return sum(cell.metric is not None for cell in listed.cells) + len(listed.derived)


def cost(config: Config) -> Cost:
    """The cost of `config`; takes memory and time in proportion to its cells."""
    listed, book = catalogue(config), MinuteBook(config)
    members = families(config, book)
    published = [cell for cell in listed.cells if cell.metric is not None]
    counted = len(published)
    derived = len(listed.derived)
    both: list[Cell | Derived] = [*published, *listed.derived]
    series = {
        (cell.metric.prometheus, tuple(sorted(cell.labels.items())))
        for cell in both
        if cell.metric is not None and cell.metric.prometheus is not None
    }
    return Cost(
        counted=counted,
        derived=derived,
        series=len(series),
        fields=counted + derived + RESERVED_FIELDS + len(members) + 2 * len(ACCOUNTS) + OFFSETS_PER_PARTITION,
        fields_per_partition=len(ACCOUNTS) + OFFSETS_PER_PARTITION,
        minutes=config.minute_history // MINUTE_MS,
        fixed_bytes=config.shards * _fixed_bytes(members.values(), book),
        user_bytes=state_bytes_per_user(config),
        use_bytes=max(member.bytes_per_use for member in members.values()),
    )


def _fixed_bytes(members: Iterable[Family], book: MinuteBook) -> int:
    """What a shard holds without users."""
    held = [container for member in members for container in containers(member).values()]
    return sum(bytes_held(one) for one in (*held, book))
