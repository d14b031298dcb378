"""A page of a product whose numbers a real publisher writes to a real Redis, and a real browser to look at it with."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import pytest
import redis
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from flows.config.file import load
from flows.config.model import Config
from flows.messages.snapshot import ACCOUNTS
from flows.metrics.catalogue import Catalogue, catalogue
from flows.metrics.cells import AS_OF, Cell, Derived
from flows.web.server import LivePage
from tests import services
from tests.lacking import lacking, need
from tests.publish.test_redis import Run, T, running, snapshot
from tests.services import RedisServer
from tests.test_architecture import ROOT

CONFIG = load(ROOT / "deploy" / "examples" / "shop.yaml", environment={}).config
LISTED = catalogue(CONFIG)
NUMBERS: list[Cell | Derived] = [*LISTED.cells, *LISTED.derived]
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PUBLISHED_MS = T + 200


def browser_program() -> str:
    """The browser that drives the page."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return found or lacking("chromium is not on PATH")


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    started = playwright.chromium.launch(executable_path=browser_program(), args=list(ARGUMENTS))
    yield started
    started.close()


@pytest.fixture(scope="module")
def shared_redis() -> Iterator[RedisServer]:
    need("Redis", services.redis_program)
    with services.running_redis() as server:
        yield server


def cells_of(listed: Catalogue = LISTED, seed: int = 1) -> dict[str, int | float]:
    """A value for every published cell: the counted ones all different, the derived ones computed from them."""
    chosen = random.Random(seed)
    counted = {cell.name: 1_000 * number + chosen.randrange(1_000) for number, cell in enumerate(listed.cells, 1)}
    values: dict[str, float | None] = {**counted, AS_OF: T}
    for cell in listed.derived:  # each stands behind those that it is derived from
        inputs = [values[name] for name in cell.inputs]
        values[cell.name] = None if None in inputs else cell.formula(*inputs)
    hidden = {cell.name for cell in listed.cells if cell.metric is None} | {AS_OF}
    return {name: value for name, value in values.items() if value is not None and name not in hidden}


def publish(run: Run, seed: int = 1, **changes: Any) -> dict[str, int | float]:
    """Publish values for everything; returns them."""
    cells = cells_of(seed=seed)
    accounts = {name: 7 * place for place, name in enumerate(ACCOUNTS)}
    accounts["consumed"] = sum(
        count for name, count in accounts.items() if name in ("accepted", "duplicate", "excluded") or "rejected" in name
    )
    run.publish(replace(snapshot(cells, number=seed, accounting={0: accounts}), **changes))
    return cells


@pytest.fixture
def run(shared_redis: RedisServer) -> Iterator[Run]:
    """The publisher of an emptied Redis."""
    with redis.Redis(port=shared_redis.port) as client:
        client.flushall()
    # Each test's run has a token of its own, as every run of a product has.
    with running(shared_redis, wall=lambda: PUBLISHED_MS / 1000, after_token=time.time_ns()) as started:
        yield started


@pytest.fixture
def serve(shared_redis: RedisServer) -> Iterator[Callable[..., LivePage]]:
    """Serves pages until the test's end."""
    with ExitStack() as stack:

        def start(config: Config = CONFIG, url: str = "", address: str = "127.0.0.1:0", **options: Any) -> LivePage:
            page = LivePage(config, url or shared_redis.url, address, **options)
            page.start()
            stack.callback(page.close)
            return page

        yield start


@pytest.fixture(scope="module")
def served(shared_redis: RedisServer) -> Iterator[LivePage]:
    """The page of the shop, for all tests that start none of their own."""
    with closing(LivePage(CONFIG, shared_redis.url, "127.0.0.1:0")) as page:
        page.start()
        yield page


class Window:
    """A browser's window with a page in it, and what went wrong there."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.wrong: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda said: self.wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("dialog", lambda dialog: self.wrong.append(dialog.message))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, served: LivePage, state: str = "live") -> Page:
        """The page once it is in that state."""
        self.page.goto(served.url)
        self.page.wait_for_selector(f"body[data-state={state}][data-published]", timeout=10_000)
        return self.page


@pytest.fixture
def window(browser: Browser) -> Iterator[Window]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    yield Window(page)
    page.close()
