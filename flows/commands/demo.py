"""`tidegauge demo`: a simulated product, measured live by the real job on an embedded Kafka and Redis.

At the end every published number is compared with what the audit makes of the records that were sent.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn
from zoneinfo import ZoneInfo

import redis

import flows
from flows.audit.comparison import compare, verdict
from flows.checkpoint.folder import FolderError
from flows.commands.arguments import speed, time_ms
from flows.config.file import Loaded, load
from flows.config.mistakes import ConfigErrors
from flows.config.model import Config
from flows.demo.comparison import report
from flows.demo.embedded import EmbeddedError, EmbeddedKafka, EmbeddedRedis
from flows.demo.feed import Feed, Start
from flows.demo.job import Job
from flows.demo.past import Counting, live_through
from flows.demo.profile import Profile
from flows.demo.profiles import PROFILES
from flows.demo.retention import Retention
from flows.demo.scenarios import SCENARIOS, Switch
from flows.demo.sent import Sent
from flows.demo.simulator import DAY_MS, DAYS, Record, Simulator, days_of
from flows.publish.redis.published import with_history
from flows.terminal.reading import Reading, line
from flows.terminal.view import View
from flows.terminal.watch import Reader, Screen
from flows.web.layout import layout
from flows.web.server import LivePage

HELP = "watch a simulated product live: needs neither Kafka nor Redis"
TOPIC = "events"
METRICS_PORT = 9108
WEB_PORT = 9161
REFRESH_S = 0.25
FIRST_PUBLISH_S = 300.0  # compiling on a small, busy machine
LAST_PUBLISH_S = 120.0  # from the last record sent to its number
MOST_PARTITIONS = 64
MEAN_RATE = 0.5
"""Events per second where nobody asks for a rate: 11,000 visits a day to the shop."""
MOST_HISTORY = 620_000  # events at full traffic; where a rate needs more, there are fewer days


class Failed(Exception):  # noqa: N818 - an outcome
    """The demo cannot go on; the message is for the user."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    scenarios = "; ".join(f"{name}: {scenario.help}" for name, scenario in SCENARIOS.items())
    profiles = "; ".join(f"{name}: {profile.help}" for name, profile in PROFILES.items())
    parser.add_argument(
        "--profile", choices=list(PROFILES), default="shop", help=f"which product; {profiles} (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=_positive, help="end after this many seconds (default: at Ctrl-C)")
    parser.add_argument(
        "--rate", type=_positive, help=f"events per second now (default: {MEAN_RATE:g} in the mean over a week)"
    )
    parser.add_argument(
        "--days",
        type=_positive,
        default=DAYS,
        help="full days of history (default: %(default)g, or as many as hold 620,000 events)",
    )
    parser.add_argument("--seed", type=int, default=1, help="same seed, same visitors (default: %(default)s)")
    parser.add_argument(
        "--partitions", type=_partitions, default=8, help="partitions of the topic (default: %(default)s)"
    )
    parser.add_argument("--config", type=Path, help="what to measure (default: the profile's own)")
    parser.add_argument("--inject", choices=list(SCENARIOS), help=scenarios)
    parser.add_argument(
        "--on-signal", action="store_true", help="with --inject: SIGUSR1 starts the trouble, the next one ends it"
    )
    parser.add_argument(
        "--speed",
        type=speed,
        default=1.0,
        metavar="N",
        help="let the product live N times as fast as real time; requires --meets",
    )
    parser.add_argument(
        "--meets", type=time_ms, metavar="TIME",
        help="when the product's clock, in the past until then, meets the real one; the demo ends there",
    )  # fmt: skip
    parser.add_argument(
        "--metrics-port", type=int, metavar="PORT", help=f"port of /metrics (default: {METRICS_PORT}, or a free one)"
    )
    parser.add_argument(
        "--web-port", type=int, metavar="PORT", help=f"port of the live page (default: {WEB_PORT}, or a free one)"
    )
    parser.add_argument("--no-web", action="store_true", help="serve no live page")
    parser.add_argument("--plain", action="store_true", help="print lines of text instead of a page")
    parser.add_argument("--keep", action="store_true", help="keep the job's state and log")


def main(args: argparse.Namespace) -> int:
    """0: no published number differs from the truth; 1: one does, or something failed; 2: usage."""
    profile = PROFILES[args.profile]
    config = args.config or default_config(profile)
    if (args.speed != 1) != (args.meets is not None):
        print("tidegauge demo: --speed and --meets go together", file=sys.stderr)
        return 2
    if args.on_signal and not args.inject:
        print("tidegauge demo: --on-signal goes with --inject", file=sys.stderr)
        return 2
    try:
        loaded = load(config, environment={})  # connections are the demo's own
        demo = Demo(args, profile, config, loaded)
    except (ConfigErrors, ValueError) as error:
        print(f"tidegauge demo: {error}", file=sys.stderr)
        return 2
    with (
        Screen(View(layout(loaded.config)), plain=args.plain) as screen,
        _folder(args.keep, screen) as folder,
        _sigterm_is_ctrl_c(),
        demo.switched_by_signal(),
    ):
        try:
            return demo.run(screen, folder)
        except (Failed, EmbeddedError, FolderError, RuntimeError) as failure:
            screen.close()
            screen.say(f"tidegauge demo: {failure}")
        except KeyboardInterrupt:
            screen.close()
            screen.say("stopped; nothing was compared")
        return 1


def default_config(profile: Profile) -> Path:
    """What is measured of a product: the example of the source tree for the shop, or else the package's own file."""
    package = Path(flows.__file__).parent
    example = package.parent / "deploy" / "examples" / "shop.yaml"
    if profile.name == "shop" and example.is_file():
        return example
    return package / "demo" / f"{profile.name}.yaml"


@dataclass(frozen=True, slots=True)
class Running:
    """What is there to look at while the demo runs."""

    feed: Feed
    sent: Sent
    job: Job
    reader: Reader
    screen: Screen
    retention: Retention


class Demo:
    """One run, from an empty Kafka to the comparison."""

    def __init__(self, args: argparse.Namespace, profile: Profile, config: Path, loaded: Loaded) -> None:
        self._profile = profile
        self._config_path = config
        self._config = loaded.config
        self._limits = loaded.settings.limits
        self._seconds: float | None = args.seconds
        self._partitions: int = args.partitions
        self._metrics_port: int | None = args.metrics_port
        self._web: bool = not args.no_web
        self._web_port: int | None = args.web_port
        now_ms, now_s = round(time.time() * 1000), time.monotonic()
        self._speed: float = args.speed
        self._meets_s: float | None = None
        self._start_ms = now_ms
        if args.meets is not None:
            if args.meets <= now_ms:
                raise ValueError("--meets lies in the past")
            self._start_ms = args.meets - round(args.speed * (args.meets - now_ms))
            self._meets_s = now_s + (args.meets - now_ms) / 1000
        self._start_s = now_s
        self._switch = Switch(SCENARIOS[args.inject]) if args.on_signal else None
        level = profile.rhythm.level(self._start_ms, ZoneInfo(loaded.config.time_zone))
        rate = MEAN_RATE * level if args.rate is None else args.rate
        self._days = min(args.days, days_of(MOST_HISTORY, rate / level))
        self._simulator = Simulator(
            loaded.config,
            profile=profile,
            seed=args.seed,
            rate=rate,
            partitions=args.partitions,
            start_ms=self._start_ms,
            days=self._days,
            record_bytes=self._limits.record_bytes,
            scenario=self._switch or (SCENARIOS[args.inject] if args.inject else None),
        )

    def run(self, screen: Screen, folder: Path) -> int:
        """The exit code."""
        topics = {TOPIC: self._partitions, f"{TOPIC}.dead": 1}
        start = Start(self._start_ms, self._start_s, self._speed)
        with (
            EmbeddedKafka(topics) as kafka,
            EmbeddedRedis() as server,
            Sent(self._config, self._limits, folder) as sent,
            contextlib.ExitStack() as stack,
        ):
            screen.say(f"Kafka    {kafka.bootstrap_servers}, topic {TOPIC}")
            screen.say(f"Redis    {server.url}, hash tidegauge:v1:{{{self._config.product}}}:live")
            page = stack.enter_context(self._page(server.url)) if self._web else None
            if page is not None:
                screen.say(f"live     {page.url}  (open it in a browser)")
            live = self._live_through_past(sent, folder / "state", screen)
            metrics = f"127.0.0.1:{self._metrics_port or _free_port(METRICS_PORT)}"  # now, or another demo may take it
            screen.say(f"metrics  http://{metrics}/metrics")
            connections = {
                "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
                "TIDEGAUGE_TOPIC": TOPIC,
                "REDIS_URL": server.url,
                "TIDEGAUGE_METRICS_ADDRESS": metrics,
                "TIDEGAUGE_STATE": str(folder / "state"),
            }
            feed = Feed(kafka.bootstrap_servers, TOPIC, live, sent, start)
            try:
                with Job(self._config_path, folder / "job.log", connections) as job:
                    feed.start()
                    reader = Reader(server.url, self._config.product)
                    running = Running(feed, sent, job, reader, screen, Retention(kafka, TOPIC))
                    self._watch(running)
                    screen.close()
                    feed.close()
                    code = _compare(running, self._config)
                    if (ended := job.stop()) != 0:
                        raise Failed(f"the job ended with exit code {ended}:\n{job.last_lines()}")
                    return code
            finally:
                with contextlib.suppress(RuntimeError):  # the first failure is the one to be told
                    feed.close()

    def _live_through_past(self, sent: Sent, state: Path, screen: Screen) -> Iterator[Record]:
        """The records that are live; `state` then has counted all those before."""

        def tell(reached_ms: int) -> None:
            left_days = (self._start_ms - reached_ms) / DAY_MS
            screen.wait_for(f"the product lives through its past: {left_days:.0f} days ago ...")

        with Counting(sent.journal.file, state, TOPIC, self._partitions, self._start_ms) as counting:
            live = live_through(self._simulator.records(), self._start_ms, sent, tell)
            screen.say(f"a month and {self._days:.3g} full days of {self._profile.help}: {sent.total:,} records")
            sent.history_ends()
            counting.finish(screen.wait_for)
        return live

    @contextlib.contextmanager
    def _page(self, redis_url: str) -> Iterator[LivePage]:
        """The live page, which costs nothing while nobody looks."""
        port = self._web_port if self._web_port is not None else _free_port(WEB_PORT)
        try:
            page = LivePage(self._config, redis_url, f"127.0.0.1:{port}")
        except OSError as error:
            raise Failed(f"{error.strerror}; choose another --web-port, or --no-web") from error
        page.start()
        try:
            yield page
        finally:
            page.close()

    @contextlib.contextmanager
    def switched_by_signal(self) -> Iterator[None]:
        """SIGUSR1 turns the switch, where there is one."""
        switch = self._switch
        if switch is None:
            yield
            return

        def turn(number: int, frame: FrameType | None) -> None:
            switch.turn()

        before = signal.signal(signal.SIGUSR1, turn)
        try:
            yield
        finally:
            signal.signal(signal.SIGUSR1, before)

    def _watch(self, running: Running) -> None:
        """Show the numbers until the time is over or Ctrl-C; returns once something has been published."""
        began_s = time.monotonic()
        live_s: float | None = None
        try:
            while live_s is None or time.monotonic() < self._ends_s(live_s):
                reading = _read(running)
                if "accounting.consumed" in reading.fields:
                    live_s = live_s or time.monotonic()
                    running.sent.see(reading.fields, reading.top)
                    running.retention.see(reading.fields)
                    running.screen.show(reading)
                elif time.monotonic() > began_s + FIRST_PUBLISH_S:
                    raise Failed(f"nothing was published within {FIRST_PUBLISH_S:.0f} s:\n{running.job.last_lines()}")
                else:
                    waited_s = time.monotonic() - began_s
                    running.screen.wait_for(f"the job starts; its first run compiles kernels ... {waited_s:.0f} s")
                running.feed.check()
                time.sleep(REFRESH_S)
        except KeyboardInterrupt:
            if live_s is None:
                raise

    def _ends_s(self, live_s: float) -> float:
        """When to stop, on the monotonic clock: after the asked seconds, or when the clocks meet."""
        asked = math.inf if self._seconds is None else live_s + self._seconds
        return min(asked, math.inf if self._meets_s is None else self._meets_s)


def _read(running: Running) -> Reading:
    """The newest reading; Failed with the log when the job has ended."""
    if (code := running.job.exit_code) is not None:
        raise Failed(f"the job ended with exit code {code}:\n{running.job.last_lines()}")
    try:
        return running.reader.read()
    except redis.RedisError as error:
        raise Failed(f"the embedded Redis does not answer: {error}") from error


def _compare(running: Running, config: Config) -> int:
    """Wait until all that was sent is published; then compare, print, and return the exit code."""
    screen, sent = running.screen, running.sent
    screen.say(f"stopped sending; waiting until all {sent.total:,} records are counted ...")
    deadline_s = time.monotonic() + LAST_PUBLISH_S
    while True:
        reading = _read(running)
        sent.see(reading.fields, reading.top)
        if (reading.number("accounting.consumed") or 0) >= sent.total:
            break
        if time.monotonic() > deadline_s:
            raise Failed(f"not all records were counted within {LAST_PUBLISH_S:.0f} s: {line(reading)}")
        time.sleep(REFRESH_S)
    if not sent.complete:
        screen.say("this ran for too long to remember every record: compared are the last numbers of those remembered")
    compared_reading = replace(reading, fields=sent.cut)
    if compared_reading.number("_as_of") is None:
        raise Failed("the published numbers do not say what time they are of")
    screen.say("computing every number once more, slowly, from the records themselves ...")
    try:
        published = with_history(running.reader.primary, sent.cut, sent.top, config)
    except redis.RedisError as error:
        raise Failed(f"the embedded Redis does not answer: {error}") from error
    compared = compare(published, sent.truth(published, partial(_tell_of_audit, screen)), config)
    screen.console.print(report(compared))
    screen.say(f"{verdict(compared)} ({compared_reading.freshness()})")
    return 1 if any(row.verdict == "differs" for row in compared) else 0


def _tell_of_audit(screen: Screen, read: int, of: int) -> None:
    screen.wait_for(f"{read:,} of {of:,} records read" if read < of else f"{of:,} records read, computing ...")


@contextlib.contextmanager
def _folder(keep: bool, screen: Screen) -> Iterator[Path]:
    """A folder of this run's own (mode 0700), which goes away at the end unless it is to be kept."""
    folder = Path(tempfile.mkdtemp(prefix="tidegauge-demo-"))
    try:
        yield folder
    finally:
        if keep:
            screen.say(f"state and log are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _sigterm_is_ctrl_c() -> Iterator[None]:
    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _free_port(wanted: int) -> int:
    """The wanted port of the loopback, else one that the system gives."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just left is free enough
            probe.bind(("127.0.0.1", port))
            found: int = probe.getsockname()[1]
            return found
    raise Failed("no port is free")


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"expected a positive number, found {text}")
    return value


def _partitions(text: str) -> int:
    value = int(text)
    if not 1 <= value <= MOST_PARTITIONS:
        raise argparse.ArgumentTypeError(f"expected 1 to {MOST_PARTITIONS}, found {text}")
    return value
