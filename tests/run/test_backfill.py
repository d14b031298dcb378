"""History goes into an empty state folder; what comes of it is in the tests of the demo, which compare every number."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.checkpoint.folder import FolderError
from flows.config.limits import Limits
from flows.config.model import Config
from flows.run.backfill import backfill
from flows.source.history import HistorySource, Slice

EVENT = b'{"type":"page","userId":"u1","messageId":"m1","timestamp":"2026-11-29T09:00:00Z"}'


def history() -> HistorySource:
    return HistorySource("events", 2, iter([{1: Slice([EVENT], [1_795_943_000_000])}]), as_of_ms=1_795_944_000_000)


def test_history_goes_into_an_empty_folder_only(tmp_path: Path) -> None:
    config = Config(product="shop")
    state = tmp_path / "state"
    source = history()
    backfill(config, source, state, Limits())
    assert source.outcome == "finished"
    assert list(state.glob("*.state"))
    with pytest.raises(FolderError, match="holds a checkpoint already; history goes into an empty one"):
        backfill(config, history(), state, Limits())
