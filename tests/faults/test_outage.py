"""What a Redis outage leaves alone, and what tells of it."""

from __future__ import annotations

import re
import urllib.request

from flows.publish.redis.sink import BACKOFF_SECONDS, SOCKET_SECONDS
from tests.faults.stage import SECONDS, History, Stage
from tests.services import wait_until


def stream_time_ms(history: History) -> float:
    """How far the run has come in event time, as Prometheus sees it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{history.metrics_port}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    found = re.search(r"(?m)^tidegauge_stream_time_timestamp_seconds(?:\{.*\})? (\S+)$", page)
    return float(found[1]) * 1000 if found else 0.0


def test_during_an_outage_of_redis_reading_goes_on_readiness_tells_and_the_newest_numbers_follow(stage: Stage) -> None:
    with History(stage, 1) as history:
        history.start()
        history.burst()
        history.wait_for_all()
        wait_until(lambda: history.ready() is True, "readiness", SECONDS)
        stage.redis.pause()
        try:
            with history.traffic():
                wait_until(lambda: history.ready() is False, "the end of readiness", SECONDS)
            # Prometheus has the numbers of every event that was sent meanwhile.
            wait_until(lambda: stream_time_ms(history) >= history.load.now_ms, "all events to be read", SECONDS)
        finally:
            stage.redis.resume()
        history.wait_for_all()
        wait_until(lambda: history.ready() is True, "readiness", SECONDS)
        history.check()
        assert history.wrong == []


def test_an_attempt_that_fails_and_the_pause_behind_it_take_less_than_two_seconds() -> None:
    # So the newest numbers are there two seconds after Redis has come back, whenever that is.
    assert SOCKET_SECONDS + BACKOFF_SECONDS[1] < 2
