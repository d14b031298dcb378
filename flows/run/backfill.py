"""A product's history into an empty state folder, without a broker: a run goes on from there with the topic."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from flows.checkpoint.files import StateFiles
from flows.checkpoint.folder import CheckpointFolder, FolderError
from flows.config.limits import Limits
from flows.config.model import Config
from flows.decode.intake import Intake
from flows.messages.columns import Columns
from flows.messages.raw import Rejected
from flows.messages.snapshot import Snapshot
from flows.metrics.parts import definitions
from flows.pipeline import Sinks, build
from flows.run.job import run_flow
from flows.run.warm_up import warm_up
from flows.source.history import HistorySource

EPOCH_MS: Final = 24 * 3_600_000
"""What is half done is of no use, so there is one checkpoint, at the end."""


class Unwatched:
    """Nobody looks on."""

    def on_poll(self, poll: Columns, rejected: list[Rejected]) -> None:
        """Nothing."""

    def on_shard(self) -> None:
        """Nothing."""

    def on_failure(self, failure: Exception) -> None:
        """Nothing; the engine raises it."""

    def on_checkpoint(self, seconds: float) -> None:
        """Nothing."""


def backfill(config: Config, source: HistorySource, state: Path, limits: Limits) -> None:
    """Measure all of `source`; `state` then holds the checkpoint that the next run of the product goes on from.

    Nothing is published: the next run does that. Rejected records are counted, and no letters of them are kept. Raises
    FolderError where `state` cannot be used, or holds a checkpoint already.
    """
    warm_up(config)
    with CheckpointFolder(state, definitions(config)) as folder:
        if folder.resumed:
            raise FolderError(f"the state folder {state} holds a checkpoint already; history goes into an empty one")
        files = StateFiles(state)
        try:
            flow = build(
                config,
                limits,
                source=source,
                decode=Intake(config, limits).read,
                sinks=Sinks(_unpublished, Unwatched(), dead_letters=None),
                files=files,
            )
            run_flow(flow, EPOCH_MS, folder.recovery())
        finally:
            files.close()


def _unpublished(snapshot: Snapshot) -> None:
    """The next run has these numbers, too."""
