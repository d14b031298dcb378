"""What lag tools are told when Kafka does not answer, refuses, or answers late."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from flows.config.settings import Settings
from flows.source import lag_commits
from flows.source.lag_commits import LagCommits

SETTINGS = Settings(bootstrap_servers="nowhere", topic="events")


class Consumer:
    """Answers a commit with the poll after it, in the way that is set."""

    def __init__(self, commits: LagCommits, answer: str) -> None:
        self._commits = commits
        self._answer = answer
        self.sent: list[dict[int, int]] = []

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:
        assert asynchronous
        self.sent.append({one.partition: one.offset for one in offsets})

    def poll(self, _seconds: float) -> None:
        if self._answer == "taken":
            taken = [TopicPartition("events", number, offset) for number, offset in self.sent[-1].items()]
            self._commits.on_answer(None, taken)
        elif self._answer == "refused":
            self._commits.on_answer(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED), [])


@pytest.mark.parametrize(
    ("answer", "said"), [("taken", None), ("refused", "cannot be committed"), ("none", "no answer for 0.05 s")]
)
def test_the_end_waits_for_the_answer_and_says_what_lag_tools_do_not_know(
    answer: str, said: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lag_commits, "COMMIT_SECONDS", 1e9)
    monkeypatch.setattr(lag_commits, "ANSWER_SECONDS", 0.05 if answer == "none" else 1e9)
    commits = LagCommits(SETTINGS, "group")
    consumer: Any = Consumer(commits, answer)
    monkeypatch.setattr(LagCommits, "_connected", lambda _: consumer)
    with caplog.at_level(logging.WARNING):
        commits.commit({0: 7, 1: 3})
        commits.commit({1: 4})  # too soon for another
        commits.settle()
    assert consumer.sent == [{0: 7, 1: 3}, {0: 7, 1: 4}]
    assert commits.open == ({} if answer == "taken" else {0: 7, 1: 4})
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == (0 if said is None else 1)
    assert said is None or said in messages[0]


def test_with_nothing_to_tell_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    commits = LagCommits(SETTINGS, "group")
    consumer: Any = Consumer(commits, "none")
    monkeypatch.setattr(LagCommits, "_connected", lambda _: consumer)
    commits.settle()
    assert consumer.sent == []
