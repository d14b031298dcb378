"""Two frameworks by which product teams sort their numbers, and where a metric stands in each.

AARRR follows a user through the product: acquisition, activation, retention, referral, revenue (D. McClure, Startup
Metrics for Pirates, 2007). HEART says how well it serves its users: happiness, engagement, adoption, retention, task
success (K. Rodden, H. Hutchinson, X. Fu, Measuring the User Experience on a Large Scale, CHI 2010).

They are views: they change no number. A family says the headings of its metrics once, in `Family.FRAMEWORKS`; the
page of all numbers and two dashboards follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

Aarrr = Literal["acquisition", "activation", "retention", "referral", "revenue"]
Heart = Literal["happiness", "engagement", "adoption", "retention", "task success"]


@dataclass(frozen=True, slots=True)
class Headings:
    """Under which heading of each framework a metric stands; None: under none of them, and `why`.

    Raises ValueError where a heading is missing without a reason.
    """

    aarrr: Aarrr | None
    heart: Heart | None
    why: str = ""  # a sentence

    def __post_init__(self) -> None:
        if None in (self.aarrr, self.heart) and not self.why:
            raise ValueError("a metric without a heading of AARRR or of HEART says why: Headings(None, ..., why='...')")

    def under(self, framework: str) -> str | None:
        """The heading in `framework`, one of FRAMEWORKS."""
        return {"AARRR": self.aarrr, "HEART": self.heart}[framework]


FRAMEWORKS: Final[Mapping[str, Sequence[str]]] = {"AARRR": get_args(Aarrr), "HEART": get_args(Heart)}
"""Their headings, in order."""


def headings_of(metric: str, declared: Mapping[str, Headings]) -> Headings | None:
    """What `declared` says of the metric of that name: its longest key with which the name begins; None: nothing."""
    return declared.get(max((key for key in declared if metric.startswith(key)), key=len, default=""))
