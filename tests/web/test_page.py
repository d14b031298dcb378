"""The live page in a real browser: what it shows is what Redis holds, when it moves, and what it never does."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from http.client import HTTPConnection
from typing import Any

import pytest
import redis
from playwright.sync_api import Browser, Page, expect

from flows.client.reader import LIVE_MS
from flows.config.model import Config
from flows.metrics.catalogue import catalogue
from flows.web.hub import MOST_PAGES
from flows.web.layout import layout
from flows.web.server import LivePage
from tests.publish.test_redis import Run, T, fields_of, snapshot
from tests.services import RedisServer, wait_until
from tests.web.conftest import CONFIG, LISTED, NUMBERS, Window, cells_of, publish

Serve = Callable[..., LivePage]
MINUTE = 60_000
END = T - MINUTE  # the watermark is 10 s behind T, so this minute is open
PHONE = {"width": 390, "height": 844}


def live_key(client: redis.Redis) -> str:
    (key,) = client.keys("*:live")
    return str(key)


@pytest.fixture
def client(shared_redis: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis(port=shared_redis.port, decode_responses=True) as connection:
        yield connection


# ------------------------------------------------------------------------------------------ what is shown


def rounded(value: Decimal, digits: int) -> str:
    return f"{value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP):,}"


def in_words(form: str, text: str | None) -> str:
    """A value of Redis as the page has to show it: the rules of format.js once more, in exact decimals."""
    if text is None:
        return "–"
    value = Decimal(float(text))
    if form == "share":
        return f"{rounded(100 * value, 1)}%"
    if form == "track":
        return "on track" if value else "behind"
    if form == "money":
        major = value / 100
        sign = "-" if major < 0 else ""
        return f"{sign}€{rounded(abs(major), 0 if abs(major) >= 1000 else 2)}"
    if form == "ms":
        seconds = value / 1000
        for limit, unit, name, digits in (
            (10, 1, "s", 1),
            (120, 1, "s", 0),
            (7200, 60, "min", 1),
            (172_800, 3600, "h", 1),
        ):
            if seconds < limit:
                return f"{rounded(seconds / unit, digits)} {name}"
        return f"{rounded(seconds / 86_400, 1)} d"
    return rounded(value, 2 if form == "decimal" else 0)


def shown(page: Page) -> list[tuple[str, str]]:
    """(cell, text) of every number on the page."""
    found: list[list[str]] = page.eval_on_selector_all(
        "[data-cell]", "all => all.map((one) => [one.dataset.cell, one.textContent])"
    )
    return [(cell, text) for cell, text in found]


def test_every_number_on_the_page_is_the_one_in_redis_whichever_window_is_chosen(
    run: Run, served: LivePage, window: Window, client: redis.Redis
) -> None:
    publish(run)
    page = window.open(served)
    told = layout(CONFIG, LISTED)
    forms = {cell: row.format for row in told.rows for cell in row.cells.values()}
    found: dict[str, str] = {}
    for chosen in told.windows:
        page.get_by_role("radio", name=chosen).check(force=True)
        page.wait_for_function(
            "chosen => document.querySelector('.tile .name small').textContent.includes(chosen)", arg=chosen
        )
        fields = fields_of(client, live_key(client))
        for breakdown in told.breakdowns:
            choose_everywhere(page, breakdown)
            wrong = [(cell, text) for cell, text in shown(page) if text != in_words(forms[cell], fields.get(cell))]
            assert wrong == []
            found |= dict(shown(page))
        found |= buckets_of(page, fields)
        assert_rates(page, fields, told.windows[chosen])
    off = {one.interval.cells[window] for one in told.rows if one.interval for window in one.interval.cells}
    of = {cell for one in told.rows if one.of for cell in one.of.values()}
    assert found.keys() >= set(told.cells) - off - of
    assert window.wrong == []


def choose_everywhere(page: Page, breakdown: str) -> None:
    """Let every card that can be split by it be."""
    for select in page.locator("select").all():
        if select.locator(f"option[value='{breakdown}']").count():
            select.select_option(breakdown)


def buckets_of(page: Page, fields: dict[str, str]) -> dict[str, str]:
    """The bars of histograms by their cells, each held to what its cell has beyond the one before."""
    bars: list[list[str]] = page.eval_on_selector_all(
        "[data-up-to]", "all => all.map((one) => [one.dataset.upTo, one.textContent])"
    )
    below = 0
    for cell, text in bars:
        assert text == f"{int(fields[cell]) - below:,}"
        below = int(fields[cell])
    return {str(cell): text for cell, text in bars}


def assert_rates(page: Page, fields: dict[str, str], seconds: float) -> None:
    """Each rate is its count in the window by the window's length, in the unit that the page has chosen."""
    shown: list[tuple[str, str]] = page.eval_on_selector_all(
        "[data-rate-of]", "all => all.map((one) => [one.dataset.rateOf, one.textContent])"
    )
    assert shown != []
    for cell, text in shown:
        amount, unit = text.split(" / ")
        rate = int(fields[cell]) / seconds * {"s": 1, "min": 60, "h": 3_600}[unit]
        assert float(amount.replace(",", "")) == pytest.approx(rate, rel=0, abs=0.05 + 1e-9)  # halves go either way


def test_every_metric_of_the_catalogue_is_on_the_page() -> None:
    told = layout(CONFIG, LISTED)
    on_page = set(told.cells)
    cells = [cell for cell in NUMBERS if cell.metric and not cell.group]
    missing = {cell.metric.name for cell in cells if cell.metric} - {
        cell.metric.name for cell in cells if cell.metric and cell.name in on_page
    }
    assert missing == set()


def test_a_node_of_the_tree_says_how_far_it_is_and_whether_that_is_far_enough(
    run: Run, served: LivePage, window: Window, client: redis.Redis
) -> None:
    publish(run)
    page = window.open(served)
    revenue, weekly, bounces, *_ = page.locator(".node").all()
    assert "Level 1: drives revenue · active_users.7d · product" in weekly.inner_text()
    assert "Level 1: drives revenue · bounce_rate.24h · by 2027-12-31 · landing pages" in bounces.inner_text()
    fields = fields_of(client, live_key(client))
    for node, name in ((revenue, "revenue"), (bounces, "bounces")):
        on_track = fields[f"tree.{name}.on_track"] == "1"
        assert ("on track" if on_track else "behind") in node.inner_text()
        assert node.locator(".good").count() == on_track
    share = in_words("share", fields["tree.weekly.attainment"])
    assert f"target 60,000 · attained {share}" in " ".join(weekly.inner_text().split())
    weekly.get_by_role("button", name="What is weekly?").click()
    page.wait_for_selector("#why:popover-open")
    assert "What the node weekly of the metric tree is now." in page.locator("#why").inner_text()
    assert "active_users.7d" in page.locator("#why").inner_text()
    assert window.wrong == []


def test_the_page_moves_by_itself_within_a_second_of_a_publish(run: Run, served: LivePage, window: Window) -> None:
    publish(run)
    page = window.open(served)
    took = []
    for seed in (2, 3, 4):
        cells = publish(run, seed)
        published_s = time.monotonic()
        expect(page.locator("[data-cell='sessions.open']").first).to_have_text(f"{cells['sessions.open']:,}")
        took.append(time.monotonic() - published_s)
    assert sorted(took)[1] < 1, "the median, since a busy machine may stand still once"


def test_the_header_says_what_the_numbers_are_of(run: Run, served: LivePage, window: Window) -> None:
    publish(run)
    page = window.open(served)
    assert page.inner_text("#product").lower() == "shop"
    assert page.inner_text("#as-of") == "2023-11-14 22:13:00"
    assert page.inner_text("#watermark") == "2023-11-14 22:12:50"
    assert page.inner_text("#state-text") == "live"


def test_the_footer_accounts_for_every_record(run: Run, served: LivePage, window: Window, client: redis.Redis) -> None:
    publish(run)
    page = window.open(served)
    consumed = int(client.hget(live_key(client), "accounting.consumed") or 0)
    text = page.inner_text("#accounting")
    assert text.startswith(f"{consumed:,} records read")
    assert text.endswith("All accounted for.")
    run.publish(snapshot({}, number=2, accounting={0: {"consumed": 12, "accepted": 9, "rejected.not_json": 2}}))
    expect(page.locator("#accounting")).to_contain_text("rejected (not json 2). 1 RECORDS UNACCOUNTED FOR.")


def test_partial_numbers_are_marked(run: Run, served: LivePage, window: Window) -> None:
    publish(run, partial=["sessions.started.1h"])
    page = window.open(served)
    assert page.eval_on_selector_all("[data-partial] [data-cell]", "all => all.map((one) => one.dataset.cell)") == [
        "sessions.started.1h"
    ]


# ------------------------------------------------------------------------------------------ the day before


def two_hours(**counts: tuple[int, int]) -> dict[int, dict[str, int]]:
    """The last two closed hours of today and of the day before: by field, its count in each minute of either."""
    return {
        END - day * 1440 * MINUTE - back * MINUTE: {name: both[day] for name, both in counts.items()}
        for day in (0, 1)
        for back in range(1, 121)
    }


def test_a_count_is_compared_exactly_with_the_same_minutes_of_the_day_before(
    run: Run, served: LivePage, window: Window
) -> None:
    publish(run, minutes=two_hours(new_users=(3, 2), active_users=(150, 100)))
    page = window.open(served)
    new = page.get_by_role("article", name="New users")
    expect(new.locator(".change")).to_have_text("▲ +50.0% vs. the day before")
    expect(new.locator(".change")).to_have_class("change good")  # as its family says
    page.get_by_role("radio", name="5m").check(force=True)
    expect(new.locator(".change")).to_have_text("10 the day before")  # too few to say more


def test_people_are_compared_by_the_minute_and_never_added_up(run: Run, served: LivePage, window: Window) -> None:
    publish(run, minutes=two_hours(active_users=(120, 160)))
    page = window.open(served)
    change = page.get_by_role("article", name="Active users").locator(".change")
    expect(change).to_have_text("▼ −25.0% last minute vs. the day before")
    page.get_by_role("radio", name="24h").check(force=True)
    expect(change).to_have_text("▼ −25.0% last minute vs. the day before")


def test_without_the_day_before_nothing_is_compared(run: Run, served: LivePage, window: Window) -> None:
    began = END - 3 * 60 * MINUTE
    minutes = {start: of for start, of in two_hours(new_users=(3, 2)).items() if start > began}
    publish(run, minutes=minutes, since={"minutes": began, "lifecycle": began})
    page = window.open(served)
    new = page.get_by_role("article", name="New users")
    expect(new.locator("figcaption")).to_have_text("each of the last 120 min")
    assert new.locator(".change").inner_text().strip() == ""


def test_the_course_is_that_of_the_minutes_by_pointer_and_by_keyboard(
    run: Run, served: LivePage, window: Window
) -> None:
    publish(run, minutes=two_hours(active_users=(120, 160), events=(7, 9)))
    page = window.open(served)
    output = page.locator("#course output")
    expect(output).to_have_text("22:11: 120, the day before 160")
    page.locator(".plot").focus()
    page.keyboard.press("ArrowRight")
    expect(output).to_have_text("22:12: the day before 0")
    page.get_by_label("Course of").select_option("events")
    page.locator(".plot").focus()
    page.keyboard.press("PageUp")
    expect(output).to_have_text("21:12: 7, the day before 9")
    assert page.locator(".plot path.line").get_attribute("d")
    assert page.locator(".plot path.before").get_attribute("d")


# ------------------------------------------------------------------------------------------ the "?"


def test_a_question_mark_tells_how_a_number_is_made_with_values_that_move(
    run: Run, served: LivePage, window: Window
) -> None:
    cells = publish(run)
    page = window.open(served)
    page.get_by_role("button", name="What is final?").focus()
    page.keyboard.press("Enter")
    why = page.get_by_role("dialog", name="About this number")
    expect(why).to_contain_text("Bounced over closed sessions.")
    expect(why).to_contain_text("numerator / denominator")
    expect(why.locator("[data-input='sessions.closed.1h']")).to_have_text(str(cells["sessions.closed.1h"]))
    expect(why).to_contain_text("redis-cli HGET 'tidegauge:v1:{shop}:live' 'bounce_rate.1h'")
    expect(why).to_contain_text(
        'tidegauge_bounce_ratio{product="shop", stage="final", window="1h", platform="", traffic=""}'
    )
    cells = publish(run, 2)
    expect(why.locator("[data-input='sessions.closed.1h']")).to_have_text(str(cells["sessions.closed.1h"]))
    page.keyboard.press("Escape")
    expect(why).to_be_hidden()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "What is final?"


# ------------------------------------------------------------------------------------------ states


def test_numbers_without_a_publish_for_ten_seconds_are_stale_and_grey(
    run: Run, served: LivePage, window: Window, client: redis.Redis
) -> None:
    publish(run)
    page = window.open(served)
    client.pexpire(live_key(client), LIVE_MS - 5_000)
    page.wait_for_function("() => document.body.dataset.age >= 5 && document.body.dataset.state === 'live'")
    client.pexpire(live_key(client), LIVE_MS - 11_000)
    expect(page.locator("#state-text")).to_contain_text("stale: nothing published for 1")
    assert page.eval_on_selector("main", "main => getComputedStyle(main).filter") == "grayscale(1)"
    publish(run, 2)
    expect(page.locator("#state-text")).to_have_text("live")
    assert page.eval_on_selector("main", "main => getComputedStyle(main).filter") == "none"


def test_a_run_that_catches_up_and_one_without_numbers_are_told_apart(
    run: Run, served: LivePage, window: Window, client: redis.Redis
) -> None:
    publish(run, as_of_ms=T - 3_600_000, watermark_ms=T - 3_610_000)
    page = window.open(served, "behind")
    assert page.inner_text("#state-text") == "catching up: numbers are 60.0 min old"
    client.delete(live_key(client))
    expect(page.locator("#state-text")).to_have_text("no numbers yet")
    assert {text for _, text in shown(page)} == {"–"}


def test_it_says_that_redis_does_not_answer_and_goes_on_when_it_does(
    redis_server: RedisServer, serve: Serve, window: Window
) -> None:
    served = serve(url=redis_server.url)
    page = window.open(served, "absent")
    redis_server.stop()
    expect(page.locator("#state-text")).to_have_text("Redis does not answer", timeout=10_000)
    expect(page.locator("#reason")).to_contain_text(f"Redis at 127.0.0.1:{redis_server.port} cannot be reached")
    redis_server.restart()
    expect(page.locator("#state-text")).to_have_text("no numbers yet", timeout=10_000)
    expect(page.locator("#reason")).to_contain_text("Nothing is published for this product")


def test_it_finds_back_when_the_connection_was_lost(run: Run, serve: Serve, window: Window) -> None:
    publish(run)
    served = serve()
    address = served.url.removeprefix("http://").rstrip("/")
    page = window.open(served)
    served.close()
    expect(page.locator("#state-text")).to_contain_text("connection lost")
    serve(address=address)
    cells = publish(run, 2)
    expect(page.locator("#state-text")).to_have_text("live", timeout=10_000)
    expect(page.locator("[data-cell='mrr']").first).to_have_text(in_words("money", str(cells["mrr"])))


def test_while_nobody_looks_nothing_is_read_and_no_connection_is_held(
    run: Run, served: LivePage, window: Window, client: redis.Redis
) -> None:
    publish(run)
    held = len(client.client_list())
    assert len(client.client_list()) == held
    page = window.open(served)
    assert len(client.client_list()) > held
    hide = (
        "hidden => { Object.defineProperty(document, 'hidden', { get: () => hidden, configurable: true }); "
        "document.dispatchEvent(new Event('visibilitychange')); }"
    )
    page.evaluate(hide, True)
    wait_until(lambda: served.pages == 0 and len(client.client_list()) == held, "the end of reading")
    page.evaluate(hide, False)
    cells = publish(run, 2)
    expect(page.locator("[data-cell='sessions.open']").first).to_have_text(f"{cells['sessions.open']:,}")
    assert served.pages == 1


def test_one_page_more_than_there_may_be_is_refused_and_says_why(run: Run, served: LivePage, window: Window) -> None:
    publish(run)
    wait_until(lambda: served.pages == 0, "the end of earlier tests' pages")
    streams = []
    for _ in range(MOST_PAGES):
        connection = HTTPConnection(served.url.removeprefix("http://").rstrip("/"))
        connection.request("GET", "/stream")
        streams.append((connection, connection.getresponse()))
    assert {answer.status for _, answer in streams} == {200}
    page = window.page
    page.goto(served.url)
    expect(page.locator("#reason")).to_have_text(f"{MOST_PAGES} pages are open; close one of them.")
    for connection, answer in streams:
        answer.close()
        connection.close()
    expect(page.locator("#state-text")).to_have_text("live", timeout=15_000)


# ------------------------------------------------------------------------------------------ what it never does


def test_the_policy_is_kept_and_nothing_is_asked_for_elsewhere(run: Run, served: LivePage, window: Window) -> None:
    publish(run, minutes=two_hours(active_users=(120, 160)))
    window.page.add_init_script(
        "document.addEventListener('securitypolicyviolation', (e) => console.error('violates ' + e.violatedDirective))"
    )
    page = window.open(served)
    page.locator("summary").first.click()
    page.get_by_role("button", name="What is MRR?").first.click()
    expect(page.get_by_role("dialog")).to_contain_text("Monthly recurring revenue.")
    assert window.wrong == []
    assert [url for url in window.requests if not url.startswith(served.url)] == []
    assert page.evaluate(TAKES_MARKUP) == "TypeError"  # no text becomes markup


TAKES_MARKUP = """() => {
  try { document.createElement("p").innerHTML = "<b>x</b>"; } catch (error) { return error.name; }
  return "taken";
}"""


def test_closed_days_stand_beside_the_week_before_and_say_who_came_back(run: Run, serve: Serve, window: Window) -> None:
    config = Config.model_validate({"product": "shop", "retention": {"days": [1, 7]}, "orders": {"currency": "EUR"}})
    newest = datetime.fromtimestamp(T / 1000, UTC).date() - timedelta(1)
    days = {
        (newest - timedelta(age)).isoformat(): {
            "active_users": 1000 - age,
            "revenue": 123_456,
            **({"retention.d1.cohort": 40, "retention.d1.returned": 10 - age} if age >= 1 else {}),
            **({"retention.d7.cohort": 40, "retention.d7.returned": 2} if age >= 7 else {}),
        }
        for age in range(9)
    }
    run.publish(replace(snapshot(cells_of(catalogue(config))), days=days))
    page = window.open(serve(config=config))
    shown = page.locator("ol.days > li")
    expect(shown).to_have_count(9)
    name = f"{newest:%a} {newest.day} {newest:%b}"
    assert shown.first.inner_text().split("\n")[0] == name
    assert shown.first.locator(".amount").inner_text() == "1,000"
    assert shown.first.locator(".note").inner_text() == "+0.7%"  # 1,000 beside 993
    assert shown.nth(1).locator(".note").inner_text() == ""  # beside the first day, which may be a part of one
    page.get_by_label("Days of", exact=True).select_option("revenue")
    assert shown.first.locator(".amount").inner_text() == "€1,235"
    cells = page.locator("table.triangle tbody tr")
    expect(cells).to_have_count(7)
    assert cells.first.locator("td").all_inner_texts() == ["40", "22.5%", ""]
    assert cells.nth(6).locator("td").all_inner_texts() == ["40", "7.5%", "5.0%"]
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert window.wrong == []


HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def test_hostile_texts_become_no_markup(serve: Serve, window: Window, client: redis.Redis, run: Run) -> None:
    config = Config.model_validate(
        {
            "product": "shop",
            "funnels": {
                "f": {"window": "1h", "steps": ["Viewed", {"event": HOSTILE, "as": '"><svg onload=alert(1)>'}]}
            },
            "breakdowns": {"b": {"field": "context.x", "values": [HOSTILE, "javascript:alert(1)"], "of": ["funnels"]}},
        }
    )
    listed = catalogue(config)
    run.publish(snapshot(cells_of(listed)))
    key = live_key(client)
    client.hset(key, mapping={"sessions.open": HOSTILE, "bounce_rate.1h": HOSTILE, "accounting.consumed": HOSTILE})
    page = window.open(serve(config=config))
    assert page.locator("[data-cell='sessions.open']").first.inner_text() == "–"
    page.get_by_role("button", name="What is final?").click()
    expect(page.locator("[data-exact]")).to_have_text(HOSTILE)
    assert page.locator("img, script:not([src])").count() == 0
    assert window.wrong == []


def test_a_top_list_shows_what_redis_has_and_hostile_values_as_text(run: Run, serve: Serve, window: Window) -> None:
    config = Config.model_validate({"product": "shop", "top": {"pages": {"field": "context.page.path", "k": 5}}})
    cells = cells_of(catalogue(config))
    pages = {HOSTILE: 7, "/a\n\u202eb": 5, "x" * 200: 4, "/c": 1}
    run.publish(replace(snapshot(cells), top={"pages": {"5m": pages, "1h": {"/hour": 9}, "24h": {}}}))
    page = window.open(serve(config=config))
    listed = page.locator("[data-top='pages'] > li:not([hidden])")
    page.get_by_role("radio", name="5m").check(force=True)
    expect(listed).to_have_count(4)
    shown = [one.locator("bdi").inner_text() for one in listed.all()]
    assert shown == [HOSTILE, "/a\\u000a\\u202eb", "x" * 200, "/c"]
    assert [one.locator(".amount").inner_text() for one in listed.all()] == ["7", "5", "4", "1"]
    page.get_by_role("radio", name="1h").check(force=True)
    expect(listed).to_have_count(1)
    run.publish(
        replace(snapshot(cells, number=2), top={"pages": {"5m": pages, "1h": {"/hour": 10, "/b": 1}, "24h": {}}})
    )
    expect(listed).to_have_count(2)
    page.get_by_role("radio", name="24h").check(force=True)
    expect(page.get_by_text("nothing in this window")).to_be_visible()
    assert page.locator("img, script:not([src])").count() == 0
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert window.wrong == []


def test_times_that_are_none_are_said_to_be_no_numbers(
    served: LivePage, window: Window, client: redis.Redis, run: Run
) -> None:
    publish(run)
    client.hset(live_key(client), "_as_of", HOSTILE)
    page = window.page
    page.goto(served.url)
    expect(page.locator("#reason")).to_contain_text("Redis holds something else than numbers")


# ------------------------------------------------------------------------------------------ who looks, and on what


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(run: Run, served: LivePage, browser: Browser, scheme: Any) -> None:
    publish(run, minutes=two_hours(new_users=(3, 2)))
    page = browser.new_page(viewport=PHONE, color_scheme=scheme)  # type: ignore[arg-type]
    with closing(page):
        Window(page).open(served)
        page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
        assert page.evaluate(CONTRAST) == []


CONTRAST = """() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => parts(color).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parts(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] === 1) return getComputedStyle(at).backgroundColor;
    }
    return "rgb(255, 255, 255)";
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), wrong = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement, style = getComputedStyle(element);
    if (!node.textContent.trim() || !element.getClientRects().length) continue;
    if (element.closest("legend, noscript, .skip")) continue;
    const color = element instanceof SVGElement ? style.fill : style.color;
    const [one, other] = [light(color), light(behind(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) wrong.push(`${ratio.toFixed(2)} ${color} ${node.textContent.trim().slice(0, 40)}`);
  }
  return wrong;
}"""


def test_a_phone_needs_no_sideways_scrolling(run: Run, served: LivePage, browser: Browser) -> None:
    publish(run, minutes=two_hours(active_users=(120, 160)))
    page = browser.new_page(viewport=PHONE)  # type: ignore[arg-type]
    with closing(page):
        Window(page).open(served)
        page.evaluate("document.querySelectorAll('details').forEach((one) => one.open = true)")
        page.get_by_role("button", name="What is MRR?").first.click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_screen_reader_finds_landmarks_names_and_tables(run: Run, served: LivePage, window: Window) -> None:
    publish(run)
    page = window.open(served)
    for landmark in ("banner", "main", "contentinfo"):
        assert page.get_by_role(landmark).count() == 1
    assert page.locator("#state[role=status]").inner_text() == "live"
    assert page.get_by_role("table", name="Sessions").first.get_by_role("rowheader").count() > 3
    assert page.get_by_role("region", name="Sessions", exact=True).count() == 1
    nameless = page.eval_on_selector_all(
        "button, select, input",
        "all => all.filter((one) => !one.labels?.length && !one.getAttribute('aria-label')).length",
    )
    assert nameless == 0
    names = page.eval_on_selector_all(".why", "all => all.map((one) => one.getAttribute('aria-label'))")
    assert all(re.fullmatch(r"What is \S.*\?", name) for name in names)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the numbers"
