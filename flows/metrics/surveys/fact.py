"""What one response says: of which survey it is, the score, and its id.

survey    the survey's place among those of the config, in alphabetical order; UNKNOWN: none of them
score     what was answered
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from flows.config.notation import slug
from flows.config.voices import Survey
from flows.facts.fact import Fact
from flows.facts.field import Line, Said, Sample
from flows.facts.fields import Id
from flows.facts.values import Properties, missing, present, text_in, whole_in
from flows.facts.words import Learnt

UNKNOWN: Final = -1


class Response(NamedTuple):
    """What is said, before it is known to be whole."""

    text: str
    survey: int
    score: int


class Responses:
    """Reads survey and score together: which scores there are depends on the survey."""

    def __init__(self, surveys: Mapping[str, Survey]) -> None:
        self._places = {name: place for place, name in enumerate(surveys)}
        self._ends = [survey.ends for survey in surveys.values()]

    def look(self, found: Properties, said: Said) -> Response:
        """The score of a survey that is not known may be anything."""
        text = text_in(found, "survey", needed=True) or ""
        survey = self._places.get(slug(text), UNKNOWN)
        if survey == UNKNOWN:
            return Response(text, survey, 0)
        if present(found, "score") is None:
            raise missing("score")
        low, high = self._ends[survey]
        return Response(text, survey, whole_in(found, "score", low, low, high))

    def come_to(self, value: Response, said: Said) -> Mapping[str, int]:
        said.refuse_marked(value.text)
        return {"survey": value.survey, "score": value.score}

    def required(self) -> list[str]:
        return ["survey"]

    def schema(self) -> dict[str, Any]:
        return {
            "survey": {"type": "string", "description": "Compared as a slug with the config's surveys."},
            "score": {"type": ["number", "null"], "description": "A whole number on the survey's scale."},
        }

    def constraints(self) -> dict[str, Any]:
        return {}

    def lines(self) -> list[Line]:
        return [
            Line(
                "`survey`",
                "compared as a slug; a survey that the config does not have counts as an event alone; required",
                "`missing_field`, `bad_type`",
            ),
            Line("`score`", "a whole number on the survey's scale", "`missing_field`, `bad_type`, `bad_property`"),
        ]

    def samples(self) -> Iterator[Sample]:
        for name, place in self._places.items():
            low, high = self._ends[place]
            for score in (low, high, float(high), (low + high) // 2):
                yield {"survey": name, "score": score}, None
            yield {"survey": name.upper(), "score": high}, None
            for score in (low - 1, high + 1, low + 0.5, -1e300):
                yield {"survey": name, "score": score}, "bad_property"
            yield {"survey": name, "score": "much"}, "bad_type"
            yield {"survey": name, "score": None}, "missing_field"
        yield {"survey": "another one", "score": "much"}, None
        yield {"survey": None}, "missing_field"
        yield {"survey": 7}, "bad_type"


def response_fact(surveys: Mapping[str, Survey]) -> Fact:
    """The fact as the config's surveys have it."""
    return Fact(
        "survey",
        events={event: None for survey in surveys.values() for event in survey.events},
        fields=(
            Learnt(texts=("survey", "score"), fills=("survey", "score"), reading=Responses(surveys)),
            Id(
                "response_id",
                "response",
                help="Counts once per user and survey within a day, or `orders.dedup`.",
                note="counts once per user and survey within a day, or `orders.dedup`",
            ),
        ),
        help="A response to a survey, where the config measures surveys.",
    )
