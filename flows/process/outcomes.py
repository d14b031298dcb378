"""How reading ends."""

from __future__ import annotations

from typing import Literal

from flows.messages.errors import RecoverableError

Outcome = Literal["running", "finished", "stopped", "partitions_changed", "failed", "fenced"]
"""How a source has ended: at the end of its input, by `stop()`, since the topic has grown, by a `SourceError`, or since
a newer run publishes this product.
"""


class SourceError(RecoverableError):
    """The input cannot be read (on); the message is one sentence for the operator."""
