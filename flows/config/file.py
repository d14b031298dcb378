"""Reads the user's file, with the environment and the command line, into a `Config` and `Settings`.

Nothing stops at the first mistake. What is wrong is taken out, with as little around it as makes the rest
whole, and what remains is judged again; findings that rest on what was taken out are not reported.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import ValidationError, model_validator
from pydantic.json_schema import GenerateJsonSchema

from flows.config.alerts import Alerts
from flows.config.connections import (
    Connections,
    LimitsSection,
    from_environment,
    from_options,
    secrets_in,
    settle,
)
from flows.config.explain import findings
from flows.config.mistakes import ConfigErrors, Finding, Mistake, closest, shown
from flows.config.mistakes import Path as Keys
from flows.config.model import Config, slug
from flows.config.notation import DURATION_PATTERN, format_duration
from flows.config.rules import remarks
from flows.config.settings import Settings
from flows.config.yaml_tree import Tree, read_tree

MAX_FILE_BYTES: Final = 1024 * 1024
"""A thousand event names and all breakdown values take a third of it."""

ALL_DEFAULTS: Final = Alerts()

logger = logging.getLogger("tidegauge.config")


class File(Config):
    """Everything that the file may hold: what is measured, where it comes from and goes, and what alerts."""

    alerts: Alerts = Alerts()
    connections: Connections = Connections()
    limits: LimitsSection = LimitsSection()

    @model_validator(mode="after")
    def _alerts_speak_of_what_is_measured(self) -> File:
        unknown = []
        if self.alerts.conversion is not None:
            for name in self.alerts.conversion.funnels:
                if name not in self.funnels:
                    unknown.append(
                        Finding(
                            ("alerts", "conversion", "funnels", name),
                            "there is no such funnel",
                            closest(name, self.funnels),
                            True,
                        )
                    )
        if self.alerts.key_actions is not None:
            for index, event in enumerate(self.alerts.key_actions.events or ()):
                if slug(event) not in self.vocabulary():
                    found = f"found {shown(event)}, which is not counted by name: add it to events"
                    unknown.append(Finding(("alerts", "key_actions", "events", index), found))
        if unknown:
            raise Finding.error(unknown)
        return self


class Loaded(NamedTuple):
    """What a command needs to begin."""

    config: Config
    settings: Settings


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of reading a file: `loaded` is None when there are mistakes."""

    loaded: Loaded | None
    mistakes: Sequence[Mistake]
    warnings: Sequence[Mistake]
    alerts: Alerts = ALL_DEFAULTS


def load(
    path: Path | str | None,
    options: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Loaded:
    """The config and settings of the file at `path`; None: of no file, so the config is all defaults.

    `options` are fields of `Settings` from the command line (None: not given); they go before `environment`
    (default: the process's), that before the file's `connections:`. Warnings are logged. Raises ConfigErrors
    with all mistakes.
    """
    loaded, _ = _accepted(read(path, options, environment))
    return loaded


def load_alerts(path: Path | str | None) -> tuple[Config, Alerts]:
    """What is measured and what alerts, of the file at `path`; the environment has no part in it. Raises as `load`."""
    (config, _), alerts = _accepted(read(path, environment={}))
    return config, alerts


def _accepted(report: Report) -> tuple[Loaded, Alerts]:
    for warning in report.warnings:
        logger.warning("%s", warning)
    if report.loaded is None:
        raise ConfigErrors(report.mistakes)
    return report.loaded, report.alerts


def read(
    path: Path | str | None,
    options: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
    of_cells: Callable[[Config], Iterable[Finding]] = lambda _: (),
) -> Report:
    """As `load`, but mistakes and warnings are values: those of the file in its order, then the others.

    `of_cells` finds what is wrong with a tree by the cells of the config, where these are as the file means them.
    """
    source = str(path)
    tree = Tree()
    mistakes: list[Mistake] = []
    if path is not None:
        try:
            tree = read_tree(_bytes(Path(path)))
        except _Unreadable as error:
            mistakes.append(Mistake(source, "", str(error), error.suggestion))
    file, found, removed = _judge(tree.value)
    if file is not None and all(gone[0] == "tree" for gone in removed):
        found += [finding for finding in of_cells(file) if not _rests_on(finding, removed)]
    warned = [*remarks(file), *secrets_in(file.connections)] if file else []
    layers = [
        from_options(options or {}),
        from_environment(os.environ if environment is None else environment),
    ]
    mistakes += _in_order([*_of_flaws(tree, source), *(_located(finding, tree, source) for finding in found)])
    warnings = _in_order(_located(finding, tree, source) for finding in warned if not _rests_on(finding, removed))
    for layer in layers:
        mistakes += layer.mistakes
        warnings += layer.warnings
    if file is None or mistakes:
        return Report(None, mistakes, warnings)
    settings = settle([*(layer.connections for layer in layers), file.connections], file.limits.limits())
    if settings.dead_letter_topic == settings.topic:
        found_there = f"found {settings.topic}, which is also the topic that is read"
        return Report(None, [Mistake("settings", "dead_letter_topic", found_there)], warnings)
    measured = file.model_dump(mode="json", include=set(Config.model_fields), exclude_unset=True)
    return Report(Loaded(Config.model_validate(measured), settings), mistakes, warnings, file.alerts)


def config_schema() -> str:
    """The JSON Schema of the file, for editors; `schemas/config.v1.schema.json` holds this text."""
    schema = File.model_json_schema(schema_generator=_Schema)
    schema = {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": "urn:tidegauge:config:v1",
        "title": "Tidegauge configuration, version 1",
        **{key: value for key, value in schema.items() if key != "title"},
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


class _Schema(GenerateJsonSchema):
    """Durations as they are written, no titles that only repeat the key."""

    def generate(self, schema: Any, mode: Any = "validation") -> Any:
        return _as_written(super().generate(schema, mode))

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _as_written(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_as_written(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    written = {key: _as_written(value) for key, value in schema.items()}
    if "default" in schema and DURATION_PATTERN in _patterns(schema):
        default = schema["default"]
        written["default"] = (
            [format_duration(ms) for ms in default]
            if isinstance(default, list | tuple)
            else format_duration(default)
            if isinstance(default, int)
            else default
        )
    return written


def _patterns(schema: Mapping[str, Any]) -> Iterator[str]:
    """Of the value itself, its alternatives and its items."""
    if "pattern" in schema:
        yield schema["pattern"]
    for part in [schema.get("items"), *schema.get("anyOf", ())]:
        if isinstance(part, dict):
            yield from _patterns(part)


class _Unreadable(Exception):  # noqa: N818 - a signal within this module
    def __init__(self, message: str, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.suggestion = suggestion


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise _Unreadable("there is no such file", _near(path)) from None
    except IsADirectoryError:
        raise _Unreadable("this is a folder, expected a file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise _Unreadable(f"cannot be read: {reason.lower()}") from None
    if len(data) > MAX_FILE_BYTES:
        raise _Unreadable(f"larger than {MAX_FILE_BYTES // 1024} KiB, so hardly a configuration")
    return data


def _near(path: Path) -> str | None:
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.suffix in (".yaml", ".yml", ".json")]
    except OSError:
        return None
    likely = closest(path.name, names)
    return str(path.with_name(likely)) if likely else None


def _judge(value: Any) -> tuple[File | None, list[Finding], list[Keys]]:
    """The file's model of what is right, None if nothing is; all findings; the places taken out."""
    raw = {} if value is None else value
    if not isinstance(raw, dict):
        return None, [Finding((), f"found {shown(raw)}, expected lines such as `product: shop`")], []
    found: list[Finding] = []
    removed: list[Keys] = []
    while True:
        try:
            return File.model_validate(raw), found, removed
        except ValidationError as error:
            news = list(findings(error, File))
        found += [finding for finding in news if not _rests_on(finding, removed)]
        places = sorted({_to_mend(raw, finding.path, removed) for finding in news}, key=len)
        for place in places:
            if not place:
                return None, found, removed
            there = _existing(raw, place)
            if there == place or (there == place[:-1] and _can_be_replaced(place)):
                _mend(raw, place)
                removed.append(place)


def _rests_on(finding: Finding, removed: Sequence[Keys]) -> bool:
    """Whether a finding would look different had nothing been taken out."""
    return any(
        place[: len(gone)] == gone or (gone[: len(place)] == place and not finding.at_key)
        for place in (finding.path, *finding.because_of)
        for gone in removed
        if place
    )


def _existing(raw: Any, path: Keys) -> Keys:
    """The longest beginning of `path` that leads to an entry of a section; items of lists do not count."""
    value, length = raw, 0
    for position, key in enumerate(path, 1):
        if isinstance(value, dict) and key in value:
            value, length = value[key], position
        else:
            break
    return path[:length]


STAND_INS: Final[Mapping[str | int, Any]] = {
    "window": "1h",
    "steps": ["stand in 1", "stand in 2"],
    "field": "properties.stand_in",
    "values": ["stand in"],
}
"""What takes the place of a key that a section cannot be without, so that the rest of it is judged."""


def _to_mend(raw: Any, path: Keys, mended: Sequence[Keys]) -> Keys:
    """The place to change so that the finding at `path` goes away: one that has not been mended before."""
    there = _existing(raw, path)
    missing = path[: len(there) + 1]
    place = missing if _can_be_replaced(missing) else there
    while place in mended:  # it did not help, so more must go; every round takes a new place, and they are finite
        place = place[:-1]
    return place


def _can_be_replaced(place: Keys) -> bool:
    return len(place) == 3 and place[0] in ("funnels", "breakdowns") and place[2] in STAND_INS


def _mend(raw: Any, place: Keys) -> None:
    """Take out what is at `place`, or put a stand-in where there must be something."""
    for key in place[:-1]:
        raw = raw[key]
    if _can_be_replaced(place):
        raw[place[-1]] = STAND_INS[place[-1]]
    else:
        del raw[place[-1]]


def _located(finding: Finding, tree: Tree, source: str) -> Mistake:
    path = _in_the_file(finding.path, tree)
    place = tree.place(path, finding.at_key)
    return Mistake(source, spelt(path), finding.message, finding.suggestion, *(place or ()))


def _in_the_file(path: Keys, tree: Tree) -> Keys:
    """`path` without what the file may leave out: the list around one selector, and `event` around a name alone."""
    sections = {place[:-1] for place in tree.keys}
    written = path[:1]
    for position, key in enumerate(path[1:], 1):
        if (*written, key) in tree.values or (*written, key) in tree.keys:
            written = (*written, key)
        elif not isinstance(key, int) and (key != "event" or written in sections):
            return (*written, *path[position:])
    return written


def _of_flaws(tree: Tree, source: str) -> Iterator[Mistake]:
    for flaw in tree.flaws:
        yield Mistake(source, spelt(flaw.path), flaw.message, None, *flaw.place)


def spelt(path: Keys) -> str:
    """`funnels.checkout.steps[1]`; unusual keys are quoted."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += ("." if text else "") + (key if re.fullmatch(r"[\w.-]{1,60}", key) else shown(key))
    return text


def _in_order(mistakes: Iterable[Mistake]) -> list[Mistake]:
    return sorted(mistakes, key=lambda mistake: (mistake.line or 0, mistake.column or 0))
