"""What a command that has read a file of events says of the records that it could not use, and its exit code."""

from __future__ import annotations

import logging

from flows.process.rejections import Rejections

NOTHING_ACCEPTED = 1
logger = logging.getLogger("tidegauge.events")


def told(rejections: Rejections, name: str, *, needs_events: bool = False) -> int:
    """Log what of the file `name` was not accepted; 0, or NOTHING_ACCEPTED where no record was and one was rejected.

    `needs_events`: a file without records, or of excluded ones alone, gives NOTHING_ACCEPTED as well.
    """
    if rejections.accepted and not rejections.rejected:
        return 0
    failed = rejections.nothing_accepted or (needs_events and rejections.accepted == 0)
    logger.log(logging.ERROR if failed else logging.WARNING, "%s: %s", name, sentence(rejections))
    return NOTHING_ACCEPTED if failed else 0


def sentence(rejections: Rejections) -> str:
    """What to say of records of which some were rejected, or none accepted."""
    if rejections.rejected:
        return str(rejections)
    if rejections.consumed:
        return f"all records are excluded by the config ({rejections.consumed:,})"
    return "there are no records in it"
