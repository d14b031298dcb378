"""The parts of the user's file that measure what users say: surveys and feedback."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from flows.config.fields import EventName, FactSection, Value
from flows.config.notation import slug

OTHER: Final = "other"
SCALES: Final = {"nps": (0, 10), "csat": (1, 5), "ces": (1, 7)}
"""By kind of survey: the scale where the config has none."""
MOST_SCORES: Final = 101
Thousandths = Annotated[float, Field(ge=-1, le=1)]


class Survey(FactSection):
    """One survey: which question was asked, and what its scores mean."""

    kind: Literal["nps", "csat", "ces"]
    """`nps`: would you recommend us, 0 to 10; `csat`: are you satisfied; `ces`: how easy was it."""
    scale: tuple[Annotated[int, Field(ge=0, le=100)], Annotated[int, Field(ge=0, le=100)]] | None = None
    """The lowest and highest score. Without this key 0 to 10 for `nps`, 1 to 5 for `csat`, 1 to 7 for `ces`."""
    better: Literal["lower", "higher"] = "higher"
    """Which scores of a `ces` are good: on some scales 1 is "very easy", on others 7."""
    count: Literal["all", "latest"] = "all"
    """`latest` counts each user once, with the latest response."""
    min_responses: Annotated[int, Field(ge=1, le=1_000_000)] = 30
    """Fewest responses in a window for an alert to judge by."""
    events: dict[EventName, None] = Field({"Survey Responded": None}, min_length=1, max_length=50)
    """Events that carry responses, of this survey or any other: the property `survey` says of which."""

    @model_validator(mode="after")
    def _a_scale_has_two_ends(self) -> Self:
        low, high = self.ends
        if low >= high or high - low >= MOST_SCORES:
            raise ValueError(f"found a scale from {low} to {high}, expected the lower end first")
        if self.kind == "nps" and (low > 1 or high != 10):
            raise ValueError("the scale of nps is 0 to 10")
        return self

    @property
    def ends(self) -> tuple[int, int]:
        """The lowest and the highest score."""
        return SCALES[self.kind] if self.scale is None or self.kind == "nps" else self.scale

    @property
    def scores(self) -> range:
        """All of them."""
        low, high = self.ends
        return range(low, high + 1)

    def satisfied(self) -> list[int]:
        """Scores in the upper quarter of the scale: 4 and 5 of 1 to 5."""
        low, high = self.ends
        return [score for score in self.scores if 4 * (score - low) >= 3 * (high - low)]


class Feedback(FactSection):
    """What users write: how much, of which kind, in which mood, and what they ask for."""

    kinds: tuple[Value, ...] = Field((), max_length=50)
    """Kinds of feedback to distinguish, compared as slugs; any other counts as `other`, a missing one as none."""
    requests: tuple[Value, ...] = Field((), max_length=100)
    """Features whose requests are counted by name, compared as slugs; any other counts as `other`."""
    negative_below: Thousandths = -0.25
    """Feedback with a `sentiment` below this is negative. Sentiments count in thousandths."""
    positive_above: Thousandths = 0.25
    """Feedback with a `sentiment` above this is positive."""
    events: dict[EventName, Literal["feedback", "request"]] = Field(
        {"Feature Requested": "request", "Feedback Submitted": "feedback"}, min_length=1, max_length=50
    )
    """Events that carry feedback, or the request of a feature."""

    def kind_labels(self) -> list[str]:
        """Slugs of the kinds, and `other`."""
        return [*(slug(kind) for kind in self.kinds), OTHER]

    def request_labels(self) -> list[str]:
        """Slugs of the features, and `other`."""
        return [*(slug(feature) for feature in self.requests), OTHER]

    def limits(self) -> tuple[int, int]:
        """Below the first, in thousandths, a sentiment is negative, above the second positive."""
        return round(1000 * self.negative_below), round(1000 * self.positive_above)

    def has(self, what: Literal["feedback", "request"]) -> bool:
        """Whether any event stands for that."""
        return what in self.events.values()

    def reading(self) -> dict[str, Any]:
        below, above = self.limits()
        return {"negative_below": below / 1000, "positive_above": above / 1000, **super().reading()}
