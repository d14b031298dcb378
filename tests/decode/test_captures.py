"""What real SDKs and collectors of the Segment family send is accepted as it comes, record by record."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.config.limits import Limits
from flows.config.model import Config
from flows.decode.intake import Intake
from flows.messages.raw import Raw

ACCEPTED = (
    *("segment-browser-1.84.3", "segment-java-3.5.2", "segment-node-3.1.0", "segment-node-3.1.0.extras"),
    *("segment-python-2.4.0", "segment-python-2.4.0.extras", "segment-kafka-destination.segment-browser-1.84.3"),
    *("rudder-browser-3.34.1", "rudder-node-3.0.13", "rudder-node-3.0.13.extras"),
    *("rudder-python-2.1.9", "rudder-python-2.1.9.extras", "rudderstack-kafka-destination.rudder-browser-3.34.1"),
    *("rudderstack-kafka-destination.rudder-node-3.0.13", "rudderstack-kafka-destination.rudder-python-2.1.9"),
    "jitsu-browser-1.11.0",
)


@pytest.mark.parametrize("capture", ACCEPTED)
def test_every_record_of_a_capture_is_accepted(data_dir: Path, capture: str) -> None:
    records: list[bytes | None] = [*(data_dir / "captures" / f"{capture}.ndjson").read_bytes().splitlines()]
    raw = Raw.of("events", 0, 1, records, range(len(records)), [-1] * len(records), True, None)
    columns, rejected = Intake(Config(), Limits()).read(raw)
    assert rejected == []
    assert len(columns.rows) == len(records) > 0
