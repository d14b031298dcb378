"""What is compared: a program, its environment, what it can express, and how it publishes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Servers:
    """Where a peer reads and writes."""

    bootstrap_servers: str
    redis_url: str


Mode = Literal["end", "on"]
"""`end`: read what the topic holds, publish, and exit with 0. `on`: go on until stopped."""


@dataclass(frozen=True)
class Peer:
    """One row of the table."""

    name: str
    title: str
    cells: tuple[str, ...]  # those of the task that it expresses
    command: Callable[[Servers, str, Path, Mode], Sequence[str]]  # servers, topic, state folder, mode
    install: Callable[[], str]  # makes the environment; returns the versions
    read: Callable[[Servers, str], Mapping[str, str]]  # what it has published: fields as task.errors takes them
    sizes: tuple[int, int]  # events of the smaller and the larger topic; start-up falls out of the difference
    cannot: Mapping[str, str] = field(default_factory=dict)  # what it cannot give -> why
    ends_again: bool = True  # a run that goes on from a saved state can be told where to end
    lateness_s: float = 0.0  # a number waits so long for the watermark, and then for the end of its pane
    environment: Callable[[Servers, str, Path], Mapping[str, str]] = lambda _servers, _topic, _state: {}
