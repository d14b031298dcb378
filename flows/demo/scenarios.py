"""What can befall the simulated product while it is watched: rates that change for a while and then recover.

A scenario is data. The simulator asks it, whenever a visit begins, under which conditions that visit happens. A
`Switch` holds the same conditions while somebody has turned it on.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Conditions:
    """How visits that begin now differ from those of a normal day."""

    traffic: float = 1.0  # visits, as a multiple of the usual
    leaves_at_once: float = 0.0  # share of visits, of any persona, that end with their first page
    cancels: float = 0.0  # cancellations of subscriptions, per visit
    purchase: float = 1.0  # multiplies the probability of each funnel step after the first
    lost: bool = False  # nothing that happens now reaches Kafka


NORMAL = Conditions()


@dataclass(frozen=True, slots=True)
class Scenario:
    """Conditions that hold from `begins_s` for `lasts_s` seconds, counted from when the product goes live.

    A negative beginning lies in the history: sessions settle for five minutes before the provisional bounce
    rate counts them, so an incident that shall be seen at once has to be a few minutes old.
    """

    help: str  # one sentence
    begins_s: float
    lasts_s: float
    conditions: Conditions

    def at(self, seconds_live: float) -> Conditions:
        """The conditions at that time."""
        return self.conditions if self.begins_s <= seconds_live < self.begins_s + self.lasts_s else NORMAL


class Switch:
    """The conditions of a scenario, off until `turn`; any thread may turn it."""

    def __init__(self, scenario: Scenario) -> None:
        self._conditions = scenario.conditions
        self.on = False

    def turn(self) -> None:
        """Off becomes on, on becomes off."""
        self.on = not self.on

    def at(self, seconds_live: float) -> Conditions:
        """The conditions now, whatever the time."""
        return self._conditions if self.on else NORMAL


SCENARIOS = {
    "traffic-surge": Scenario(
        "four times the visits with unchanged behaviour, from 10 s after the start, for a quarter of an hour",
        begins_s=10,
        lasts_s=900,
        conditions=Conditions(traffic=4.0),
    ),
    "bounce-spike": Scenario(
        "a broken landing page: most visits end with their first page, since 15 minutes before the start",
        begins_s=-900,
        lasts_s=1800,
        conditions=Conditions(leaves_at_once=0.7),
    ),
    "churn-wave": Scenario(
        "a price rise: one cancellation of a subscription for every fifth visit, since 5 minutes before the start",
        begins_s=-300,
        lasts_s=1200,
        conditions=Conditions(cancels=0.2),
    ),
    "conversion-drop": Scenario(
        "a broken checkout: each step of a purchase succeeds a third as often, since 15 minutes before the start",
        begins_s=-900,
        lasts_s=1800,
        conditions=Conditions(purchase=0.35),
    ),
    "outage": Scenario(
        "a dead collector: nothing that visitors do reaches Kafka, from 30 s after the start, for 20 minutes",
        begins_s=30,
        lasts_s=1200,
        conditions=Conditions(lost=True),
    ),
}
"""The names that `demo --inject` knows."""
