"""Real processes that go on from a checkpoint with another config, and are killed around the change."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from flows.config.model import Config
from tests.comparison import differences
from tests.job.running import SECONDS, Deployment, cells_of, end
from tests.job.test_restarts import CONFIG, stream
from tests.laws.changed import Expected, Moment, begins
from tests.services import KafkaBroker, RedisServer, wait_until

FIRST = CONFIG.model_copy(update={"product": "changing"})
THEN = Config.model_validate(
    FIRST.model_dump(mode="json")
    | {
        "events": ["Left"],
        "funnels": {
            "buy": {"window": "20m", "steps": ["Viewed", "Added", "Bought"]},
            "look": {"window": "5m", "steps": ["Viewed", "Left"]},
            "same": FIRST.funnels["same"].model_dump(mode="json", by_alias=True),
        },
        "breakdowns": {
            "device": {"field": "context.device.type", "values": ["web"], "of": ["events"]},
            "platform": {"field": "context.device.type", "values": ["tv", "web", "ios"]},
        },
        "exclude": {"bots": False},
    }
)
QUICK = ("--checkpoint", "100ms", "--tick", "50ms")


@pytest.mark.parametrize("processes", [1, 2])
def test_what_did_not_change_is_that_of_the_whole_stream_whenever_the_job_is_killed(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer, processes: int
) -> None:
    records = stream(20 + processes, 2, 20_000)
    half = len(records) // 2
    job = Deployment(FIRST, tmp_path, kafka.bootstrap_servers, kafka.create_topic(2), redis_server.url)
    job.produce(records[:half])
    run = job.start("--until-end", *QUICK)
    wait_until(lambda: job.consumed() > half // 4 or run.poll() is not None, "the first run has read some", SECONDS)
    end(run, signal.SIGKILL)
    job.finish(*QUICK)
    then = job.live()
    assert int(then["_consumed"]) == half
    moment = Moment(half, int(then["_as_of"]), begins(records[:half], FIRST, int(then["_as_of"])))

    job.produce(records[half:])
    job.config = THEN
    refused = job.start("--until-end")
    assert refused.wait(SECONDS) == 2
    assert "funnel.buy starts afresh: funnel.buy.window was 10m, is 20m" in job.log()
    assert "--accept-changes" in job.log()
    assert "event.left" not in job.log()

    told = job.log().count("funnel.look is new")
    job.program = ("tests.faults.launcher", "--at", "while starting from a checkpoint:2:SIGKILL", "--")
    assert job.start("--until-end", "--accept-changes", *QUICK).wait(SECONDS) == -signal.SIGKILL
    assert job.log().count("funnel.look is new") == told + 1
    # Accepted once, it needs no word any more. Of a checkpoint's files some, then all are of the new config, and none
    # counts; then a batch is half used.
    for point in ("during a checkpoint:2", "during a checkpoint:4", "in the middle of a batch:7"):
        job.program = ("tests.faults.launcher", "--at", f"{point}:SIGKILL", "--")
        assert job.start("--until-end", *QUICK).wait(SECONDS) == -signal.SIGKILL, point
    job.program = ("flows.app",)
    job.finish(*(("--processes", str(processes)) if processes > 1 else ()), *QUICK)

    live = job.live()
    assert int(live["_consumed"]) == len(records)
    expected = Expected(records, FIRST, THEN, moment)
    cells = {name: float(cell) for name, cell in cells_of(live).items()}
    assert differences({n: float(c) for n, c in expected.cells(int(live["_as_of"])).items()}, cells) == {}
    assert {part: int(live[f"_since.{part}"]) for part in ("funnel.buy", "funnel.look", "event.left")} == dict.fromkeys(
        ("funnel.buy", "funnel.look", "event.left"), moment.since_ms
    )
    assert {live[f"_since.{family}"] for family in ("events", "active_users", "sessions", "lifecycle", "minutes")} == {
        "0"
    }
    partial = set(json.loads(live["_partial"]))
    assert {
        "funnel.buy.converted.24h",
        "funnel.look.01_viewed.24h",
        "events.left.24h",
        "events.24h{device=web}",
    } <= partial
    assert not {name for name in partial if name.startswith(("users", "active_users.24h{platform=ios}", "events.24h."))}
    assert {"active_users.24h{platform=tv}", "sessions.closed.24h{platform=tv}"} <= partial
