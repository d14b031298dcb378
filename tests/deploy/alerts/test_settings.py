"""The `alerts:` part of the user's file."""

from __future__ import annotations

from pathlib import Path

from flows.config.alerts import Alerts
from flows.config.file import load_alerts, read
from flows.metrics.parts import definitions


def mistakes(file: Path, text: str) -> list[str]:
    """What is said of a file with this text."""
    file.write_text(text, encoding="utf-8")
    return [str(mistake).removeprefix(f"{file}:") for mistake in read(file, environment={}).mistakes]


def test_without_the_part_all_alerts_have_their_defaults(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    assert load_alerts(tmp_path / "empty.yaml")[1] == Alerts()


def test_every_mistake_is_told_with_its_place(tmp_path: Path) -> None:
    text = """\
key_actions: [Order Completed]
funnels: {checkout: {window: 1h, steps: [Product Viewed, Order Completed]}}
alerts:
  bounce: {rise: 20}
  lasting: 5
  conversion: {funnels: {checkot: {drop: 0.1}}}
  key_actions: {events: [Order Completed, Signed Up]}
"""
    assert mistakes(tmp_path / "shop.yaml", text) == [
        "4:18: alerts.bounce.rise: found 20, expected less than 1",
        "5:12: alerts.lasting: found 5, expected a duration such as 10s, 30m, 1h or 30d; did you mean 5s or 5m?",
        "6:26: alerts.conversion.funnels.checkot: there is no such funnel; did you mean checkout?",
        "7:43: alerts.key_actions.events[1]: found 'Signed Up', which is not counted by name: add it to events",
    ]


def test_alerts_change_no_number_so_a_checkpoint_does_not_depend_on_them(tmp_path: Path) -> None:
    plain, watched = tmp_path / "plain.yaml", tmp_path / "watched.yaml"
    plain.write_text("product: shop\n")
    watched.write_text("product: shop\nalerts: {bounce: null, lasting: 1m}\n")
    (before, _), (after, alerts) = load_alerts(plain), load_alerts(watched)
    assert definitions(before) == definitions(after)
    assert alerts.bounce is None
