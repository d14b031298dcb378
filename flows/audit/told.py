"""What events tell besides their name, user and time: the one list of its kinds, and what is computed of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from flows.audit.cells import Cells
from flows.audit.clock import Turn
from flows.audit.feedback import feedback_cells, said_of
from flows.audit.orders import (
    order_cancellation_cells,
    order_cancellation_of,
    order_cells,
    order_of,
    order_refund_cells,
    order_refund_of,
)
from flows.audit.records import Told
from flows.audit.spend import spend_cells, spent_of
from flows.audit.states import state_of
from flows.audit.subscriptions import cells_of_subscriptions
from flows.audit.surveys import response_of, survey_cells
from flows.audit.tickets import ticket_cells, transition_of
from flows.config.model import Config


class Twin(NamedTuple):
    """One kind of fact, and the numbers computed from it."""

    read: Callable[[dict[str, Any], str, str, int, Config], Told | None]
    """What a `track` event with these properties, name, user and time tells, if anything; raises RefusedError."""
    cells: Callable[[Sequence[Turn], Config, int], Cells]
    """All numbers of what was told, at a watermark (ms); none where the config does not measure them."""


TWINS: Final[Mapping[str, Twin]] = {
    "subscription": Twin(state_of, cells_of_subscriptions),
    "order": Twin(order_of, order_cells),
    "order_refund": Twin(order_refund_of, order_refund_cells),
    "order_cancellation": Twin(order_cancellation_of, order_cancellation_cells),
    "survey": Twin(response_of, survey_cells),
    "opinion": Twin(said_of, feedback_cells),
    "ticket": Twin(transition_of, ticket_cells),
    "spend_record": Twin(spent_of, spend_cells),
}
NOTHING: Final[dict[str, Told]] = {}  # one for all: of millions of events they would be much of the memory


def all_told(properties: dict[str, Any], name: str, user: str, ts: int, config: Config) -> dict[str, Told]:
    """By kind; raises RefusedError for the first that cannot be read."""
    found = {kind: twin.read(properties, name, user, ts, config) for kind, twin in TWINS.items()}
    return {kind: one for kind, one in found.items() if one is not None} or NOTHING


def told_cells(turns: Mapping[str, Sequence[Turn]], config: Config, watermark_ms: int) -> Cells:
    """The numbers of all kinds."""
    cells: Cells = {}
    for kind, twin in TWINS.items():
        cells |= twin.cells(turns.get(kind, ()), config, watermark_ms)
    return cells
