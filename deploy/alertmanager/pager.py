"""A pager that rings: a simulated shop in trouble, from its events to what Alertmanager sends, in two minutes.

    make pager
    python -m deploy.alertmanager.pager [--speed N]

Starts `tidegauge demo` with a shop that lives fast (fast.yaml), Prometheus with the rules that `tidegauge rules` makes
for it, Alertmanager with alertmanager.yml, and a receiver of its own that prints what it is sent. Once there is a past
to compare with, most visitors leave at once, until the page has come; then all is well again, until that is told, too.

Exit codes: 0 both were told, 1 something failed or took too long, 2 Prometheus or Alertmanager is missing, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn
from urllib.request import urlopen

import yaml

from deploy.alertmanager.stack import FAST, Ended, Notified, Product, Stack, Unavailable
from flows.commands.arguments import speed

SECONDS: Final = 900.0
"""When to give up, from the start; a small, busy machine takes two minutes."""
SPEED: Final = 60.0  # twice that of the tests, which have five products to keep up with
SPARED: Final = ("funnels", "subscriptions")
"""Parts of fast.yaml that its story does without: to compile their loops takes nearly as long as all others."""
RATE: Final = 6.0  # events a second of the shop's time
NAME: Final = "shop"
EXPECTED: Final = ("BounceSpike", "")
PAST_FROM_SECONDS: Final = 2400.0
"""From when on trouble that lasts is the past: twice the `same_hour` of fast.yaml, in the shop's time."""
PAUSE_SECONDS: Final = 0.25


class Pager:
    """The story of one product: nothing; its trouble, until it is told; its end, until that is told, too."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._began_s = time.monotonic()
        self._told = 0  # how many notifications are printed

    def show(self) -> None:
        """Return once the end was told. Ended, when a process fails; TimeoutError, when it takes too long."""
        stack = self._stack
        self._say(f"a shop lives {stack.speed:g} times as fast as time: 20 minutes ago stand for last week")
        config = {part: told for part, told in yaml.safe_load(FAST.read_text()).items() if part not in SPARED}
        shop = stack.product(NAME, "bounce-spike", config, stack.speed, RATE)
        self._say(f"metrics       {shop.metrics}")
        self._until(lambda: _measured(shop), "its first numbers; the first run compiles the metric loops")
        stack.watch()
        self._say(f"Prometheus    {stack.prometheus_url}/alerts")
        self._say(f"Alertmanager  {stack.alertmanager_url}")
        past = f'tidegauge:bounce:ratio_last_week{{product="{NAME}"}}'
        self._until(lambda: stack.query(past) != [], "a past to compare with")
        while not self._trouble(shop):
            self._say("no page: this machine is too busy to see trouble before it has become the past; once more")
            shop.switch()
            self._until(stack.passed(shop, PAST_FROM_SECONDS), "a past without it")
        self._say("the landing page is repaired")
        shop.switch()
        self._until(lambda: EXPECTED in stack.webhook.of(NAME, "resolved"), "the end of the alert")

    def _trouble(self, shop: Product) -> bool:
        """Begin it, and whether it was told while it could be."""
        self._say("a broken landing page: from now on most visitors leave at once")
        shop.switch()
        over = self._stack.passed(shop, PAST_FROM_SECONDS)

        def told() -> bool:
            return EXPECTED in self._stack.webhook.of(NAME, "firing")

        self._until(lambda: told() or over(), "the page")
        return told()

    def _until(self, condition: Callable[[], bool], awaited: str) -> None:
        """Wait for a condition, as long as all processes run, and print meanwhile what is told."""
        self._say(f"waiting for {awaited} ...")
        while True:
            self._stack.check()
            met = condition()
            self._print_news()
            if met:
                return
            if time.monotonic() > self._began_s + SECONDS:
                raise TimeoutError(f"waited in vain for {awaited}; this should not take {SECONDS / 60:.0f} minutes")
            time.sleep(PAUSE_SECONDS)

    def _print_news(self) -> None:
        news = self._stack.webhook.notified[self._told :]
        self._told += len(news)
        for one in news:
            self._say(f"Alertmanager tells the receiver '{one.receiver}':\n{_readable(one)}")

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._began_s:4.0f} s  {text}", flush=True)


def _readable(told: Notified) -> str:
    """A notification as a reader has it."""
    notes = told.annotations
    lines = [
        f"{told.status.upper()} {told.alert} (severity {told.severity})",
        notes["summary"],
        notes["description"],
        f"runbook    {notes['runbook_url']}",
        f"dashboard  {notes['dashboard']}",
    ]
    return textwrap.indent("\n".join(lines), " " * 10)


def _measured(product: Product) -> bool:
    """Whether its numbers are there."""
    with contextlib.suppress(OSError), urlopen(product.metrics, timeout=5) as page:
        return b"tidegauge_bounce_ratio{" in page.read()
    return False


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM is Ctrl-C, and Ctrl-C works even where a shell started this with SIGINT ignored."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {order: signal.signal(order, interrupt) for order in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for order, handler in before.items():
            signal.signal(order, handler)


@contextlib.contextmanager
def _stack(at_speed: float) -> Iterator[Stack]:
    """A stack in a folder of its own; both are gone at the end, which no signal cuts short."""
    with tempfile.TemporaryDirectory(prefix="tidegauge-pager-") as folder:
        stack = Stack(Path(folder), at_speed, meets_s=time.time() + 2 * SECONDS)
        try:
            yield stack
        finally:
            for order in (signal.SIGTERM, signal.SIGINT):
                signal.signal(order, signal.SIG_IGN)
            stack.close()


def main(given: Sequence[str] | None = None) -> int:
    """Show it."""
    parser = argparse.ArgumentParser(
        prog="pager", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--speed", type=speed, default=SPEED, metavar="N", help="of the shop, as multiple of time's (%(default)g)"
    )
    options = parser.parse_args(given)
    try:
        with _stopped_by_signals(), _stack(options.speed) as stack:
            Pager(stack).show()
    except Unavailable as missing:
        print(f"pager: {missing}", file=sys.stderr)
        return 2
    except (Ended, TimeoutError) as failure:
        print(f"pager: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("pager: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
