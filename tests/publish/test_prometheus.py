from __future__ import annotations

import gzip
import http.client
import json
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from flows.config.model import Config
from flows.messages.columns import REASONS
from flows.messages.snapshot import ACCOUNTS, Snapshot
from flows.metrics.catalogue import catalogue
from flows.metrics.cells import Cell, Derived, Metric, Tally
from flows.metrics.histograms import BOUNDS_S
from flows.process.health import DeadLetterCounts, Health
from flows.publish.http_endpoint import HttpEndpoint, Page, parse_address
from flows.publish.prometheus.exporter import Exporter
from flows.publish.prometheus.health import health_families
from flows.publish.prometheus.product import product_families, product_page
from tests.lacking import program
from tests.rejecting import poll
from tests.services import wait_until

T = 1_700_000_000_000

ACTIVE = Metric("active_users", "Distinct users.", "users", "Activity", "active_users")
STARTED = Metric("sessions.started", "Sessions begun.", "sessions", "Sessions", "window_sessions")
CLOSED = Metric("sessions.closed", "Sessions closed.", "sessions", "Sessions", "window_sessions")
BOUNCE = Metric("bounce_rate", "Bounced over closed.", "ratio", "Sessions", "bounce_ratio")
MEAN = Metric("mean", "Mean duration.", "ms", "Sessions", "session_mean_seconds", 0.001)
REDIS_ONLY = Metric("redis_only", "Not for Prometheus.", "users", "Activity")


@dataclass(frozen=True)
class Cells:
    cells: Sequence[Cell]
    derived: Sequence[Derived] = ()
    tallies: Sequence[Tally] = (
        *(
            Tally("events", "Events.", [f"events.{name}"], {"event": name})
            for name in ("other", "order_completed", "new")
        ),
        Tally(
            "session_duration_seconds",
            "Durations.",
            [*(f"duration.{bound}" for bound in (*BOUNDS_S, "inf")), "duration.sum_ms"],
            {"product": "shop"},
            BOUNDS_S,
            0.001,
        ),
    )


def tallied(buckets: Sequence[int], sum_ms: int) -> dict[str, int]:
    names = [*(f"duration.{bound}" for bound in (*BOUNDS_S, "inf")), "duration.sum_ms"]
    return dict(zip(names, [*buckets, sum_ms], strict=True))


SMALL = Cells(
    [
        Cell("active_users.5m", ACTIVE, {"window": "5m"}),
        Cell("active_users.5m{platform=ios}", ACTIVE, {"window": "5m", "platform": "ios"}),
        Cell("sessions.started.5m", STARTED, {"window": "5m", "state": "started"}),
        Cell("sessions.closed.5m", CLOSED, {"window": "5m", "state": "closed"}),
        Cell("redis_only", REDIS_ONLY),
        Cell("ingredient", None),
    ],
    [
        Derived("bounce_rate.5m", BOUNCE, [], lambda: None, {"window": "5m"}),
        Derived("mean.5m", MEAN, [], lambda: None, {"window": "5m"}),
    ],
)
VALUES: Mapping[str, int | float] = {
    "active_users.5m": 12,
    "active_users.5m{platform=ios}": 5,
    "sessions.started.5m": 7,
    "sessions.closed.5m": 2**60,
    "redis_only": 9,
    "bounce_rate.5m": 0.25,
    "mean.5m": 1500.0,
}


def accounts(**counts: int) -> dict[str, int]:
    return dict.fromkeys(ACCOUNTS, 0) | {name.replace("__", "."): count for name, count in counts.items()}


def snapshot(cells: Mapping[str, int | float] = VALUES, **changes: Any) -> Snapshot:
    plain = Snapshot(
        number=1,
        as_of_ms=T,
        watermark_ms=T - 10_000,
        cells=cells,
        minutes={},
        accounting={},
    )
    return replace(plain, **changes)


@contextmanager
def serving(cells: Any = SMALL, health: Health | None = None, product: str = "shop") -> Iterator[Exporter]:
    exporter = Exporter("127.0.0.1:0", cells, health or Health(redis_configured=True), product=product)
    exporter.start()
    try:
        yield exporter
    finally:
        exporter.close()


def get(
    port: int, path: str = "/metrics", headers: Mapping[str, str] | None = None, method: str = "GET"
) -> tuple[int, http.client.HTTPMessage, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, path, headers=dict(headers or {}))
        response = connection.getresponse()
        return response.status, response.headers, response.read()


Series = tuple[str, frozenset[tuple[str, str]]]


def samples(page: str) -> dict[Series, float]:
    """All samples of a page in the text format, but for those about the process."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_text(page)
        for sample in family.samples
        if not sample.name.startswith("process_")
    }


def scraped(exporter: Exporter) -> dict[Series, float]:
    status, _, body = get(exporter.port)
    assert status == 200
    return samples(body.decode())


def series(name: str, **labels: str) -> Series:
    return (f"tidegauge_{name}", frozenset(labels.items()))


# ------------------------------------------------------------------------------------------- product numbers


def test_each_cell_is_a_series_with_its_labels_and_scale() -> None:
    assert samples(product_page(product_families(SMALL, "shop"), VALUES)) == {
        series("active_users", product="shop", window="5m"): 12,
        series("active_users", product="shop", window="5m", platform="ios"): 5,
        series("window_sessions", product="shop", window="5m", state="started"): 7,
        series("window_sessions", product="shop", window="5m", state="closed"): 2**60,
        series("bounce_ratio", product="shop", window="5m"): 0.25,
        series("session_mean_seconds", product="shop", window="5m"): 1.5,
    }


def test_what_is_undefined_has_no_series() -> None:
    cells = {"active_users.5m": 0, "bounce_rate.5m": float("nan"), "mean.5m": float("inf")}
    assert samples(product_page(product_families(SMALL, "shop"), cells)) == {
        series("active_users", product="shop", window="5m"): 0,
    }


def test_metrics_that_share_a_family_share_its_help() -> None:
    helps = {
        family.name: family.documentation for family in parse_text(product_page(product_families(SMALL, "shop"), {}))
    }
    assert helps["tidegauge_window_sessions"] == "Sessions begun. Sessions closed."
    assert helps["tidegauge_active_users"] == "Distinct users."


def test_label_values_are_escaped() -> None:
    hostile = 'a"b\\c\nd{}مرحبا'
    cells = Cells([Cell("a", ACTIVE, {"event": hostile})])
    page = product_page(product_families(cells, "shop"), {"a": 1})
    assert samples(page) == {series("active_users", product="shop", event=hostile): 1}


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([Cell("a", ACTIVE), Cell("b", ACTIVE)], "cells a and b would both be tidegauge_active_users"),
        ([Cell("a", replace(ACTIVE, prometheus="users_total"))], "that is no name for a gauge"),
        ([Cell("a", replace(ACTIVE, prometheus="Users"))], "that is no name for a gauge"),
        ([Cell("a", replace(ACTIVE, prometheus="watermark_timestamp_seconds"))], "the health of the process"),
        ([Cell("a", replace(ACTIVE, prometheus="events"))], "the health of the process"),
        ([Cell("a", ACTIVE, {"le": "1"})], "cannot have the label le='1'"),
        ([Cell("a", ACTIVE, {"product": "x"})], "cannot have the label product='x'"),
        ([Cell("a", ACTIVE, {"__name__": "x"})], "cannot have the label __name__='x'"),
        ([Cell("a", ACTIVE, {"event": "\ud800"})], "cannot have the label event="),
        ([Cell("a", replace(ACTIVE, help='so "called"'))], "needs escaping"),
        (
            [Cell("a", ACTIVE), Cell("b", replace(ACTIVE, unit="ms", scale=0.001), {"window": "5m"})],
            "tidegauge_active_users holds users, so metric active_users cannot add ms x 0.001",
        ),
    ],
)
def test_a_catalogue_that_cannot_be_shown_is_refused_at_start(cells: list[Cell], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        Exporter("127.0.0.1:0", Cells(cells), Health(redis_configured=True), product="shop")


def test_a_page_never_mixes_two_snapshots() -> None:
    cells = Cells([Cell(f"c{n}", ACTIVE, {"event": str(n)}) for n in range(500)])
    snapshots = [
        snapshot(dict.fromkeys((cell.name for cell in cells.cells), number), as_of_ms=number * 1000)
        for number in range(2)
    ]
    stop = threading.Event()
    with serving(cells) as exporter:
        exporter.update(snapshots[0])

        def swap() -> None:
            number = 0
            while not stop.is_set():
                number = 1 - number
                exporter.update(snapshots[number])

        swapper = threading.Thread(target=swap)
        swapper.start()
        try:
            seen = []
            for _ in range(30):
                page = scraped(exporter)
                of_cells = {value for (name, _), value in page.items() if name == "tidegauge_active_users"}
                seen.append(of_cells | {page[series("stream_time_timestamp_seconds")]})
        finally:
            stop.set()
            swapper.join()
    assert all(len(numbers) == 1 for numbers in seen)
    assert set().union(*seen) == {0.0, 1.0}, "the swapping was not seen, so nothing is proven"


# ----------------------------------------------------------------------------------------------------- health


def test_the_page_of_a_new_process_has_counters_at_zero_and_no_times() -> None:
    with serving() as exporter:
        page = scraped(exporter)
    assert page[series("events_accepted_total")] == 0
    assert {page[series("events_rejected_total", reason=reason)] for reason in REASONS} == {0}
    assert page[series("redis_publish_failures_total")] == 0
    for absent in (
        "stream_time_timestamp_seconds",
        "last_publish_timestamp_seconds",
        "accounting_difference",
    ):
        assert series(absent) not in page
    assert not [name for name, _ in page if name.endswith("_created")]


def test_the_health_of_the_process_is_shown() -> None:
    health = Health(redis_configured=True, wall=lambda: 1.5e9)
    health.assign([("events", 0), ("events", 1)])
    health.lags("events", 1, 42)
    health.open_transactions("events", {1: (40, 12.25)})
    health.caught_up()
    health.polled(*poll(200, 50))
    health.published(0.004)
    health.publish_failed(reachable=False)
    health.checkpointed(0.125)
    health.snapshot_taken()
    health.count_dead_letters(lambda: DeadLetterCounts(5, 2_000, 7.5, delivered=10, skipped=3, dropped=2))
    with serving(health=health) as exporter:
        exporter.update(snapshot())
        page = scraped(exporter)
    expected = {
        series("dead_letters_waiting"): 5,
        series("dead_letters_waiting_bytes"): 2_000,
        series("dead_letters_oldest_seconds"): 7.5,
        series("dead_letters_delivered_total"): 10,
        series("dead_letters_skipped_total"): 3,
        series("dead_letters_dropped_total"): 2,
        series("consumer_lag_messages", topic="events", partition="1"): 42,
        series("open_transaction_records", topic="events", partition="1"): 40,
        series("open_transaction_seconds", topic="events", partition="1"): 12.25,
        series("caught_up"): 1,
        series("rejected_ratio"): 0.25,
        series("redis_reachable"): 0,
        series("last_publish_timestamp_seconds"): 1.5e9,
        series("redis_publish_failures_total"): 1,
        series("redis_publish_seconds_bucket", le="0.0025"): 0,
        series("redis_publish_seconds_bucket", le="0.005"): 1,
        series("redis_publish_seconds_bucket", le="+Inf"): 1,
        series("redis_publish_seconds_sum"): 0.004,
        series("redis_publish_seconds_count"): 1,
        series("checkpoint_seconds"): 0.125,
        series("checkpoint_timestamp_seconds"): 1.5e9,
        series("stream_time_timestamp_seconds"): T / 1000,
        series("watermark_timestamp_seconds"): T / 1000 - 10,
        series("ready"): 1,
    }
    assert {name: page.get(name) for name in expected} == expected
    (build,) = [dict(labels) for name, labels in page if name == "tidegauge_build_info"]
    assert set(build) == {"version", "python", "product"}


def test_counters_count_from_the_start_of_the_process() -> None:
    before = snapshot(
        accounting={0: accounts(consumed=100, accepted=90, on_time=90, duplicate=10)},
        tallies={"events.other": 80, "events.order_completed": 10, **tallied([5] * 11, 60_000)},
    )
    after = snapshot(
        accounting={
            0: accounts(
                consumed=130,
                accepted=110,
                on_time=105,
                late=5,
                late_in_order=3,
                late_out_of_order=2,
                duplicate=12,
                rejected__not_json=8,
            ),
            1: accounts(consumed=3, accepted=2, on_time=2, rejected__empty=1),
        },
        tallies={
            "events.other": 100,
            "events.order_completed": 11,
            "events.new": 1,
            **tallied([6, 5, 7, *[5] * 7, 6], 160_500),
        },
    )
    with serving() as exporter:
        exporter.start_from(before)
        exporter.update(after)
        page = scraped(exporter)
    expected = {
        series("events_consumed_total"): 33,
        series("events_accepted_total"): 22,
        series("events_late_total"): 5,
        series("events_late_in_order_total"): 3,
        series("events_late_out_of_order_total"): 2,
        series("events_duplicate_total"): 2,
        series("events_rejected_total", reason="not_json"): 8,
        series("events_rejected_total", reason="empty"): 1,
        series("events_total", event="other"): 20,
        series("events_total", event="order_completed"): 1,
        series("events_total", event="new"): 1,
        series("accounting_difference"): 0,
        series("session_duration_seconds_bucket", product="shop", le="0.0"): 1,
        series("session_duration_seconds_bucket", product="shop", le="5.0"): 1,
        series("session_duration_seconds_bucket", product="shop", le="14400.0"): 3,
        series("session_duration_seconds_bucket", product="shop", le="+Inf"): 4,
        series("session_duration_seconds_count", product="shop"): 4,
        series("session_duration_seconds_sum", product="shop"): 100.5,
    }
    assert {name: page.get(name) for name in expected} == expected


def test_a_record_whose_fate_is_unknown_shows_even_when_another_makes_up_for_it() -> None:
    lost = accounts(consumed=10, accepted=9, on_time=9)
    invented = accounts(consumed=10, accepted=11, on_time=11)
    with serving() as exporter:
        exporter.update(snapshot(accounting={0: lost, 1: invented}))
        assert scraped(exporter)[series("accounting_difference")] == 2


# ---------------------------------------------------------------------------------------------------- formats


def rich_config() -> Config:
    return Config.model_validate(
        {
            "product": "shop",
            "key_actions": ["Order Completed"],
            "funnels": {"checkout": {"window": "1h", "steps": ["Product Viewed", "Order Completed"]}},
            "breakdowns": {"platform": {"field": "context.device.type", "values": ["web", "ios"]}},
        }
    )


def full_snapshot(config: Config) -> Snapshot:
    """Every cell of the catalogue with a value."""
    cells = catalogue(config)
    published = [cell.name for cell in cells.cells if cell.metric] + [cell.name for cell in cells.derived]
    return snapshot(
        {name: number for number, name in enumerate(published)},
        accounting={0: accounts(consumed=1, accepted=1, on_time=1)},
        tallies={"events.lifetime.other": 1},
    )


def test_both_formats_hold_the_same_numbers_of_the_whole_catalogue() -> None:
    config = rich_config()
    one = full_snapshot(config)
    with serving(catalogue(config)) as exporter:
        exporter.update(one)
        text = get(exporter.port)
        openmetrics = get(exporter.port, headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert text[1]["Content-Type"].startswith("text/plain; version=0.0.4")
    assert openmetrics[1]["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert openmetrics[2].endswith(b"# EOF\n")
    as_openmetrics = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in parse_openmetrics(openmetrics[2].decode())
        for sample in family.samples
        if not sample.name.startswith("process_")
    }
    as_text = samples(text[2].decode())
    assert as_openmetrics == as_text
    cells: list[Cell | Derived] = [*catalogue(config).cells, *catalogue(config).derived]
    shown = [cell for cell in cells if cell.metric and cell.metric.prometheus]
    assert len(shown) > 100
    for cell in shown:
        assert cell.metric is not None
        assert cell.metric.prometheus is not None
        where = series(cell.metric.prometheus, product="shop", **cell.labels)
        assert as_text[where] == pytest.approx(one.cells[cell.name] * cell.metric.scale), cell.name


def test_a_page_can_be_compressed() -> None:
    with serving() as exporter:
        exporter.update(snapshot())
        _, headers, body = get(exporter.port, headers={"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    assert series("active_users", product="shop", window="5m") in samples(gzip.decompress(body).decode())


@pytest.mark.parametrize("cells", ["small", "whole catalogue"])
def test_promtool_finds_nothing_to_complain_about(cells: str) -> None:
    promtool = program("promtool")
    config = rich_config()
    health = Health(redis_configured=True)
    health.lags("events", 0, 1)
    health.published(0.01)
    health.checkpointed(0.1)
    with serving(SMALL if cells == "small" else catalogue(config), health) as exporter:
        exporter.update(snapshot() if cells == "small" else full_snapshot(config))
        _, _, page = get(exporter.port)
    checked = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)
    assert sorted(set((checked.stdout + checked.stderr).decode().splitlines())) == []
    assert checked.returncode == 0


# --------------------------------------------------------------------------------------------- live and ready


def test_readiness_says_what_is_wrong_and_liveness_does_not_depend_on_redis() -> None:
    health = Health(redis_configured=True)
    with serving(health=health) as exporter:
        status, headers, body = get(exporter.port, "/readyz")
        assert (status, headers["Content-Type"]) == (503, "application/json")
        assert json.loads(body)["problems"] == [
            "no partition is assigned yet",
            "no snapshot has been taken yet",
            "no publish to Redis has succeeded yet",
        ]
        health.publish_failed(reachable=False)
        assert get(exporter.port, "/livez")[0] == 200
        health.assign([("events", 0)])
        health.snapshot_taken()
        health.published(0.001)
        status, _, body = get(exporter.port, "/readyz?verbose")
        assert (status, json.loads(body)["ok"], json.loads(body)["problems"]) == (200, True, [])
        health.fail("the checkpoint folder is full")
        status, _, body = get(exporter.port, "/livez")
        assert (status, json.loads(body)["problems"]) == (503, ["the checkpoint folder is full"])


# ------------------------------------------------------------------------------------------------ the server


def test_other_paths_and_methods_are_refused() -> None:
    with serving() as exporter:
        assert get(exporter.port, "/")[0] == 200
        assert get(exporter.port, "/favicon.ico")[0] == 404
        assert get(exporter.port, "/metrics/../../etc/passwd")[0] == 404
        for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
            status, headers, _ = get(exporter.port, method=method)
            assert (status, headers["Allow"]) == (405, "GET")
        assert get(exporter.port, method="BREW")[0] == 501


def test_it_listens_on_loopback_unless_told() -> None:
    assert parse_address(":9108") == ("127.0.0.1", 9108)
    assert parse_address("9108") == ("127.0.0.1", 9108)
    assert parse_address("0.0.0.0:0") == ("0.0.0.0", 0)
    assert parse_address("[::1]:9108") == ("::1", 9108)
    assert parse_address("localhost:80") == ("localhost", 80)


@pytest.mark.parametrize("text", ["", "localhost", "host:port", "host:70000", "::1:9108", "host:-1", "host:"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected host:port, such as 127\.0\.0\.1:9108"):
        parse_address(text)


def test_an_address_in_use_is_said() -> None:
    with (
        serving() as exporter,
        pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{exporter.port}: "),
    ):
        Exporter(f"127.0.0.1:{exporter.port}", SMALL, Health(redis_configured=True), product="shop")


def test_the_port_is_free_after_close() -> None:
    with serving() as exporter:
        port = exporter.port
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_ipv6_works_where_the_machine_has_it() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback here")
    endpoint = HttpEndpoint("[::1]:0", lambda path, headers: Page(b"six"))
    endpoint.start()
    with closing(http.client.HTTPConnection("::1", endpoint.port, timeout=30)) as connection:
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"six"
    endpoint.close()


def test_when_all_threads_are_taken_a_request_is_turned_away_and_slow_clients_are_cut() -> None:
    """Two clients that never finish their request take both threads; at their deadline they are cut."""
    endpoint = HttpEndpoint("127.0.0.1:0", lambda path, headers: Page(b"ok"), request_threads=2, request_seconds=3.0)
    endpoint.start()
    try:
        slow = [socket.create_connection(("127.0.0.1", endpoint.port), timeout=30) for _ in range(2)]
        for client in slow:
            client.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        wait_until(lambda: get_status(endpoint.port) == 503, "a request that is turned away")
        for client in slow:
            assert client.recv(100) == b""  # cut, though its request never ended
            client.close()
        wait_until(lambda: get_status(endpoint.port) == 200, "a free thread")
    finally:
        endpoint.close()


def get_status(port: int) -> int:
    try:
        return get(port)[0]
    except (OSError, http.client.HTTPException):
        return 0


def test_a_client_that_drips_bytes_is_cut_too() -> None:
    endpoint = HttpEndpoint("127.0.0.1:0", lambda path, headers: Page(b"ok"), request_seconds=0.5)
    endpoint.start()
    try:
        with socket.create_connection(("127.0.0.1", endpoint.port), timeout=0.02) as client:

            def cut() -> bool:
                try:
                    client.sendall(b"G")
                    return client.recv(1) == b""
                except TimeoutError:
                    return False
                except OSError:
                    return True

            wait_until(cut, "the end of the connection")
    finally:
        endpoint.close()


def test_a_page_that_cannot_be_made_is_an_error_of_that_request_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def answer(path: str, headers: object) -> Page:
        if path == "/broken":
            raise RuntimeError("secret detail")
        return Page(b"ok")

    endpoint = HttpEndpoint("127.0.0.1:0", answer)
    endpoint.start()
    try:
        status, _, body = get(endpoint.port, "/broken")
        assert status == 500
        assert b"secret detail" not in body
        assert get(endpoint.port, "/")[0] == 200
    finally:
        endpoint.close()
    assert "The page /broken cannot be made." in caplog.text


def test_a_gauge_says_since_when_each_part_counts() -> None:
    taken = snapshot(since={"events": 0, "funnel.buy": 1_700_000_000_500})
    families = {
        family.name: family for family in health_families(taken, None, Health(redis_configured=True).read(), "shop")
    }
    shown = families["tidegauge_family_since_timestamp_seconds"].samples
    assert {sample.labels["family"]: sample.value for sample in shown} == {"events": 0.0, "funnel.buy": 1_700_000_000.5}


def test_lists_are_labels_only_where_they_are_exported_and_only_as_long_as_they_last() -> None:
    hostile = 'a"\\b\n\0 # HELP \u2028\r'
    top = {"pages": {"5m": {hostile: 3, "/b": 1}}, "secret": {"5m": {"x": 1}}}
    with closing(Exporter("127.0.0.1:0", SMALL, Health(redis_configured=True), product="shop", lists=["pages"])) as one:
        one.start()
        one.update(snapshot(top=top))
        for accept, parse in (
            ("text/plain", parse_text),
            ("application/openmetrics-text; version=1.0.0", parse_openmetrics),
        ):
            body = get(one.port, headers={"Accept": accept})[2].decode()
            (family,) = (family for family in parse(body) if family.name == "tidegauge_top")
            found = {sample.labels["value"]: sample.value for sample in family.samples}
            assert found == {'a"\\b\\u000a\\u0000 # HELP \\u2028\\u000d': 3, "/b": 1}
        one.update(snapshot(top={"pages": {"5m": {"/b": 2}}}))
        assert b'tidegauge_top{list="pages",product="shop",value="/b",window="5m"} 2\n' in get(one.port)[2]
        assert get(one.port)[2].count(b"tidegauge_top{") == 1
        one.update(snapshot(top={"pages": {"5m": {}}}))
        assert b"tidegauge_top{" not in get(one.port)[2]
    with serving() as exporter:
        exporter.update(snapshot(top=top))
        assert b"tidegauge_top" not in get(exporter.port)[2]
