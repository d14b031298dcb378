"""What happens around every product: tickets, surveys, feedback, and wishes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

from flows.demo.profile import Facts, Later, Properties, Scene

NPS: Final = (0.03, 0.01, 0.02, 0.02, 0.03, 0.06, 0.07, 0.15, 0.22, 0.19, 0.20)  # of the scores 0 to 10
CSAT: Final = (0.06, 0.05, 0.12, 0.32, 0.45)  # 1 to 5
CES: Final = (0.28, 0.27, 0.18, 0.12, 0.07, 0.05, 0.03)  # 1, very easy, to 7


def survey(name: str, shares: Sequence[float], first: int) -> Scene:
    """An answer to a survey; `shares` of the scores from `first` on."""
    scores = range(first, first + len(shares))

    def answer(facts: Facts, rng: Random) -> Mapping[str, object]:
        (score,) = rng.choices(scores, shares)
        return {"survey": name, "score": score, "response_id": f"r-{rng.getrandbits(40):010x}"}

    return Scene("track", "Survey Responded", properties=answer, server=True)


def one_of(**choices: Sequence[object]) -> Properties:
    """Properties that are drawn each time."""

    def drawn(facts: Facts, rng: Random) -> Mapping[str, object]:
        return {name: rng.choice(values) for name, values in choices.items()}

    return drawn


def _ticket(facts: Facts, rng: Random) -> Mapping[str, object]:
    facts["ticket"] = {
        "ticket_id": f"t-{rng.getrandbits(40):010x}",
        "severity": rng.choices(("low", "normal", "high", "urgent"), (0.35, 0.45, 0.16, 0.04))[0],
        "queue": rng.choices(("support", "billing", "technical"), (0.5, 0.2, 0.3))[0],
    }
    return _same_ticket(facts, rng)


def _same_ticket(facts: Facts, rng: Random) -> Mapping[str, object]:
    ticket: Mapping[str, object] = facts["ticket"]
    return ticket


def _feedback(facts: Facts, rng: Random) -> Mapping[str, object]:
    kind = rng.choices(("praise", "bug", "idea"), (0.4, 0.35, 0.25))[0]
    middle = {"praise": 0.7, "bug": -0.5, "idea": 0.1}[kind]
    return {"kind": kind, "sentiment": round(max(-1.0, min(1.0, rng.gauss(middle, 0.25))), 2)}


SUPPORT: Final[Mapping[str, Scene]] = {
    "ticket": Scene(
        "track",
        "Ticket Created",
        properties=_ticket,
        later=(Later("escalated", 0.12, mean_days=0.1), Later("resolved", 0.94, mean_days=0.6)),
        server=True,
    ),
    "escalated": Scene("track", "Ticket Escalated", properties=_same_ticket, server=True),
    "resolved": Scene(
        "track",
        "Ticket Resolved",
        properties=_same_ticket,
        later=(Later("reopened", 0.06, mean_days=1.0), Later("satisfaction", 0.35, mean_days=0.2)),
        server=True,
    ),
    "reopened": Scene(
        "track",
        "Ticket Reopened",
        properties=_same_ticket,
        later=(Later("resolved", 0.9, mean_days=0.5),),
        server=True,
    ),
    "satisfaction": survey("support", CSAT, first=1),
    "effort": survey("effort", CES, first=1),
    "recommendation": survey("nps", NPS, first=0),
    "feedback": Scene("track", "Feedback Submitted", properties=_feedback),
    "wish": Scene("track", "Feature Requested", properties=one_of(feature=("search", "export", "dark mode", "api"))),
}
