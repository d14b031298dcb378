"""The page of all metrics: what each number means and where it is found, in the words of the catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import get_args

from flows.config.model import BrokenDown, Config, format_duration
from flows.config.sessions import Bounce
from flows.messages.snapshot import ACCOUNTS
from flows.metrics.catalogue import catalogue
from flows.metrics.cells import Cell, Derived, Metric
from flows.metrics.frameworks import FRAMEWORKS, Headings
from flows.metrics.histograms import LONG_BOUNDS_S
from flows.metrics.top import REST
from flows.process.health import Health
from flows.publish.prometheus.health import health_families
from flows.publish.prometheus.samples import PREFIX, tally_families

EVERYTHING = Config.model_validate(
    {
        **{key: {} for key in Config.keys_of_facts()},
        "sessions": {"definitions": get_args(Bounce)},
        "goals": {"name": "first"},
        "features": {"name": "second"},
        "funnels": {"name": {"window": "1h", "steps": ["first", "second"], "exclude": ["third"]}},
        "retention": {},
        "milestones": {"name": {"from": "first", "to": "second", "within": "1h"}},
        "breakdowns": {
            "breakdown": {
                "field": "context.field",
                "values": ["value"],
                "of": get_args(BrokenDown),
            },
            "first_channel": {"computed": "traffic", "scope": "first", "of": ["users"]},
        },
        "surveys": {name: {"kind": name} for name in ("nps", "csat", "ces")},
        "feedback": {"kinds": ["kind"], "requests": ["feature"]},
        "subscriptions": {"plans": ["from", "to"], "moves": [["from", "to"]]},
        "tickets": {},
        "economics": {},
        "referrals": {"invites": "Invite Sent", "joins": "Signed Up"},
        "top": {"name": {"field": "context.field"}},
        "tree": {
            "focus": {"metric": "mrr", "level": "focus", "class": "business", "target": 1},
            "node": {
                "metric": "users.alive",
                "level": 1,
                "drives": "focus",
                "class": "reach",
                "from": 0,
                "target": 1,
                "since": "2026-01-01",
                "by": "2026-01-01",
            },
        },
    }
)
"""A config under which every metric has a cell with everything that a cell's name can have."""

INTRODUCTION = """\
# Every number

<!-- Generated: `make docs` writes this file, a test says when it is stale. Change the catalogue, not this page. -->

Every number that Tidegauge publishes, from the catalogue in the code. To get a number's field in Redis, fill in the
`<angle brackets>` of its name:

| placeholder | stands for |
|---|---|
| `<window>` | one of the config's `windows` ({windows}), trailing, in 60 panes aligned to the epoch |
| `<ratio_window>` | one of its `ratio_windows` ({ratio_windows}) |
| `<long_window>` | one of its `long_windows` ({long_windows}) |
| `<list_window>` | one of the windows of top lists: 5m, 1h, 24h |
| `<period>` | one of its `windows`, or `total`: since the beginning |
| `{{…}}` | nothing, for the total; or a breakdown and one of its values, `other` or `unknown`: `{{platform=ios}}` |
| `<event>`, `<name>` | an event; a goal, feature, funnel, milestone or top list, as slugs |
| `<nn_step>` | a funnel's step with its number, as a slug: `02_product_added` |
| `<definition>` | one of the config's `sessions.definitions` of a bounce |
| `<k>` | active days: 1 to 7, or to 30 |
| `d<N>` | a day of retention: `d7` |
| `<from>`, `<to>` | plans of subscriptions, as slugs |
| `<s>` | a score on the survey's scale |
| `<kind>`, `<feature>` | what the config's `feedback` lists, and `other`; of LTV `subscription`, `orders`, `observed` |
| `<category>` | of spending: `marketing`, `sales`, `other` |
| `<node>` | a node of the metric tree |
| `<bound>` | seconds: 0 5 10 30 60 180 600 1800 3600 14400; of milestones and tickets {bounds}; counts are cumulative |

A *derived* number is computed from published ones, and is absent if its denominator is 0. In Prometheus, every
series also has the label `product` and one for its breakdown, an absent number has no series, and times
are in seconds. `tidegauge schema cells --config FILE` lists every cell and series of a config.
"""


def page(config: Config | None = None) -> str:
    """Markdown for all metrics that `config` publishes; without one, for all that there are."""
    config = config or EVERYTHING
    kinds = {name: getattr(config, name) for name in ("windows", "ratio_windows", "long_windows")}
    durations = {name: _durations(windows) for name, windows in kinds.items()}
    parts = [INTRODUCTION.format(**durations, bounds=" ".join(map(str, LONG_BOUNDS_S)))]
    described = sorted(_described(config), key=lambda row: row[0])  # stable: metrics keep their order
    for (_, panel), rows in groupby(described, key=lambda row: row[0]):
        parts.append(f"\n## {panel}\n\n" + _table(COLUMNS, (row[1:] for row in rows)))
    parts.append(HEADINGS + "".join(_without_headings(config)))
    parts.append(LISTS)
    parts.append(MINUTES + "".join(f"* `{field}`\n" for field in _fields(catalogue(config).minute_fields)))
    days = [field.name for field in catalogue(config).days.fields]
    parts.append(DAYS + "".join(f"* `{field}`\n" for field in _fields(days)))
    parts.append(ACCOUNTING + "".join(f"* `accounting.{account}`\n" for account in ACCOUNTS))
    parts.append(HEALTH + _table(("family", "what it is", "type"), _health(config)))
    return "".join(parts)


COLUMNS = ("number", "what it is", "unit", "Prometheus", "AARRR, HEART")
HEADINGS = """
## AARRR and HEART

The last column says where a number stands in two frameworks. AARRR follows a user through the product: acquisition,
activation, retention, referral, revenue (D. McClure, Startup Metrics for Pirates, 2007). HEART says how well the
product serves its users: happiness, engagement, adoption, retention, task success (K. Rodden, H. Hutchinson and X. Fu,
Measuring the User Experience on a Large Scale, CHI 2010). Two dashboards, `tidegauge-aarrr` and `tidegauge-heart`, show
the numbers under these headings. A number without a heading has a reason:

"""
LISTS = """
## Values of top lists

The values that count most are in sorted sets, `tidegauge:v1:{<product>}:top:<name>:<list_window>`: member = value,
score = the events of the window that show it, or the distinct users who did. Prometheus has them as
`tidegauge_top{list,value,window}` where the config says `export: true`.
[What a value is](../deploy/NUMBERS.md#top-lists), and what finds no room.
"""
MINUTES = """
## Minutes

The final numbers of each closed minute, in separate hashes (`tidegauge:v1:{<product>}:minute:<YYYY-MM-DDTHH:MM>Z`):

"""
DAYS = """
## Days

The final numbers of each closed day in the product's time zone, in separate hashes
(`tidegauge:v1:{<product>}:day:<YYYY-MM-DD>`), for 400 days. An event counts on its own day; one that comes when its day
is closed counts on none. `active_users` and `goal.<name>.users` are distinct users of the day; `mrr` and `customers`
stand as at its end. `retention.d<N>.cohort` are the users who started on that date, `retention.d<N>.returned` those of
them who returned on day N; both are there once day N is over for all of them:

"""
ACCOUNTING = """
## Accounting

What became of the records since the beginning, in total and per partition (`accounting.consumed{partition=3}`):
consumed = accepted + rejected + duplicate + excluded, accepted = on_time + late,
late = late_in_order + late_out_of_order.

"""
HEALTH = """
## Health, in Prometheus only

"""


def _described(config: Config) -> Iterator[tuple[tuple[int, str], str, str, str, str, str]]:
    """((place of the panel, panel), field, help, unit, series, headings) of each metric."""
    listed = catalogue(config)
    cells: list[Cell | Derived] = [*listed.cells, *listed.derived]
    kinds = _kinds(cells)
    panels: dict[str, int] = {}
    for metric in listed.metrics():
        place = panels.setdefault(metric.panel, len(panels))
        own = [cell for cell in cells if cell.metric is not None and cell.metric.name == metric.name]
        units = {cell.metric.unit for cell in own if cell.metric is not None}
        derived = " *(derived)*" if isinstance(own[0], Derived) else ""
        yield (
            (place, metric.panel),
            f"`{_field(metric, own, config)}`",
            _prose(metric.help) + derived,
            metric.unit if len(units) == 1 else "that of its cell",
            _series(metric, own, kinds),
            ", ".join(_heading(listed.headings.get(metric.name), framework) for framework in FRAMEWORKS),
        )


def _heading(headings: Headings | None, framework: str) -> str:
    return (headings and headings.under(framework)) or "-"


def _without_headings(config: Config) -> Iterator[str]:
    """The reasons, each with its metrics."""
    found: dict[str, list[str]] = {}
    for name, headings in catalogue(config).headings.items():
        if headings.why:
            found.setdefault(headings.why, []).append(f"`{name}`")
    for why, names in found.items():
        yield f"* {', '.join(names)}: {why}\n"


def _field(metric: Metric, cells: list[Cell | Derived], config: Config) -> str:
    """The pattern of the metric's fields in Redis."""
    plain = [cell.name.partition("{")[0] for cell in cells]
    ends = {name.rpartition(".")[2] for name in plain}
    field = metric.name
    windows = {format_duration(window) for window in config.windows}
    kinds = {
        "window": windows,
        "ratio_window": {format_duration(window) for window in config.ratio_windows},
        "long_window": {format_duration(window) for window in config.long_windows},
        "period": windows | {"total"},
    }
    for placeholder, names in kinds.items():
        if ends == names:
            field += f".<{placeholder}>"
            break
    if metric is REST:
        field = f"{metric.name}.<list_window>"
    if any("{" in cell.name for cell in cells):
        field += "{…}"
    return field


def _kinds(cells: Iterable[Cell | Derived]) -> set[str]:
    """Labels besides the window that tell metrics of one family apart: each has values of its own."""
    found: dict[tuple[str, str], dict[str, set[str]]] = {}
    for cell in cells:
        if cell.metric is not None and cell.metric.prometheus is not None:
            for label, value in cell.labels.items():
                by_metric = found.setdefault((cell.metric.prometheus, label), {})
                by_metric.setdefault(cell.metric.name, set()).add(value)
    return {
        label
        for (_, label), by_metric in found.items()
        if label != "window" and len(by_metric) > 1 and not set.intersection(*by_metric.values())
    }


def _series(metric: Metric, cells: list[Cell | Derived], kinds: set[str]) -> str:
    """The Prometheus family, with its labels: `name="value"` where all series of the metric have that value."""
    if metric.prometheus is None:
        return ""
    values: dict[str, set[str]] = {}
    for cell in cells:
        for label, value in cell.labels.items():
            values.setdefault(label, set()).add(value)
    single = [label for label in values if label in kinds and len(values[label]) == 1]
    fixed = [f'{label}="{values.pop(label).pop()}"' for label in single]
    split = {label for cell in cells for label in cell.group}
    labels = ",".join(fixed + [label for label in values if label not in split])
    return f"`{PREFIX}{metric.prometheus}{{{labels}}}`" if labels else f"`{PREFIX}{metric.prometheus}`"


def _fields(names: Sequence[str]) -> list[str]:
    """Fields of a minute or day, those of things with names once for all."""
    fields = [re.sub(r"^(funnel|goal)\.[^.]+\.", r"\1.<name>.", field) for field in names]
    return list(dict.fromkeys(re.sub(r"^retention\.d\d+\.", "retention.d<N>.", field) for field in fields))


def _health(config: Config) -> Iterator[tuple[str, str, str]]:
    """(family, help, type) of everything else on the page for Prometheus."""
    tallies = tally_families(catalogue(config).tallies, None, None)
    for family in (*tallies, *health_families(None, None, Health(redis_configured=True).read(), "product")):
        name = {"counter": "_total", "info": "_info"}.get(family.type, "")
        yield f"`{family.name}{name}`", _prose(family.documentation), family.type


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [headings, tuple("-" for _ in headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _prose(text: str) -> str:
    """`text` so that Markdown shows it as it is, in a table, too."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def _durations(windows: Iterable[int]) -> str:
    return " ".join(format_duration(window) for window in windows)
