"""What each family costs, and all of them together: the part `families` of the bench.

Each family is measured on top of the smallest config, on a topic that exercises all of them (rich_stream.py). The
CPU time of an event is a slope between two sizes of the topic, the state of a user one between two numbers of users, so
that what a config costs whoever comes falls out.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from deploy.bench import bars, everything
from deploy.bench.everything import EVERY_OPTION, EVERYTHING, PARTS, SMALLEST
from deploy.bench.laboratory import Laboratory, Topic, say
from deploy.bench.measures import MANY, CatchUp, by_stage
from deploy.bench.rich_stream import RichStream
from deploy.bench.table import NOTHING, Asked, Row
from flows.audit.comparison import Compared, compare
from flows.audit.cut import History
from flows.audit.published import Published
from flows.config.limits import Limits
from flows.config.model import Config
from flows.metrics.catalogue import families
from flows.metrics.minutes import MinuteBook
from flows.publish.redis.client import connect
from flows.publish.redis.layout import Keys
from flows.publish.redis.published import with_history, with_lists

TODAY: Final = "job"
"""The mode of the config that the other parts of the bench measure."""
DAYS: Final = 12
"""Days that pass in the topic that is compared with the reference."""
LARGEST: Final = 15
"""Containers that are listed."""
SOCKET_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Held:
    """What a run holds at the end of its topic."""

    known: int  # users
    arrays: Mapping[str, int]  # bytes of the last checkpoint, by array
    peak_bytes: int  # of memory

    @property
    def state_bytes(self) -> int:
        """Of the whole checkpoint."""
        return sum(self.arrays.values())


@dataclass(frozen=True, slots=True)
class Growth:
    """What a config holds for few users and for many."""

    few: Held
    many: Held

    def each(self, size: int, fewer: int) -> float:
        """Per user beyond the first, of something of that size and, with fewer users, of that one."""
        return (size - fewer) / (self.many.known - self.few.known)

    @property
    def state(self) -> float:
        """Bytes per user of the whole checkpoint."""
        return self.each(self.many.state_bytes, self.few.state_bytes)

    def containers(self) -> Counter[str]:
        """Bytes beyond the first users by container, of all users together."""
        found: Counter[str] = Counter()
        for sign, held in ((1, self.many), (-1, self.few)):
            for name, size in held.arrays.items():
                found[name.partition("/")[0]] += sign * size
        return found


def configs() -> dict[str, Config]:
    """All that are measured besides today's, by name."""
    return {
        SMALLEST: everything.smallest(),
        **{name: everything.with_part(name) for name in PARTS},
        EVERYTHING: everything.everything(),
        EVERY_OPTION: everything.every_option(),
    }


def costs(lab: Laboratory, options: argparse.Namespace) -> list[Row]:
    """CPU, state and memory of every family, and of everything beside today's config."""
    files = {name: lab.file_of(config) for name, config in configs().items()}
    stream = RichStream(options.users, options.seed, options.rate)
    first = Topic(lab, stream)
    first.grow(2_000)
    for name, file in files.items():
        say(f"warming up: {name}")
        lab.warm_up(first, file)
    run = CatchUp(lab, stream, options.smaller, options.events, options.repeats, files)
    run.run(("bare", TODAY, *files))
    few, many = (
        _held(lab, RichStream(users, options.seed, options.rate), options.smaller, files)
        for users in options.family_users
    )
    grown = {name: Growth(few[name], many[name]) for name in many}
    return [
        *_of_families(run, grown),
        *_of_everything(run, grown),
        *by_place(grown[EVERYTHING], everything.everything()),
        *_by_stage(lab, run.topic, files[EVERYTHING]),
    ]


def _held(lab: Laboratory, stream: RichStream, further: int, files: Mapping[str, Path]) -> dict[str, Held]:
    """What each config holds after each user's first event and `further` events."""
    topic = Topic(lab, stream)
    topic.grow(stream.users + further)
    found = {}
    for name, file in [(TODAY, None), *files.items()]:
        say(f"state and memory of {stream.users:,} users: {name}")
        found[name] = held(lab, topic, file)
    return found


def held(lab: Laboratory, topic: Topic, config: Path | None = None) -> Held:
    """What a run with `config` holds at the end of the topic."""
    report = lab.folder / "held.json"
    cost = lab.catch_up(topic, report=report, config=config)
    told: dict[str, Any] = json.loads(report.read_text())
    if sum(told["array_bytes"].values()) != told["checkpoint_bytes"][-1]:
        raise AssertionError("the arrays of a checkpoint do not add up to it")
    return Held(int(lab.live()["users.known"]), told["array_bytes"], cost.peak_bytes)


def _of_families(run: CatchUp, grown: Mapping[str, Growth]) -> list[Row]:
    base, least = run.slope(SMALLEST).cpu_ns, grown[SMALLEST]
    section = f"families on top of the smallest config, {run.size()}: CPU"
    rows = [Row(section, "the smallest config", base, "ns/event")]
    rows += [Row(section, name, run.slope(name).cpu_ns - base, "ns/event") for name in PARTS]
    section = f"families on top of the smallest config: state per user beyond {least.few.known:,}"
    rows += [Row(section, "the smallest config", least.state, "B")]
    rows += [Row(section, name, grown[name].state - least.state, "B") for name in PARTS]
    section = f"families on top of the smallest config: peak memory, {least.many.known:,} users"
    rows += [Row(section, "the smallest config", least.many.peak_bytes / 1e6, "MB")]
    further = {name: grown[name].many.peak_bytes - least.many.peak_bytes for name in PARTS}
    return rows + [Row(section, name, size / 1e6, "MB") for name, size in further.items()]


def _of_everything(run: CatchUp, grown: Mapping[str, Growth]) -> list[Row]:
    """The config with every part beside today's; of the one with every option nothing is asked."""
    section = f"everything beside today's config, {run.size()}"
    bare, today = run.slope("bare").cpu_ns, run.slope(TODAY).cpu_ns
    rows = [
        Row(section, "bare consume loop: CPU of this topic", bare, "ns/event"),
        Row(section, "today's config: CPU of this topic", today, "ns/event"),
    ]
    for name, speed, ratio in (
        (EVERYTHING, bars.EVERYTHING_SPEED, bars.EVERYTHING_BARE),
        (EVERY_OPTION, NOTHING, NOTHING),
    ):
        cpu = run.slope(name).cpu_ns
        rows += [
            Row(section, f"{name}: CPU", cpu, "ns/event"),
            Row(section, f"{name}: events per second and core", 1e9 / cpu, "events/s", speed),
            Row(section, f"{name}: ratio to the bare consume loop", cpu / bare, "x", ratio),
            Row(section, f"{name}: ratio to today's config", cpu / today, "x"),
        ]
    for name, size, memory in (
        (TODAY, NOTHING, NOTHING),
        (EVERYTHING, bars.EVERYTHING_STATE, bars.EVERYTHING_MEMORY),
        (EVERY_OPTION, NOTHING, NOTHING),
    ):
        rows += _of_users("today's config" if name == TODAY else name, grown[name], size, memory)
    return rows


def _of_users(name: str, of: Growth, size: Asked, memory: Asked) -> list[Row]:
    section = f"everything, {of.many.known:,} known users"
    enough = of.many.known >= MANY * 0.99  # as in Redis: a few users show nothing but what is no presence
    return [
        Row(
            section,
            f"{name}: state per known user",
            of.many.state_bytes / of.many.known,
            "B",
            size if enough else NOTHING,
        ),
        Row(section, f"{name}: state per user beyond the first", of.state, "B", size),
        Row(section, f"{name}: peak memory", of.many.peak_bytes / 1e6, "MB", memory if enough else NOTHING),
    ]


def by_place(of: Growth, config: Config) -> list[Row]:
    """Where the bytes of a user are: by family, or what all families share, and the largest containers."""
    owners = sorted(families(config, MinuteBook(config)), key=len, reverse=True)
    every = of.containers()
    parts: Counter[str] = Counter()
    for name, size in every.items():
        owner = next((one for one in owners if name.startswith(f"{one}.")), f"all families: {name}")
        parts[owner.partition(".")[0] if owner in owners else owner] += size
    users = of.many.known - of.few.known
    section = f"state of everything per user beyond {of.few.known:,}"
    return [
        *(Row(section, name, size / users, "B") for name, size in parts.most_common() if size),
        *(
            Row(f"{section}, the largest containers", name, size / users, "B")
            for name, size in every.most_common(LARGEST)
        ),
    ]


def _by_stage(lab: Laboratory, topic: Topic, config: Path) -> list[Row]:
    report = lab.folder / "stages-of-everything.json"
    lab.catch_up(topic, report=report, config=config)
    return by_stage(topic, json.loads(report.read_text()), "CPU of everything by stage (one run, stopwatches on)")


def differences(lab: Laboratory, options: argparse.Namespace) -> list[Compared]:
    """Every number that the config with every option publishes after a topic of its own, beside the truth.

    Fewer events than the other comparison has: the reference takes some milliseconds for each.
    """
    events = options.compared // 5
    say(f"comparing {events:,} events and every option with the reference")
    users, rate = max(1, events // 4), options.rate / 25
    topic = Topic(lab, RichStream(users, options.seed + 1, rate, day_events=events // DAYS + 1))
    topic.grow(events)
    config = everything.every_option()
    lab.catch_up(topic, config=lab.file_of(config))
    return compared(lab, topic, config)


def compared(lab: Laboratory, topic: Topic, config: Config) -> list[Compared]:
    """What the job with `config` has published of the topic, minutes, days and lists as well, beside the truth."""
    published = _published(lab, config)
    history = History(config, Limits())
    for record in topic.stream.records(topic.events):
        history.add(record)
    return compare(published, history.truth(published), config)


def _published(lab: Laboratory, config: Config) -> Published:
    primary = connect(lab.redis.url, Keys(config.product).live, SOCKET_SECONDS)
    try:
        fields, top = with_lists(primary, config.product)
        return with_history(primary, fields, top, config)
    finally:
        primary.leave()


def verdict(found: Sequence[Compared]) -> tuple[list[Row], list[str]]:
    """What came of the comparison as rows, and a line per number that is wrong."""
    section = "every option compared with the reference"
    differing = [row for row in found if row.verdict == "differs"]
    rows = [
        Row(section, "numbers of every option", len(found)),
        Row(section, "of them, other than 0", sum(bool(row.truth) for row in found)),
        Row(section, "of them, dependent on when records were read", sum(row.verdict == "undecided" for row in found)),
        Row(section, "wrong numbers of every option", len(differing), "", bars.RIGHT),
    ]
    return rows, [f"{row.cell}: {row.published} instead of {row.truth}" for row in differing]
