"""The part of the user's file that says what a funnel is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from flows.config.fields import Between, DurationMs, FieldPath, Section
from flows.config.notation import slug
from flows.config.selectors import Selectors, Step


class Funnel(Section):
    """Ordered steps within a window; a step is an event, or a list of alternatives."""

    window: Annotated[DurationMs, AfterValidator(Between("1s", "90d"))]
    """The most time from the first step to the last, inclusive."""
    steps: tuple[Step, ...] = Field(min_length=2, max_length=20)
    """Events in order, by name or as `{event: name, where: {field: value}, as: name of the step}`; a list in place of
    an event matches any of them. A step is named after its first alternative."""
    reentry: Literal["first", "latest"] = "first"
    """`latest`: repeating the first step restarts the attempt if it has reached no further step."""
    order: Literal["sequential", "strict", "any"] = "sequential"
    """`sequential`: one after the other, whatever comes between. `strict`: any other session event that shows presence
    ends the attempt as dropped. `any`: those after the first in any order."""
    within_step: Annotated[DurationMs, AfterValidator(Between("1s", "90d"))] | None = None
    """The most time from one step to the next, inclusive, beside the window."""
    exclude: Selectors = ()
    """Events that end an attempt as excluded if they come between its entry and its conversion."""
    hold: FieldPath | None = None
    """The field that must have one value throughout: later steps count only with the value of the entry, compared as
    slugs, and never without one."""
    attempts: Literal["all", "once"] = "all"
    """`once`: only the first attempt of each user, whatever becomes of it."""

    @property
    def has_options(self) -> bool:
        """Whether it is more than ordered steps within a window."""
        return (
            self.order != "sequential"
            or self.within_step is not None
            or bool(self.exclude)
            or self.hold is not None
            or self.attempts != "all"
        )

    def step_names(self) -> list[str]:
        """`01_product_viewed`, ...: number and slug of the name that each step's first alternative gives it."""
        return [f"{number:02d}_{slug(step[0].as_ or step[0].event[0])}" for number, step in enumerate(self.steps, 1)]
