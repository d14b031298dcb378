"""The reference of the user's file: every key with its meaning, default and example, from the models themselves."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from flows.config.file import config_schema

INTRODUCTION = """\
# Every key of the config

<!-- Generated: `make docs` writes this file, a test says when it is stale. Change the models, not this page. -->

A YAML file says what to measure. Every key has a default, so an empty file works. Durations are written `10s`, `5m`,
`1h`, `30d`. `-` means that there is no default value; the meaning says what happens then. An unknown key is a mistake:
`tidegauge validate` lists all mistakes at once. The examples come from [every-key.yaml](config/every-key.yaml).
"""


@dataclass(frozen=True, slots=True)
class Key:
    """One key as the page shows it."""

    name: str  # within its section
    meaning: str
    default: str  # as the file would have it; empty: it must be given


@dataclass(frozen=True, slots=True)
class Part:
    """One mapping of the file: the keys that hold values of their own, not further mappings."""

    path: tuple[str, ...]  # () for the file itself; "<name>" stands for any name
    meaning: str
    keys: tuple[Key, ...]


def parts() -> list[Part]:
    """All mappings, in the order of the models."""
    schema = json.loads(config_schema())
    return [part for part in _parts(schema, schema["$defs"], ()) if part.keys]


def every_key() -> Any:
    """A config in which each key has a value that is not its default, where it can have one."""
    return yaml.safe_load(importlib.resources.files("flows.config").joinpath("every-key.yaml").read_text("utf-8"))


def page() -> str:
    """Markdown."""
    example = every_key()
    text = [INTRODUCTION]
    for part in parts():
        heading = ".".join(part.path) or "The file"
        text.append(f"\n## {heading}\n\n{part.meaning}\n\n" if part.path else f"\n## {heading}\n\n")
        text.append("| key | meaning | default | example |\n|---|---|---|---|\n")
        for key in part.keys:
            shown = written(found_at(example, (*part.path, key.name)))
            default = f"`{key.default}`" if key.default else "must be given"
            text.append(f"| `{key.name}` | {_prose(key.meaning)} | {default} | `{shown}` |\n")
    return "".join(text)


def found_at(example: Any, path: tuple[str, ...]) -> Any:
    """The value at `path` of a config; where any name will do, that of the first that has it."""
    return next(_found_at(example, path))


def _found_at(example: Any, path: tuple[str, ...]) -> Iterator[Any]:
    if not path:
        yield example
    elif path[0] == "<name>":
        for named in example.values():
            yield from _found_at(named, path[1:])
    elif path[0] in example:
        yield from _found_at(example[path[0]], path[1:])


def written(value: Any) -> str:
    """As one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True).strip()
    return text.removesuffix("...").strip().replace("|", "\\|")


def _parts(model: Mapping[str, Any], models: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Part]:
    needed = model.get("required", ())
    keys, below = [], []
    for name, field in model["properties"].items():
        inner, by_name = _section(field, models)
        if inner is None:
            default = "" if name in needed else _default(field)
            keys.append(Key(name, field.get("description", ""), default))
        else:
            below.append((inner, (*path, name, "<name>") if by_name else (*path, name), field))
    yield Part(path, model.get("description", ""), tuple(keys))
    for inner, place, field in below:
        described = {**inner, "description": field.get("description") or inner.get("description", "")}
        yield from _parts(described, models, place)


def _section(field: Mapping[str, Any], models: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, bool]:
    """The model that a field holds, if it holds one, and whether by names of the user's choice."""
    for choice in (field, *field.get("anyOf", ())):
        named = choice.get("additionalProperties")
        for found, by_name in ((choice, False), (named if isinstance(named, dict) else {}, True)):
            if "$ref" in found:
                model = models[found["$ref"].rpartition("/")[2]]
                if "properties" in model:
                    return model, by_name
    return None, False


def _default(field: Mapping[str, Any]) -> str:
    if field.get("default") is None:
        return "-"
    return written(field["default"])


def _prose(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
