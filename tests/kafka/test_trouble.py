"""What is said of a connection that somebody has closed: librdkafka's words for it differ from run to run."""

from __future__ import annotations

import socket

import pytest

from flows.config.settings import Settings
from flows.kafka.trouble import explain

CLOSED = [
    "",
    "1/1 brokers are down",
    "Send failed: error:80000020:system library::Broken pipe: tls_retry_write_records failure",
    "Receive failed: Connection reset by peer (after 2ms in state AUTH_HANDSHAKE)",
    "ssl://127.0.0.1:9092/bootstrap: Disconnected (after 1ms in state APIVERSION_QUERY)",
]


@pytest.mark.parametrize("words", CLOSED)
def test_a_connection_that_is_closed_by_one_who_listens_is_asked_about_its_protocol(words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        servers = f"127.0.0.1:{listener.getsockname()[1]}"
        settings = Settings(bootstrap_servers=servers, kafka={"security.protocol": "ssl"})
        assert explain(words, settings) == (
            f"Kafka at {servers} cannot be reached (it closes the connection at once; does its listener speak SSL, "
            "security.protocol?)"
        )


@pytest.mark.parametrize("words", CLOSED)
def test_where_nobody_listens_kafka_is_away(words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        servers = f"127.0.0.1:{listener.getsockname()[1]}"
    said = explain(words, Settings(bootstrap_servers=servers, kafka={"security.protocol": "ssl"}))
    assert said.startswith(f"Kafka at {servers} cannot be reached (")
    assert "security.protocol" not in said
