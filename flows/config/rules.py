"""What a configuration must obey as a whole: rules that no single field can check about itself.

Each rule names the places it speaks of, so that the file's line can be shown; all are checked, always.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from flows.config.breakdowns import TAKEN_SLUGS, clashing_breakdowns
from flows.config.event_codes import MAX_CODES, MAX_CONDITIONS, Selection
from flows.config.mistakes import Finding, Path, closest, shown
from flows.config.notation import format_duration, says_something, slug
from flows.config.tree import broken_tree

if TYPE_CHECKING:
    from flows.config.funnel import Funnel
    from flows.config.model import Config
    from flows.config.selectors import Selector

MAX_NAMES: Final = 1000
"""Event names told apart: each costs a ring of counters per window and breakdown value."""

DAY_MS: Final = 86_400_000


def broken_rules(config: Config) -> Iterator[Finding]:
    """Every rule of the whole that `config` breaks."""
    yield from _names_that_say_nothing(config)
    yield from _names_that_are_one(config)
    yield from _names_of_steps(config)
    yield from _funnels_that_nobody_gets_through(config)
    yield from _too_many_names(config)
    yield from _excluded_but_wanted(config)
    yield from _windows_that_are_none(config)
    yield from _windows_of_no_whole_days(config)
    yield from clashing_breakdowns(config.breakdowns)
    for key, section in config.fact_sections().items():
        yield from _keys_that_are_one((*key, "events"), section.events)
    yield from _plans_that_clash(config)
    yield from _money_that_clashes(config)
    if config.feedback is not None:
        yield from _values_that_clash(("feedback", "kinds"), config.feedback.kinds)
        yield from _values_that_clash(("feedback", "requests"), config.feedback.requests)
    yield from broken_tree(config.tree)
    if config.sessions.max_duration < config.sessions.timeout:
        yield Finding(
            ("sessions", "max_duration"),
            f"found {format_duration(config.sessions.max_duration)}, expected at least the session timeout,"
            f" {format_duration(config.sessions.timeout)}",
            because_of=[("sessions", "timeout")],
        )


def remarks(config: Config) -> Iterator[Finding]:
    """What is allowed but probably not meant."""
    for name, funnel in config.funnels.items():
        for index, (before, step) in enumerate(zip(funnel.steps, funnel.steps[1:], strict=False), 1):
            if any(_overlap(one.selection(), other.selection()) for one in before for other in step):
                yield Finding(
                    ("funnels", name, "steps", index),
                    f"step {index + 1} can be the same event as step {index}, which must then come twice",
                )
        if funnel.within_step is not None and funnel.within_step >= funnel.window:
            yield Finding(
                ("funnels", name, "within_step"),
                f"{format_duration(funnel.within_step)} is not shorter than the window,"
                f" {format_duration(funnel.window)}, so that it changes nothing",
                because_of=[("funnels", name, "window")],
            )
        if funnel.order == "any" and len(funnel.steps) == 2:
            yield Finding(
                ("funnels", name, "order"),
                "any changes nothing in a funnel of two steps, since the first always comes first",
            )
        if funnel.reentry == "latest" and any(_ends(funnel, first.selection()) for first in funnel.steps[0]):
            yield Finding(
                ("funnels", name, "reentry"),
                "latest does not move the start where repeating the first step is an exclusion: it ends the attempt",
                because_of=[("funnels", name, "exclude")],
            )
    yield from _listed_twice(config)
    if config.churn_after <= config.sessions.timeout:
        yield Finding(
            ("churn_after",),
            f"{format_duration(config.churn_after)} is not longer than a session's timeout,"
            f" {format_duration(config.sessions.timeout)}: users will churn within a visit",
            because_of=[("sessions", "timeout")],
        )


def _overlap(one: Selection, other: Selection) -> bool:
    """Whether an event can be both: of one name, and no field would need two values."""
    shared = one[0] is None or other[0] is None or one[0] & other[0]
    return bool(shared) and all(
        condition.values & further.values
        for condition in one[1]
        for further in other[1]
        if condition.field == further.field
    )


def _listed_twice(config: Config) -> Iterator[Finding]:
    seen: set[object] = set()
    for index, name in enumerate(config.events):
        if slug(name) in seen:
            yield Finding(("events", index), f"{shown(name)} is listed twice ({slug(name)})")
        seen.add(slug(name))
    for path, selectors in config.selectors():
        seen = set()
        for index, selector in enumerate(selectors):
            conditions = frozenset(selector.selection()[1])
            for place, name in _names_of((*path, index), selector):
                if (slug(name), conditions) in seen:
                    yield Finding(place, f"{shown(name)} is listed twice ({slug(name)})")
                seen.add((slug(name), conditions))


def _places(config: Config) -> Iterator[tuple[Path, str]]:
    """Every event name with its place; those to be left out come last."""
    for index, name in enumerate(config.events):
        yield ("events", index), name
    for key, section in config.fact_sections().items():
        for name in section.events:
            yield (*key, "events", name), name
    for path, selectors in config.selectors():
        for index, selector in enumerate(selectors):
            for place, name in _names_of((*path, index), selector):
                yield place, name


def _names_of(path: Path, selector: Selector) -> Iterator[tuple[Path, str]]:
    """Its names with their places; a name that stands alone may be written as nothing but that."""
    alone = len(selector.event) == 1 and not selector.where
    for number, name in enumerate(selector.event):
        yield path if alone else (*path, "event", number), name


def _names_that_say_nothing(config: Config) -> Iterator[Finding]:
    for place, name in _places(config):
        if not says_something(name):
            yield Finding(place, f"found {shown(name)}, expected a name with a letter, digit or symbol")
        elif slug(name) == "other":
            yield Finding(place, f"found {shown(name)}, but `other` stands for all events not named")
    for name, breakdown in config.breakdowns.items():
        for index, value in enumerate(breakdown.values):
            if not says_something(value):
                yield Finding(
                    ("breakdowns", name, "values", index),
                    f"found {shown(value)}, expected a value with a letter, digit or symbol",
                )


def _names_that_are_one(config: Config) -> Iterator[Finding]:
    """Unlike names with one slug would be counted as one; `Order Completed` and `order_completed` are meant to be."""
    first: dict[str, str] = {}
    for place, name in _places(config):
        other = first.setdefault(slug(name), name)
        if _plainly(name) != _plainly(other) and says_something(name):
            yield Finding(place, f"{shown(name)} cannot be told from {shown(other)}: both are `{slug(name)}`")


def _names_of_steps(config: Config) -> Iterator[Finding]:
    """The first alternative alone names a step, by something that can be published."""
    for name, funnel in config.funnels.items():
        for index, step in enumerate(funnel.steps):
            for number, alternative in enumerate(step):
                place: Path = ("funnels", name, "steps", index, number, "as")
                if alternative.as_ is None:
                    continue
                if number:
                    yield Finding(place, "only the first alternative names the step: move this there", at_key=True)
                elif not says_something(alternative.as_):
                    yield Finding(
                        place, f"found {shown(alternative.as_)}, expected a name with a letter, digit or symbol"
                    )


def _funnels_that_nobody_gets_through(config: Config) -> Iterator[Finding]:
    """Options that contradict each other or the steps."""
    for name, funnel in config.funnels.items():
        place: Path = ("funnels", name)
        if funnel.order == "strict" and funnel.reentry == "latest":
            yield Finding(
                (*place, "reentry"),
                "found latest with order strict, where repeating the first step ends the attempt and begins a new one:"
                " leave it out",
                because_of=[(*place, "order")],
            )
        for index, step in enumerate(funnel.steps[1:], 1):
            if all(_ends(funnel, alternative.selection()) for alternative in step):
                yield Finding(
                    (*place, "exclude"),
                    f"every event of step {index + 1} is one of these, and ends the attempt before it counts as a step",
                    because_of=[(*place, "steps", index)],
                )


def _ends(funnel: Funnel, selection: Selection) -> bool:
    """Whether each event of one of the names chosen is an exclusion."""
    return all(
        any(_covers(selector.selection(), (frozenset({name}), selection[1])) for selector in funnel.exclude)
        for name in selection[0] or ()
    )


def _plainly(name: str) -> str:
    """`name` without what nobody tells names apart by: case, and how words are set apart."""
    return re.sub(r"[\s_-]+", "", unicodedata.normalize("NFKC", name).casefold())


def _too_many_names(config: Config) -> Iterator[Finding]:
    named = len(config.vocabulary()) - 1
    if named > MAX_NAMES:
        yield Finding((), f"{named} event names are told apart, at most {MAX_NAMES} can be")
        return
    asked = config.asked_of_names()
    conditions = len({condition for some in asked.values() for condition in some})
    most = max(asked, key=lambda name: len(asked[name]))
    if conditions > MAX_CONDITIONS:
        yield Finding(
            _last_where(config),
            f"found {conditions} different conditions (`where`) in the whole file, expected at most {MAX_CONDITIONS}:"
            " list values that count alike in one condition, or send such events under names of their own",
        )
    elif sum(1 << len(some) for some in asked.values()) > MAX_CODES:
        yield Finding(
            _last_where(config, most),
            f"found {len(asked[most])} different conditions (`where`) on {most}, and each doubles the kinds of events"
            f" told apart, which can be {MAX_CODES:,}: list values that count alike in one condition, or send such"
            " events under names of their own",
        )


def _last_where(config: Config, name: str | None = None) -> Path:
    """The last condition, of those on events of one name if it is given; () where all conditions are the program's."""
    places: list[Path] = [
        (*path, index, "where")
        for path, selectors in config.selectors()
        for index, selector in enumerate(selectors)
        if selector.where and (name is None or name in map(slug, selector.event))
    ]
    return places[-1] if places else ()


def _excluded_but_wanted(config: Config) -> Iterator[Finding]:
    wanted: list[tuple[str, Selection]] = [
        (f"events.{index}", (frozenset({slug(name)}), ())) for index, name in enumerate(config.events)
    ]
    for key, section in config.fact_sections().items():
        wanted.append((".".join((*key, "events")), (frozenset(map(slug, section.events)), ())))
    for path, selectors in config.selectors():
        if path[0] not in ("exclude", "presence"):
            wanted += [(".".join(map(str, path)), selector.selection()) for selector in selectors]
    for index, selector in enumerate(config.exclude.events):
        for name in selector.event:
            for place, selection in wanted:
                if _covers((frozenset({slug(name)}), selector.selection()[1]), selection):
                    yield Finding(("exclude", "events", index), f"{shown(name)} is left out here but wanted in {place}")
                    break


def _covers(excluded: Selection, wanted: Selection) -> bool:
    """Whether no event of one of the names is left of those wanted."""
    shared = excluded[0] is None or wanted[0] is None or excluded[0] & wanted[0]
    return bool(shared) and all(
        any(condition.field == further.field and condition.values >= further.values for further in wanted[1])
        for condition in excluded[1]
    )


def _windows_that_are_none(config: Config) -> Iterator[Finding]:
    for key, chosen in (("ratio_windows", config.ratio_windows), ("long_windows", config.long_windows)):
        missing = [format_duration(window) for window in chosen if window not in config.windows]
        if missing:
            yield Finding(
                (key,),
                f"{', '.join(missing)} must also be listed in windows"
                f" ({', '.join(format_duration(window) for window in config.windows)})",
                because_of=[("windows",)],
            )


def _windows_of_no_whole_days(config: Config) -> Iterator[Finding]:
    broken = ", ".join(format_duration(window) for window in config.long_windows if window % DAY_MS)
    if broken and config.retention is not None and config.retention.mode == "calendar":
        yield Finding(
            ("long_windows",),
            f"found {broken}, expected whole days, for retention by calendar counts dates",
            because_of=[("retention", "mode")],
        )
    if broken and config.spend is not None:
        yield Finding(
            ("long_windows",),
            f"found {broken}, expected whole days, for what is spent is known by the day",
            because_of=[("spend",)],
        )


def _keys_that_are_one(place: Path, keys: Iterable[str]) -> Iterator[Finding]:
    """Keys of a mapping with one slug: which of their values holds would be a matter of luck."""
    first: dict[str, str] = {}
    for key in keys:
        if slug(key) in first:
            yield Finding((*place, key), f"{shown(key)} cannot be told from {shown(first[slug(key)])}", at_key=True)
        first.setdefault(slug(key), key)


def _values_that_clash(place: Path, values: Sequence[str]) -> Iterator[Finding]:
    """Of a list whose values name cells."""
    seen: dict[str, str] = {}
    for index, value in enumerate(values):
        code = slug(value)
        if code in TAKEN_SLUGS:
            yield Finding((*place, index), f"`{code}` is added by itself and cannot be listed")
        elif not says_something(value):
            yield Finding((*place, index), f"found {shown(value)}, expected a value with a letter, digit or symbol")
        elif code in seen:
            yield Finding((*place, index), f"{shown(value)} cannot be told from {shown(seen[code])}: both are `{code}`")
        seen.setdefault(code, value)


def _plans_that_clash(config: Config) -> Iterator[Finding]:
    section = config.subscriptions
    if section is None:
        return
    seen: dict[str, str] = {}
    for index, plan in enumerate(section.plans):
        place: Path = ("subscriptions", "plans", index)
        code = slug(plan)
        if code in TAKEN_SLUGS:
            yield Finding(place, f"`{code}` is added by itself and cannot be listed")
        elif not says_something(plan):
            yield Finding(place, f"found {shown(plan)}, expected a plan with a letter, digit or symbol")
        elif code in seen:
            yield Finding(place, f"{shown(plan)} cannot be told from {shown(seen[code])}: both are `{code}`")
        seen.setdefault(code, plan)
    for index, (one, other) in enumerate(section.moves or ()):
        for side, plan in enumerate((one, other)):
            if slug(plan) not in seen:
                yield Finding(
                    ("subscriptions", "moves", index, side),
                    f"found {shown(plan)}, expected one of the plans",
                    closest(plan, section.plans),
                    because_of=[("subscriptions", "plans")],
                )
        if slug(one) == slug(other):
            yield Finding(("subscriptions", "moves", index), f"{shown(one)} to itself is no move")
    yield from _keys_that_are_one(("subscriptions", "statuses"), section.statuses)


def _money_that_clashes(config: Config) -> Iterator[Finding]:
    """Spending is compared with what customers bring, so that both have to be in one currency."""
    earning = {"orders": config.orders, "subscriptions": config.subscriptions}
    for name, section in earning.items():
        if config.spend is not None and section is not None and section.currency != config.spend_currency:
            yield Finding(
                ("spend", "currency"),
                f"found {config.spend_currency}, but {name} are in {section.currency}, and what a customer costs is"
                " compared with what one brings: convert one of them before it is sent",
                because_of=[(name, "currency")],
            )
    wanted = config.acquisition.customers
    if wanted is not None and earning[wanted] is None:
        yield Finding(("acquisition", "customers"), f"found {wanted}, which are not measured: add the part `{wanted}:`")
