"""Documents facts for producers, from their declarations: the schema of events, and tables in schemas/README.md.

python -m flows.commands.facts_page    writes both anew (`make docs`)
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import schemas
from flows.config.model import Config
from flows.facts.fact import Fact
from flows.metrics.catalogue import facts
from schemas.json_schema import event_schema, event_schema_text

FOLDER: Final = Path(schemas.__file__).parent
EVERYTHING: Final = Config.model_validate(
    {**{key: {} for key in Config.keys_of_facts()}, "surveys": {"nps": {"kind": "nps"}}}
)
"""A config with every part that brings facts."""
HEADING: Final = "| property | rule | otherwise |\n|---|---|---|\n"


def carried_schemas() -> dict[str, dict[str, Any]]:
    """The schemas of the properties of events that carry facts, by the event's name."""
    found: dict[str, dict[str, Any]] = {}
    for fact in facts(EVERYTHING):
        for name in fact.events:
            found[name] = _together(found[name], fact.schema()) if name in found else fact.schema()
    return found


def _together(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """The schema of the properties of an event that carries two facts."""
    return {
        **one,
        **other,
        "required": list(dict.fromkeys([*one["required"], *other["required"]])),
        "properties": {**one["properties"], **other["properties"]},
    }


def whole_schema() -> dict[str, Any]:
    """The schema of an event."""
    return event_schema(carried_schemas())


def schema_text() -> str:
    """The content of `event.v1.schema.json`."""
    return event_schema_text(carried_schemas())


def table(fact: Fact) -> str:
    """The properties of a fact in Markdown."""
    return HEADING + "".join(f"| {line.names} | {line.rule} | {line.otherwise} |\n" for line in fact.lines())


def with_tables(page: str) -> str:
    """A page with the tables of all facts between its marks, `<!-- fact NAME -->` and `<!-- end of fact -->`."""
    tables = {fact.name: table(fact) for fact in facts(EVERYTHING)}
    return re.sub(
        r"(?s)(<!-- fact (\w+) -->\n).*?(<!-- end of fact -->)",
        lambda found: f"{found[1]}{tables[found[2]]}{found[3]}",
        page,
    )


def main() -> None:
    """Write both anew."""
    (FOLDER / "event.v1.schema.json").write_text(schema_text(), encoding="utf-8")
    page = FOLDER / "README.md"
    page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
