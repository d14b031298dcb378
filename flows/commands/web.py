"""`tidegauge web`: the live product page in a browser, from Redis alone."""

from __future__ import annotations

import argparse
import errno
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from flows.commands import live_numbers
from flows.publish.redis.client import RedisRefused
from flows.web.server import DEFAULT_ADDRESS, LivePage

HELP = "show the live numbers of a running deployment in a browser"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    live_numbers.add_arguments(parser, "says what there is to show")
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        default=DEFAULT_ADDRESS,
        help="where to listen; port 0 takes any that is free (default: %(default)s, this machine alone)",
    )
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a further name under which browsers may ask for the page, such as that of a proxy; can be repeated",
    )


def main(args: argparse.Namespace) -> int:
    """0: ended by Ctrl-C or SIGTERM; 1: cannot listen, or Redis cannot be used so; 2: usage."""
    loaded = live_numbers.loaded_for(args)
    try:
        page = LivePage(loaded.config, loaded.settings.redis_url, args.address, args.allow_host)
    except ValueError as error:
        return _fail(2, str(error))
    except RedisRefused as refused:
        return _fail(1, str(refused))
    except OSError as error:
        return _fail(1, f"{error.strerror}{_advice(error)}")
    ended = threading.Event()
    with _told_to_end(ended):
        page.start()
        print(f"{loaded.config.product}: {page.url}", flush=True)
        ended.wait()
        page.close()
    return 0


@contextmanager
def _told_to_end(ended: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM set `ended` while the block runs."""

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "; another program listens there: choose another port with --address, or 127.0.0.1:0 for any"
    return "; choose another address with --address"


def _fail(code: int, message: str) -> int:
    print(f"tidegauge web: {message}", file=sys.stderr)
    return code
