"""What can be wrong with a config that only its catalogue knows: too many cells, and nodes of the tree without one."""

from __future__ import annotations

from collections.abc import Iterator

from flows.config.limits import Limits
from flows.config.mistakes import ConfigErrors, Finding, Mistake, shown
from flows.config.model import Config
from flows.metrics.catalogue import catalogue
from flows.metrics.cells import nearest
from flows.metrics.cost import too_many_cells


def unknown_metrics(config: Config) -> Iterator[Finding]:
    """Nodes of the metric tree that stand for a cell which `config` does not publish, each with the nearest cells."""
    if not config.tree:
        return
    listed = catalogue(config.model_copy(update={"tree": {}}))
    names = [*(cell.name for cell in listed.cells if cell.metric), *(cell.name for cell in listed.derived)]
    known = set(names)
    for name, node in config.tree.items():
        if node.metric not in known:
            near = nearest(node.metric, [one for one in names if "{" not in one or "{" in node.metric])
            there = f"such as {', '.join(near)}" if near else "that `tidegauge schema cells` lists"
            yield Finding(
                ("tree", name, "metric"),
                f"found {shown(node.metric)}, which this config does not publish: name a cell {there}",
            )


def check_cells(config: Config, limits: Limits) -> None:
    """Raise ConfigErrors for a config whose cells cannot be published, or are not there."""
    if problem := too_many_cells(config, limits):
        raise ConfigErrors([Mistake("config", "", problem)])
    if unknown := [*unknown_metrics(config)]:
        raise ConfigErrors([Mistake("config", ".".join(map(str, one.path)), one.message) for one in unknown])
