"""Options that several commands share."""

from __future__ import annotations

import argparse
from datetime import datetime

PLAIN = {
    "topic": ("--topic", "NAME", "topic of the events (default: events)"),
    "redis_url": (
        "--redis-url",
        "URL",
        "redis://host:6379/0, redis+sentinel://..., redis+cluster://..., or off; with a password use REDIS_URL",
    ),
    "metrics_address": ("--metrics-address", "HOST:PORT", "address of /metrics, or off (default: 127.0.0.1:9108)"),
    "state": ("--state", "FOLDER", "folder for the checkpoints"),
    "start": ("--start", "earliest|latest", "where to start without a checkpoint (default: earliest)"),
    "on_lost_offset": (
        "--on-lost-offset",
        "stop|earliest|latest",
        "where to continue if records were deleted unread, or another log has replaced the one read (default: stop)",
    ),
    "tick_ms": ("--tick", "DURATION", "how often to publish (default: 250ms)"),
    "checkpoint_ms": ("--checkpoint", "DURATION", "how often to save a checkpoint (default: 10s)"),
}
"""Field of `Settings` -> option, placeholder, help. Brokers and secrets come from the environment or the file."""


def add_connection_arguments(parser: argparse.ArgumentParser) -> None:
    """Options that go before the environment and the file."""
    for field, (option, placeholder, text) in PLAIN.items():
        parser.add_argument(option, dest=field, metavar=placeholder, help=text)


def connection_options(args: argparse.Namespace) -> dict[str, object]:
    """What was given, as `config_file.load` takes it."""
    return {field: getattr(args, field) for field in PLAIN}


def time_ms(text: str) -> int:
    """Epoch milliseconds of RFC 3339 text or of a number of milliseconds; ValueError else."""
    if text.isdecimal():
        return int(text)
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time needs its offset, such as 2026-03-29T00:00:00Z")
    return round(time.timestamp() * 1000)


def positive(text: str) -> int:
    """A whole number of at least 1; ValueError else."""
    number = int(text)
    if number < 1:
        raise ValueError(f"{number} is less than 1")
    return number


def speed(text: str) -> float:
    """A factor of time compression; ArgumentTypeError else."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 100:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 100, found {text}")
    return value
