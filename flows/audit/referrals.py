"""METRICS.md 5.7: referrals, by counting events."""

from __future__ import annotations

from flows.audit.cells import Cells, long_windows, put_ratio
from flows.audit.clock import ordered_window_holds
from flows.audit.records import Event
from flows.audit.selectors import chosen
from flows.config.model import Config


def referral_cells(ordered: list[Event], config: Config, watermark_ms: int, lifecycle: Cells) -> Cells:
    """METRICS.md 5.7: "`referrals.invites.<l>`, `referrals.joins.<l>`; derived `invites_per_user.<l>` = invites /
    users.new, `invite_conversion.<l>` = joins / invites, `k_factor.<l>` = joins / users.new".
    """
    if config.referrals is None:
        return {}
    cells: Cells = {}
    for name, window in long_windows(config):
        held = [event for event in ordered if ordered_window_holds(event.ts, window, watermark_ms)]
        invites = sum(chosen(config.referrals.invites, event) for event in held)
        joins = sum(chosen(config.referrals.joins, event) for event in held)
        new = int(lifecycle[f"users.new.{name}"])
        cells |= {f"referrals.invites.{name}": invites, f"referrals.joins.{name}": joins}
        put_ratio(cells, f"invites_per_user.{name}", invites, new)
        put_ratio(cells, f"invite_conversion.{name}", joins, invites)
        put_ratio(cells, f"k_factor.{name}", joins, new)
    return cells
