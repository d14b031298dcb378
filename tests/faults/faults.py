"""Every fault: how it is made while events flow, and when it has ended.

A fault is a function of the history. It returns when the world is whole again: from then on the time counts until the
published numbers are right. Where the run itself was killed it counts from the kill, so it holds the new start too.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from confluent_kafka.cimpl import NewPartitions

from tests.brokers.cluster import BROKERS
from tests.faults.launcher import POINTS
from tests.faults.proxy import Proxy, Weather
from tests.faults.stage import PASSWORD, SECONDS, STOP_SECONDS, TOPIC_CONFIG, History, signals
from tests.services import thread_states, wait_until

Fault = Callable[[History], float | None]
"""Returns when it ended (monotonic s), None: now."""


# ------------------------------------------------------------------------------------------------ the run


def killed(history: History) -> float:
    """SIGKILL at a moment of chance."""
    time.sleep(history.chance.uniform(0, 0.6))
    history.run.kill()
    ended = time.monotonic()
    history.ended(history.run, -signal.SIGKILL)
    history.start()
    return ended


def killed_at(point: str) -> Fault:
    """SIGKILL by itself at a named point of the code, as often as it gets there."""

    def fault(history: History) -> float:
        history.stop()
        count = history.chance.randint(1, POINTS[point][3])
        run = history.start(at=f"{point}:{count}:SIGKILL")
        if point == "while stopping":
            wait_for_start(history)
            run.terminate()
        history.ended(run, -signal.SIGKILL)
        ended = time.monotonic()
        history.start()
        return ended

    return fault


def terminated(history: History) -> float:
    """SIGTERM or Ctrl-C: an ordered end, with everything that was read saved and published, within its time."""
    number = history.chance.choice((signal.SIGTERM, signal.SIGINT))
    ended = time.monotonic()
    seconds = history.stop(number)
    if seconds > 4 * STOP_SECONDS:
        history.wrong.append(f"it took {seconds:.1f} s to stop")
    history.start()
    return ended


def frozen(history: History) -> None:
    """SIGSTOP, and on after a while, maybe longer than any timeout."""
    history.run.send_signal(signal.SIGSTOP)
    time.sleep(history.chance.choice((1, 2, 6)))
    history.run.send_signal(signal.SIGCONT)


def frozen_and_terminated(history: History) -> float:
    """SIGSTOP for a while; that it is to end is the first thing it hears then."""
    history.run.send_signal(signal.SIGSTOP)
    time.sleep(2)
    ended = time.monotonic()
    signals(history.run, [signal.SIGTERM, signal.SIGCONT])
    history.ended(history.run, 0)
    history.start()
    return ended


def frozen_before_a_publish(history: History) -> None:
    """SIGSTOP right before it sends what is then old."""
    history.stop()
    run = history.start(at=f"before a publish:{history.chance.randint(2, 6)}:SIGSTOP")
    wait_until(lambda: set(thread_states(run.pid)) == {"T"}, "the run freezing itself", SECONDS)
    time.sleep(history.chance.choice((1, 2)))
    run.send_signal(signal.SIGCONT)


# ------------------------------------------------------------------------------------------------ two runs


def replaced(history: History) -> None:
    """A second run of the product, with a state folder of its own, takes over; the first one ends with 3."""
    older = history.run
    history.begin_anew()
    history.start()
    history.ended(older, 3)


def frozen_and_replaced(history: History) -> None:
    """A second run takes over from a frozen one; let on, that one writes nothing and ends with 3."""
    older = history.run
    older.send_signal(signal.SIGSTOP)
    history.begin_anew()
    history.start()
    wait_for_start(history)
    token = history.live()["_run"]
    older.send_signal(signal.SIGCONT)
    history.ended(older, 3)
    if history.live().get("_run") != token:
        history.wrong.append("the run that was replaced has published")


def second_on_the_same_folder(history: History) -> None:
    """A second run on the checkpoint folder is refused, also while the first one is frozen; nothing else happens."""
    first = history.run
    freeze = history.chance.random() < 0.5
    if freeze:
        first.send_signal(signal.SIGSTOP)
    second = history.start()
    history.ended(second, 1)
    history.forget(second)
    if freeze:
        first.send_signal(signal.SIGCONT)
    if "is in use by another run" not in history.log():
        history.wrong.append("the second run does not say why it ends")


# ------------------------------------------------------------------------------------------------ Kafka


def broker_killed(history: History) -> None:
    """The broker is killed and comes back after a while."""
    history.stage.broker.kill()
    time.sleep(history.chance.uniform(0, 2))
    history.stage.broker.start()


def broker_frozen(history: History) -> None:
    """The broker stands still: connections are open, nothing is answered."""
    history.stage.broker.pause()
    time.sleep(history.chance.choice((1, 3)))
    history.stage.broker.resume()


def partitions_added(history: History) -> None:
    """The topic grows, while the run reads it; new users go to the new partition."""
    admin = AdminClient({"bootstrap.servers": history.stage.kafka.bootstrap_servers})
    history.partitions += 1
    wanted = [NewPartitions(history.topic, history.partitions)]
    admin.create_partitions(wanted, operation_timeout=30)[history.topic].result(SECONDS)

    def there() -> bool:
        found = admin.list_topics(history.topic, timeout=10).topics[history.topic].partitions
        return len(found) == history.partitions and all(one.leader >= 0 for one in found.values())

    wait_until(there, "the new partition", SECONDS)
    history.load.grow(history.partitions)
    wait_until(lambda: "reading on with the new partitions" in history.log(), "the run to notice", SECONDS)


def saved_offset_deleted(history: History) -> float:
    """Retention deletes records that a stopped run had still to read: it refuses to go on, until it is told how."""
    history.wait_for_all()  # the traffic is held meanwhile, see QUIET
    history.stop()
    history.records()
    first = {partition: records[-1].offset + 1 for partition, records in history._records.items()}
    history.burst()
    history.records()
    gone = {
        partition: range(start, start + history.chance.randint(1, len(records)))
        for partition, start in first.items()
        if (records := [record for record in history._records[partition] if record.offset >= start])
    }
    admin = AdminClient({"bootstrap.servers": history.stage.kafka.bootstrap_servers})
    wanted = [TopicPartition(history.topic, partition, offsets.stop) for partition, offsets in gone.items()]
    for done in admin.delete_records(wanted, operation_timeout=30).values():
        done.result(SECONDS)
    refused = history.start()
    history.ended(refused, 1)
    if "were deleted before they were read" not in history.log():
        history.wrong.append("a run does not say that records were deleted")
    for partition, offsets in gone.items():
        history.lost[partition] = offsets
    ended = time.monotonic()
    history.start("--on-lost-offset", "earliest")
    return ended


# ------------------------------------------------------------------------------------------------ three brokers


def leader_killed(history: History) -> None:
    """The broker that leads a partition is killed, others lead it, and it comes back."""
    cluster = history.stage.cluster
    leader = cluster.states(history.topic)[history.chance.randrange(history.partitions)].leader
    cluster.brokers[leader].kill()
    cluster.wait_for(history.topic, in_sync=[number for number in BROKERS if number != leader])
    cluster.mend()


def broker_away(history: History) -> None:
    """A broker is killed, whatever it leads, and stays away for longer than its session."""
    cluster = history.stage.cluster
    cluster.brokers[history.chance.choice(BROKERS)].kill()
    time.sleep(history.chance.uniform(0, 8))
    cluster.mend()


def two_brokers_away(history: History) -> None:
    """Two brokers are killed at once and come back after a while; the third leads all, once their sessions are over."""
    cluster = history.stage.cluster
    for number in history.chance.sample(BROKERS, 2):
        cluster.brokers[number].kill()
    time.sleep(history.chance.uniform(0, 6))
    cluster.mend()


def unclean_election(history: History) -> float:
    """The only broker left lacks records that were counted: the log is shorter, or has others in their place."""
    cluster = history.stage.cluster
    options = {"unclean.leader.election.enable": "true", "min.insync.replicas": "1"}
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in options.items()]
    topic = ConfigResource(ResourceType.TOPIC, history.topic, incremental_configs=entries)
    admin = cluster.admin()  # its answers die with it
    admin.incremental_alter_configs([topic])[topic].result(SECONDS)
    left = history.chance.choice(BROKERS)
    others = [number for number in BROKERS if number != left]
    cluster.brokers[left].pause()
    cluster.wait_for(history.topic, in_sync=others)
    history.burst()
    all_is_counted(history)
    for number in others:
        cluster.brokers[number].kill()
    cluster.brokers[left].resume()
    cluster.wait_for(history.topic, in_sync=(left,))
    cluster.mend()
    return refuses_until_it_counts_anew(history, "its log is not the one that was read")


def made_anew(history: History) -> float:
    """The topic is deleted and made anew, while the run reads it or is away."""
    cluster = history.stage.cluster
    all_is_counted(history)
    away = history.chance.random() < 0.5
    if away:
        history.stop()
    admin = cluster.admin()  # its answers die with it
    admin.delete_topics([history.topic], operation_timeout=30)[history.topic].result(SECONDS)
    wait_until(lambda: not cluster.states(history.topic), "the topic to be gone", SECONDS)
    cluster.create_topic(history.partitions, TOPIC_CONFIG, name=history.topic)
    if away:
        history.start()
    return refuses_until_it_counts_anew(history, "was deleted and made anew")


def all_is_counted(history: History) -> None:
    """What was sent until now is published, and known here."""
    history.wait_for_all()
    history.records()


def refuses_until_it_counts_anew(history: History, sentence: str) -> float:
    """The run ends, whatever comes into the topic, and so does the next one; with an empty state folder it counts."""
    history.connect()
    history.burst(history.chance.choice((1, 30)))
    history.ended(history.run, 1)
    history.ended(history.start(), 1)
    if sentence not in history.log().splitlines()[-1]:
        history.wrong.append(f"a run does not say why it cannot go on: {history.log()[-1500:]}")
    history.count_anew()
    ended = time.monotonic()
    history.start()
    return ended


def rolling_restart(history: History) -> None:
    """Each broker is stopped in order and started again, once all is in sync."""
    cluster = history.stage.cluster
    for number in history.chance.sample(BROKERS, len(BROKERS)):
        cluster.brokers[number].restart()
        cluster.wait_until_whole()


def follower_stopped(history: History) -> None:
    """A broker freezes that does not lead a partition: nothing more is committed there until it is out of sync."""
    cluster = history.stage.cluster
    state = cluster.states(history.topic)[history.chance.randrange(history.partitions)]
    follower = history.chance.choice([number for number in state.in_sync if number != state.leader])
    cluster.brokers[follower].pause()
    time.sleep(history.chance.uniform(0, 6))
    cluster.mend()


def reassigned(history: History) -> None:
    """All partitions move to one broker, and then to all of them, others leading."""
    cluster = history.stage.cluster
    alone = history.chance.choice(BROKERS)
    cluster.reassign(history.topic, [[alone]] * history.partitions)
    order = history.chance.sample(BROKERS, len(BROKERS))
    cluster.reassign(history.topic, [order] * history.partitions)
    cluster.elect(history.topic)


def way_to_a_broker(kind: Weather) -> Fault:
    """The way from the job to one of the brokers is broken for a while."""

    def fault(history: History) -> None:
        proxy = history.stage.cluster.brokers[history.chance.choice(BROKERS)].proxy
        proxy.weather(kind)
        time.sleep(history.chance.choice((1, 3, 12)))
        proxy.weather("fine")

    return fault


# ------------------------------------------------------------------------------------------------ Redis


def redis_killed(history: History) -> None:
    """Redis is killed and comes back empty."""
    history.stage.redis.kill()
    time.sleep(history.chance.uniform(0, 2))
    history.stage.redis.start()


def redis_flushed(history: History) -> None:
    """FLUSHALL, and a value that somebody else has written."""
    with history.stage.client() as client:
        client.flushall()
        if history.chance.random() < 0.5:
            client.hset(f"tidegauge:v1:{{{history.product}}}:live", "users.alive", "-1")


def redis_frozen(history: History) -> None:
    """Redis stands still, for up to 10 s; readiness tells, and reading goes on."""
    seconds = history.chance.choice((1, 3, 10))
    history.stage.redis.pause()
    time.sleep(seconds)
    history.stage.redis.resume()


def redis_out_of_memory(history: History) -> None:
    """Redis refuses writes, for its memory is used up and it may not evict."""
    with history.stage.client() as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        time.sleep(history.chance.uniform(1, 3))
        client.config_set("maxmemory", "0")


def redis_acl(history: History) -> None:
    """The user of the job loses a right that publishing needs, and gets it back."""
    command = history.chance.choice(("evalsha", "hset", "expire", "unlink", "get"))
    with history.stage.client() as client:
        client.acl_setuser("tidegauge", enabled=True, commands=[f"-{command}"])
        client.acl_setuser("tidegauge", enabled=True, commands=["-eval"])
        time.sleep(history.chance.uniform(1, 2))
        client.acl_setuser("tidegauge", enabled=True, passwords=[f"+{PASSWORD}"], commands=["+eval", f"+{command}"])


# ------------------------------------------------------------------------------------------------ network


def weather(server: str, kind: Weather) -> Fault:
    """The way to a server is cut, black-holed or slow for a while."""

    def fault(history: History) -> None:
        proxy: Proxy = history.stage.broker.proxy if server == "Kafka" else history.stage.redis_proxy
        proxy.weather(kind)
        time.sleep(history.chance.choice((1, 3, 5)))
        proxy.weather("fine")

    return fault


# ------------------------------------------------------------------------------------------------ the machine


@contextlib.contextmanager
def small_disk(history: History) -> Iterator[Callable[[bool], None]]:
    """The state folder on a disk of its own, as root can make one, with a switch that fills it."""
    folder = history.folder / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", str(folder)], check=True)
    ballast = folder / "ballast"

    def fill(full: bool) -> None:
        if full:
            with contextlib.suppress(OSError), ballast.open("wb") as file:
                while True:
                    file.write(bytes(4096))
                    file.flush()
        else:
            ballast.unlink(missing_ok=True)

    try:
        yield fill
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def can_mount() -> bool:
    """Whether this process may mount a file system of its own."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    probe = Path(os.environ.get("TMPDIR", "/tmp")) / f"tidegauge-probe-{os.getpid()}"
    probe.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(probe)]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            return False
        subprocess.run(["umount", str(probe)], check=True)
        return True
    finally:
        probe.rmdir()


def disk_full(history: History) -> float:
    """The checkpoint cannot be written: the run ends with 1, and with room again the next one goes on."""
    if not can_mount():
        return file_too_large(history)
    history.stop()
    with small_disk(history) as fill:
        place = history.folder / "disk" / "state"
        shutil.copytree(history.state, place)
        run = history.start(state=place)
        wait_for_start(history)
        fill(True)
        history.ended(run, 1)
        if "the checkpoint cannot be written: " not in history.log():
            history.wrong.append("a run does not say that the disk is full")
        fill(False)
        ended = time.monotonic()
        shutil.rmtree(history.state)
        shutil.copytree(place, history.state)
    history.start()
    return ended


def file_too_large(history: History) -> float:
    """As `disk_full`, where no disk can be made: the system refuses to let any file of the run grow."""
    history.stop()
    size = max(file.stat().st_size for file in history.state.iterdir())

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    run = history.start(before=limit)
    history.ended(run, 1)
    ended = time.monotonic()
    history.start()
    return ended


def clock_stepped(history: History) -> None:
    """The system clock of the run jumps, forward or back, by a second or an hour."""
    history.stop()
    offset = history.folder / "clock"
    offset.write_bytes(struct.pack("=q", 0))
    library = history.stage.clock
    environment = {"CLOCK_OFFSET_FILE": str(offset)} | ({"LD_PRELOAD": str(library)} if library else {})
    history.start(environment=environment)
    wait_for_start(history)
    for _ in range(2):
        with offset.open("r+b") as file:  # in place, for it is mapped
            file.write(struct.pack("=q", history.chance.choice((-3600, -1, 1, 3600))))
        time.sleep(0.7)


def wait_for_start(history: History) -> None:
    """Until the newest run has published something of its own."""
    run = history.run

    def started() -> bool:
        if (code := run.poll()) is not None:
            raise TimeoutError(f"the run has ended with {code}:\n{history.log()[-2500:]}")
        return history.newest_has_published(history.live())

    wait_until(started, f"the first publish of the newest run\n{history.log()[-2500:]}", SECONDS)


FAULTS: Final[dict[str, Fault]] = {
    "run killed": killed,
    **{f"run killed {point}": killed_at(point) for point in POINTS},
    "run told to stop": terminated,
    "run frozen": frozen,
    "run frozen, then told to stop": frozen_and_terminated,
    "run frozen before a publish": frozen_before_a_publish,
    "run replaced": replaced,
    "run frozen and replaced": frozen_and_replaced,
    "second run on the same folder": second_on_the_same_folder,
    "broker killed": broker_killed,
    "broker frozen": broker_frozen,
    "partitions added": partitions_added,
    "saved offset deleted": saved_offset_deleted,
    "Redis killed, back empty": redis_killed,
    "Redis flushed": redis_flushed,
    "Redis frozen": redis_frozen,
    "Redis out of memory": redis_out_of_memory,
    "Redis refuses (ACL)": redis_acl,
    **{
        f"way to {server}: {kind}": weather(server, kind)
        for server in ("Kafka", "Redis")
        for kind in ("cut", "black hole", "slow")
    },
    "disk full": disk_full,
    "system clock stepped": clock_stepped,
}
"""By name."""
FAULTS_OF_BROKERS: Final[dict[str, Fault]] = {
    "leader killed": leader_killed,
    "one of three brokers away": broker_away,
    "two of three brokers away": two_brokers_away,
    "unclean election": unclean_election,
    "topic made anew": made_anew,
    "rolling restart": rolling_restart,
    "follower stopped": follower_stopped,
    "partitions reassigned": reassigned,
    **{f"way to one broker: {kind}": way_to_a_broker(kind) for kind in ("cut", "black hole", "slow")},
    **{
        name: FAULTS[name]
        for name in ("run killed", "run killed during a checkpoint", "run frozen", "partitions added")
    },
}
"""Those of a stage with three brokers, and some of the run that may fall together with them."""
QUIET: Final[Sequence[str]] = ("saved offset deleted", "unclean election", "topic made anew")
"""Faults that need to know what has been read, so that no events flow meanwhile."""
