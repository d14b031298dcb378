"""The live page of a quiet product in a real browser: zeros, numbers without a value, and a job that stopped."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from flows.web.server import LivePage
from tests.publish.test_redis import Run, snapshot
from tests.web.conftest import Window, cells_of

CHANNELS = ("paid_search", "email", "direct")


def quiet(**changed: float) -> dict[str, int | float]:
    """Numbers of the shop of which nothing happened but what is `changed`; derived ones have no value."""
    nothing = {name: 0 for name, value in cells_of().items() if isinstance(value, int)}
    return nothing | changed


def bars_of(page: Page, title: str) -> list[str]:
    """The lines of the card with that title that can be seen."""
    card = page.locator("section.card", has=page.get_by_role("heading", name=title, exact=True))
    lines: list[str] = card.locator(".bars > li").evaluate_all(
        "all => all.filter((one) => !one.hidden).map((one) => one.textContent.replaceAll('?', ''))"
    )
    return lines


def test_a_long_list_leaves_out_zeros_and_says_how_many(run: Run, served: LivePage, window: Window) -> None:
    users = {f"users.new.30d{{first_channel={channel}}}": 7 * n for n, channel in enumerate(CHANNELS, 1)}
    run.publish(snapshot(quiet(**users, **{"users.new.30d": 42})))
    page = window.open(served)
    assert bars_of(page, "New users by first channel") == ["paid search7", "email14", "direct21", "18 more: 0"]
    assert bars_of(page, "Events by name, last 1h") == ["19 more: 0"]
    assert "unknown0" in bars_of(page, "Active users by platform, last 1h")  # a short list has them
    assert window.wrong == []


def test_a_value_that_is_missing_is_not_said_to_be_zero(run: Run, served: LivePage, window: Window) -> None:
    run.publish(snapshot(quiet(**{"cac.30d{channel=email}": 450})))
    page = window.open(served)
    assert bars_of(page, "Cost by channel") == ["email€4.50", "20 more have no value"]


def test_a_stock_that_did_not_move_is_drawn_as_it_was(run: Run, served: LivePage, window: Window) -> None:
    run.publish(snapshot(quiet(mrr=2_659_500)))
    page = window.open(served)
    card = page.locator("section.card", has=page.get_by_role("heading", name="MRR gained and lost, last 1h"))
    widths = card.locator("rect").evaluate_all("all => all.map((one) => one.getAttribute('width'))")
    assert widths == ["100.000%", *5 * ["0.000%"], "100.000%"]
    assert window.wrong == []  # as a width that is no number would be


def test_a_number_says_the_window_that_the_reader_chose(run: Run, served: LivePage, window: Window) -> None:
    run.publish(snapshot(quiet()))
    page = window.open(served)
    fact = page.locator("dt", has_text="Tickets per 1,000 active users")
    expect(fact.locator("small")).to_have_text("· 1h")
    page.get_by_role("radio", name="24h").check(force=True)
    expect(fact.locator("small")).to_have_text("· 24h")


def test_an_event_that_is_rare_has_a_rate_that_is_not_zero(run: Run, served: LivePage, window: Window) -> None:
    run.publish(snapshot(quiet(**{"events.ticket_created.1h": 2, "events.product_viewed.1h": 600})))
    page = window.open(served)
    assert bars_of(page, "Events, last 1h") == ["product viewed10.0 / min", "ticket created0.03 / min", "17 more: 0"]


def test_numbers_that_stand_still_are_said_to_in_words(run: Run, served: LivePage, window: Window) -> None:
    run.publish(snapshot(quiet()))
    page = window.open(served)
    colour = "getComputedStyle(document.getElementById('state')).backgroundColor"
    live = page.evaluate(colour)
    expect(page.locator("#reason")).to_have_text("")
    expect(page.locator("body[data-state=stale] #reason")).to_contain_text("stand still", timeout=30_000)
    assert page.evaluate(colour) != live
