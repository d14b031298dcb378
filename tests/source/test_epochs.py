"""Two processes by simulation: what the engine's epochs do to the one with less to do, and how it is put right."""

from __future__ import annotations

from dataclasses import dataclass, field

from flows.source.epochs import EpochPhase

EPOCH_MS = 1_000
EPOCHS = 40
STORING_SECONDS = 0.3
"""From the end of an epoch in the last process to where all go on."""


@dataclass
class Worker:
    """A source as the engine drives it: rounds of one length, an epoch by its own timer, and a wait for the other's."""

    round_seconds: float
    in_phase: bool
    now: float = 0.0
    began: float = 0.0
    rounds: list[int] = field(default_factory=list)  # in each epoch

    def __post_init__(self) -> None:
        self.phase = EpochPhase(EPOCH_MS, monotonic=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def epoch(self, others_ended: float, others_waited: float) -> None:
        """All rounds of one epoch; it begins no sooner than the last one has ended and is stored everywhere."""
        self.now = max(self.now, others_ended + STORING_SECONDS)
        self.rounds.append(0)
        while True:
            looked = self.now
            self.rounds[-1] += 1
            if self.in_phase:
                self.phase.on_round(others_waited, lambda: False)
            self.now += self.round_seconds
            if looked - self.began >= EPOCH_MS / 1000:  # by the time at which the round began, as in the engine
                break
        self.began = self.now
        self.phase.ends()


def run(slow: float, fast: float, *, in_phase: bool) -> tuple[list[int], list[int]]:
    """Rounds by epoch of a slow and a fast worker."""
    workers = Worker(slow, in_phase), Worker(fast, in_phase)
    ended = 0.0
    for _ in range(EPOCHS):
        waited = [worker.phase.waited_seconds for worker in workers]
        for worker, other in zip(workers, reversed(waited), strict=True):
            worker.epoch(ended, other)
        ended = max(worker.now for worker in workers)
    return workers[0].rounds, workers[1].rounds


def test_left_to_the_engine_a_fast_worker_decays_to_one_round_an_epoch() -> None:
    _, fast = run(0.150, 0.005, in_phase=False)
    assert fast[0] > 100
    assert set(fast[-10:]) == {1}


def test_in_phase_every_worker_goes_on_looking_at_its_input() -> None:
    slow, fast = run(0.150, 0.005, in_phase=True)
    assert min(fast) > 80
    assert min(slow) >= 5  # and the slow one is not slowed down: its epochs have as many rounds as alone
    assert run(0.150, 0.150, in_phase=False)[0][1:] == slow[1:]


def test_workers_of_one_speed_do_not_wait_for_each_other() -> None:
    one, other = run(0.005, 0.005, in_phase=True)
    assert min(one + other) > 130


def test_the_wait_ends_at_once_when_there_is_a_hurry() -> None:
    worker = Worker(0.005, in_phase=True)
    worker.phase.ends()
    worker.now = 0.7
    worker.phase.on_round(0.1, lambda: True)  # 0.6 s longer than the other
    worker.now = 0.99
    worker.phase.on_round(0.1, lambda: True)
    assert worker.now == 0.99
