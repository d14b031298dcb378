"""Turns what pydantic found into the user's words: what stands there, what should, what was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from flows.config.fields import (
    A_FIELD,
    CURRENCY_PATTERN,
    HOST_PATTERN,
    IDS,
    LABEL_PATTERN,
    OBJECTS,
    SLUG_PATTERN,
    SOURCE_PATTERN,
    Section,
    section_of,
)
from flows.config.kafka_options import is_secret
from flows.config.mistakes import RULES, Finding, Path, closest, shown
from flows.config.notation import A_DURATION, field_text, keys_of, likely_duration, slug
from flows.config.settings import TOPIC_PATTERN

PATTERNS = {
    SLUG_PATTERN: "lower-case letters, digits and _ only",
    LABEL_PATTERN: "a lower-case letter, then lower-case letters, digits and _ only",
    HOST_PATTERN: "a host such as shop.example, without scheme, port or path",
    SOURCE_PATTERN: "a source such as partner, or a host, without scheme, port or path",
    CURRENCY_PATTERN: "the three letters of a currency, such as USD",
    TOPIC_PATTERN: "at most 249 of the letters a-z and A-Z, digits, `.`, `_` and `-`",
}

PLAIN = {
    "string_type": "text",
    "tuple_type": "a list",
    **dict.fromkeys(("dict_type", "model_type"), "a section (key: value)"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "true or false"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number"),
}


def findings(error: ValidationError, model: type[Section]) -> Iterator[Finding]:
    """Everything that `error` says about an input of `model`."""
    for detail in error.errors(include_url=False):
        path: Path = tuple(detail["loc"])
        if detail["type"] == RULES:
            for found in detail["ctx"]["findings"]:
                because_of = [(*path, *place) for place in found.because_of]
                yield Finding((*path, *found.path), found.message, found.suggestion, found.at_key, because_of)
        elif detail["type"] != "too_short" or len(detail["input"]) < detail["ctx"]["min_length"]:
            # (A list of wrong items is too short as well, for pydantic, which counts the right ones.)
            yield _finding(detail, path, model)


def _finding(detail: ErrorDetails, path: Path, model: type[Section]) -> Finding:
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    if path and path[-1] == "[key]":
        if kind == "value_error":
            expected, likely = _expected(detail, context), _likely_value(kind, value, context)
        else:
            expected = PATTERNS.get(context.get("pattern", ""), "a shorter one")
            likely = slug(str(value)).strip("_")[:64] or None
        return Finding(path[:-1], f"found the name {shown(value)}, expected {expected}", likely, at_key=True)
    if kind == "extra_forbidden":
        return Finding(path, "there is no such key", _likely_key(path, model), at_key=True)
    if kind == "missing":
        return Finding(path, "this is missing", at_key=True)
    secret = path and (path[-1] == "redis" or is_secret(str(path[-1])))
    found = "a value" if secret and isinstance(value, str) else shown(value)
    return Finding(path, f"found {found}, expected {_expected(detail, context)}", _likely_value(kind, value, context))


def _expected(detail: ErrorDetails, context: Mapping[str, Any]) -> str:
    """What should stand there."""
    match detail["type"]:
        case "literal_error":
            return str(context["expected"]).replace("'", "")  # pydantic words it "'first' or 'latest'"
        case "value_error":
            return str(context["error"]).removeprefix("expected ")
        case "string_pattern_mismatch":
            return PATTERNS.get(context["pattern"], f"text like {context['pattern']}")
        case "too_short":
            return f"at least {context['min_length']}"
        case "too_long":
            return f"at most {context['max_length']}"
        case "string_too_short":
            return "text that is not empty"
        case "string_too_long":
            return f"at most {context['max_length']} characters"
        case "greater_than_equal":
            return f"at least {context['ge']}"
        case "less_than_equal":
            return f"at most {context['le']}"
        case "greater_than":
            return f"more than {context['gt']:g}"
        case "less_than":
            return f"less than {context['lt']:g}"
        case kind:
            return PLAIN.get(kind, detail["msg"])


def _likely_value(kind: str, value: object, context: Mapping[str, Any]) -> str | None:
    """What the author most likely meant."""
    if kind == "value_error" and A_DURATION in str(context["error"]):
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return f"{value}s or {value}m"
        return likely_duration(value) if isinstance(value, str) else None
    if not isinstance(value, str):
        return None
    if kind == "literal_error":
        return closest(value, re.findall(r"'([^']*)'", context["expected"]))
    if kind == "string_pattern_mismatch" and context["pattern"] in (SLUG_PATTERN, LABEL_PATTERN):
        return slug(value).strip("_")[:64] or None
    if kind == "value_error" and A_FIELD in str(context["error"]):
        return _likely_field(value)
    return None


def _likely_field(value: str) -> str | None:
    """The field whose keys the author has not put in quotes: `properties.Plan Type`."""
    keys = [key for key in value.strip().removeprefix("$.").strip(".").split(".") if key]
    if len(keys) > 1:
        keys[0] = closest(keys[0], OBJECTS) or keys[0]
    fixed = field_text(keys)
    return fixed if keys and fixed != value and keys[0] not in IDS and keys_of(fixed) else None


def _likely_key(path: Path, model: type[Section]) -> str | None:
    """A key of the same section that looks like it, or the place of a key of that name in another section."""
    word = str(path[-1])
    section: type[Section] | None = model
    for part in path[:-1]:
        if section is None:
            return None
        section = _below(section, str(part))
    if section is None:
        return None
    here = [field.alias or name for name, field in section.model_fields.items()]
    elsewhere = {place[-1]: ".".join(place) for place in reversed(list(_places(model)))}
    name = word.lower().replace("-", "_")
    if name in elsewhere and name not in here:
        return elsewhere[name]
    likely = closest(word, here)
    if likely is None and (likely := closest(word, elsewhere)):
        return elsewhere[likely]
    return likely


def _below(section: type[Section], key: str) -> type[Section] | None:
    """The section under `key`; a name within a mapping of sections leads to the section again."""
    field = section.model_fields.get(key)
    return section_of(field.annotation) if field else section


def _places(model: type[Section], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The ways to all keys; within named sections (funnels) with `<name>` for theirs."""
    for name, field in model.model_fields.items():
        place = (*above, field.alias or name)
        yield place
        if section := section_of(field.annotation):
            named = section is not field.annotation and "dict" in str(field.annotation)
            yield from _places(section, (*place, "<name>") if named else place)
