"""What the commands that read a deployment's live numbers have in common: which config, and which Redis."""

from __future__ import annotations

import argparse

from flows.config.file import Loaded, load
from flows.config.mistakes import ConfigErrors, Mistake


def add_arguments(parser: argparse.ArgumentParser, says: str) -> None:
    """`--config`, which `says` something to the command, and `--redis-url`, for short `--redis`."""
    parser.add_argument("--config", metavar="FILE", help=f"the deployment's config: {says}")
    parser.add_argument(
        "--redis-url",
        "--redis",
        metavar="URL",
        help="address of Redis (default: REDIS_URL); if it has a password, set REDIS_URL instead",
    )


def loaded_for(args: argparse.Namespace, *, needs_redis: bool = True) -> Loaded:
    """The config, and settings with the address of Redis; ConfigErrors for mistakes, or without an address."""
    loaded = load(args.config, {"redis_url": args.redis_url})
    if needs_redis and not loaded.settings.redis_url:
        told = "which Redis? set REDIS_URL, or name one with --redis-url or in the file of --config"
        raise ConfigErrors([Mistake("settings", "", told)])
    return loaded
