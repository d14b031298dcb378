"""The part of the file about top lists: the values of a field that most events show, or most users."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from flows.config.fields import FieldPath, Section

WINDOWS_MS: Final = (300_000, 3_600_000, 86_400_000)
"""Every list is over these, whatever `windows` says: a value keeps its place for as long as the last one sees it."""
MAX_LISTS: Final = 20
VALUE_CHARACTERS: Final = 200
"""Longer values are cut."""


class TopList(Section):
    """The values of one field, by how many events show them, or how many users."""

    field: FieldPath
    """The field whose values are listed: `context.page.path`. Values are published as they are, without what follows
    a `?` and cut at 200 characters: list no field that says who somebody is."""
    count: Literal["events", "users"] = "events"
    """What a value is ranked by: the events of the window that show it, or the distinct users who did."""
    k: int = Field(20, ge=1, le=100)
    """How many values are published."""
    export: bool = False
    """Whether to export the list to Prometheus as well, as `k` series per window. Otherwise it is in Redis only."""
