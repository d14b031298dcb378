"""The one list of what may alert, besides the pipeline itself."""

from __future__ import annotations

from flows.config.alerts import Alerts
from flows.config.model import Config
from flows.metrics.alerts import active_users, key_actions
from flows.metrics.alerts.shapes import AnyShape
from flows.metrics.funnels import alerts as funnels
from flows.metrics.sessions import alerts as sessions
from flows.metrics.subscriptions import alerts as subscriptions

DECLARED = (
    sessions.alerts,
    funnels.alerts,
    active_users.alerts,
    key_actions.alerts,
    subscriptions.alerts,
)
"""Each gives the alerts of a family under a config and its thresholds; none for those that are off or not measured."""


def declared(config: Config, thresholds: Alerts) -> list[AnyShape]:
    """All of them, in the order of the list."""
    return [shape for alerts in DECLARED for shape in alerts(config, thresholds)]
