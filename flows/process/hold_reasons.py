"""Why a partition may hold the stream clock: the reasons as logs, gauges and `/readyz` name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Reason = Literal[
    "reading",
    "transaction",
    "stall",
    "silent",
    "no_leader",
    "few_in_sync",
    "no_answer",
    "withheld",
    "unchecked",
    "grace",
]

MEANINGS: Final[Mapping[Reason, str]] = {
    "reading": "not yet read to its end",
    "transaction": "a producer has left a transaction open",
    "stall": "this process stood still, and looks for its end again",
    "silent": "the broker that it is read from is not heard",
    "no_leader": "it has no leader",
    "few_in_sync": "it has fewer in-sync replicas than min.insync.replicas, so nobody can write to it",
    "no_answer": "its leader does not answer",
    "withheld": "records wait at its leader for a replica that hangs",
    "unchecked": "Kafka has not said for some time who leads it",
    "grace": "Kafka was away for those who write to it, and older events may still come",
}
