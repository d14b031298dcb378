"""What is asked of the numbers of the bench, each in the unit of its row."""

from __future__ import annotations

from typing import Final

from deploy.bench.table import Asked

SPEED: Final = Asked(">= 500,000")  # events per second and core
BARE: Final = Asked("<= 2.6", "<= 1.0")  # of the loop that reads and throws away
DECODED: Final = Asked(dream="<= 1.0")  # of the loop that decodes as well
MORE_USERS: Final = Asked("<= 1.25", "<= 1.1")  # ten times as many, of CPU per event
STATE: Final = Asked("<= 120", "<= 64")  # bytes of checkpoint per known user
MEMORY: Final = Asked("<= 600", "<= 300")  # MB at a million users
MEMORY_PER_USER: Final = Asked("<= 600", "<= 300")  # bytes, from a million users on
PAUSE: Final = Asked("<= 250")  # ms, for a checkpoint
START_UP: Final = Asked("<= 5")  # s, from a checkpoint of a million users
FRESHNESS: Final = Asked("<= 1,000", "<= 250")  # ms, p99
LAG: Final = Asked("<= 100")  # ms of load by which the lag grew
RECOVERY: Final = Asked("<= 5", "<= 2")  # s, SIGKILL to the first right value
IDLE_CPU: Final = Asked("<= 3")  # % of a core, at a hundred events a second
IDLE_FRESHNESS: Final = Asked("<= 300")  # ms, p99, at a hundred events a second
EVERYTHING_SPEED: Final = Asked(">= 450,000")  # events per second and core, with every part of the config
EVERYTHING_BARE: Final = Asked("<= 2.2", "<= 1.5")  # of the loop that reads and throws away
EVERYTHING_STATE: Final = Asked("<= 260", "<= 160")  # bytes of checkpoint per known user
EVERYTHING_MEMORY: Final = Asked("<= 1,000", "<= 300")  # MB at a million users
RIGHT: Final = Asked("<= 0")
