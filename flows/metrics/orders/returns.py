"""Refunds and cancellations: how many, and how much is given back; the rules are at the package's head."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint.parts import Definition
from flows.config.model import Config
from flows.metrics.cells import SINCE_START
from flows.metrics.family import Family, Groups
from flows.metrics.frameworks import Headings
from flows.metrics.orders.cells import MONEY, counts
from flows.metrics.orders.fact import cancellation_fact, refund_fact
from flows.metrics.orders.loop import RETURN_FIELDS, use_returns
from flows.metrics.rows import Block, Count
from flows.state.remembered import Remembered
from flows.state.rows import Counters
from flows.state.windows import Windows


class _Returns(Family):
    """A count and an amount by group, of facts with an id."""

    FRAMEWORKS: ClassVar[Mapping[str, Headings]] = {"orders": MONEY}
    ordered: ClassVar[bool] = True
    broken_down_as: ClassVar[str] = "orders"

    def __init__(self, config: Config) -> None:
        assert config.orders is not None
        self._config = config
        self._section = config.orders
        self._groups = Groups(config, self.broken_down_as)
        self.counted = Remembered()
        self.windows = Windows(config.windows, self._groups, RETURN_FIELDS)
        self.since_start = Counters(self._groups, RETURN_FIELDS)

    @abstractmethod
    def _ids(self, rows: NDArray[Any]) -> NDArray[np.uint64]:
        """What makes one a copy of another; 0: nothing."""

    @abstractmethod
    def _amounts(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """Minor units."""

    @abstractmethod
    def _rows(self) -> list[Count]:
        """What is published of the counters of a group."""

    def advance(self, rows: NDArray[Any], users: int, now_ms: int) -> None:
        self.counted.reserve(len(rows), self._section.dedup)
        use_returns(
            rows,
            self._ids(rows),
            self._amounts(rows),
            now_ms,
            self._section.dedup,
            self.counted.ids,
            self.windows.ring,
            self.since_start.values.reshape(-1),
            self._groups.split,
        )

    def read(self) -> NDArray[np.int64]:
        return np.concatenate([self.windows.totals.ravel(), self.since_start.values.ravel()])

    def blocks(self) -> list[Block]:
        return [Block(self._rows(), [*self._config.windows, SINCE_START], self._groups.labels)]


class OrderRefunds(_Returns):
    """Refunds by window, since the beginning, and breakdown value."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {"orders": {"events": {"Chargeback": "refunded", "Order Completed": "completed"}, "dedup": "5m"}},
    )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.takes = refund_fact(self._section)

    def _ids(self, rows: NDArray[Any]) -> NDArray[np.uint64]:
        return np.where(rows["refund"] != 0, rows["refund"], rows["message"])

    def _amounts(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        return np.ascontiguousarray(rows["amount"])

    def _rows(self) -> list[Count]:
        return counts(self._section, "orders.refunded", "orders.refund_amount")

    def definition(self) -> Definition:
        return Definition({"currency": self._section.currency})


class OrderCancellations(_Returns):
    """Cancelled orders by window, since the beginning, and breakdown value."""

    EXAMPLES: ClassVar[Sequence[Mapping[str, Any]]] = (
        {
            "orders": {},
            "breakdowns": {"plan": {"field": "properties.plan", "values": ["pro"], "of": ["orders"]}},
        },
    )

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.takes = cancellation_fact(self._section)

    def _ids(self, rows: NDArray[Any]) -> NDArray[np.uint64]:
        return np.ascontiguousarray(rows["order"])

    def _amounts(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        return np.zeros(len(rows), np.int64)

    def _rows(self) -> list[Count]:
        return [*counts(self._section, "orders.cancelled"), Count(None, "orders.cancelled_amount")]

    def definition(self) -> Definition:
        return Definition({})
