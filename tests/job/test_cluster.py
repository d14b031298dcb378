"""One product measured by several real processes: the numbers of one, whatever happens to any of them."""

from __future__ import annotations

from pathlib import Path

from tests.job.running import cells_of, disagreements
from tests.job.test_restarts import CONFIG, RUN_OF_ITS_OWN, deployment, stream
from tests.reference import recompute
from tests.services import KafkaBroker, RedisServer


def test_one_two_and_three_processes_give_identical_cells(
    tmp_path: Path, kafka: KafkaBroker, redis_server: RedisServer
) -> None:
    records = stream(11, 3)
    topic = kafka.create_topic(3)
    found = {}
    for processes in (1, 2, 3):
        job = deployment(tmp_path, kafka, redis_server, f"by{processes}", topic)
        if processes == 1:
            job.produce(records)
        job.finish("--processes", str(processes))
        live = job.live()
        for field in RUN_OF_ITS_OWN:
            del live[field]
        found[processes] = live, job.minutes()
    assert found[2] == found[1]
    assert found[3] == found[1]
    assert disagreements(recompute(records, CONFIG), cells_of(found[1][0])) == {}
