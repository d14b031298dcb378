"""Which librdkafka options may be passed through, which of them are secret, and whether a value is one.

librdkafka itself judges names and values, so the list is always that of the version at hand.
"""

from __future__ import annotations

import re
from typing import Final

from flows.config.mistakes import Finding, closest, shown

OWN: Final = {
    "metadata.broker.list": "write bootstrap.servers",
    "group.id": "write connections.group_id",
    "auto.offset.reset": "write connections.start or connections.on_lost_offset",
    "enable.auto.commit": "the checkpoint decides what has been read",
    "enable.auto.offset.store": "the checkpoint decides what has been read",
    "auto.commit.interval.ms": "the checkpoint decides what has been read",
    "enable.partition.eof": "the source needs it",
    "plugin.library.paths": "it would load foreign code",
}
"""Options that are not the user's to set, and why or what instead."""

FILES: Final = frozenset(
    {
        "sasl.oauthbearer.assertion.file",
        "sasl.oauthbearer.assertion.private.key.file",
        "sasl.oauthbearer.assertion.jwt.template.file",
    }
)
"""librdkafka's own options that end like the variables which name a file with the value."""

USUAL: Final = (
    *("bootstrap.servers", "client.id", "client.rack", "client.dns.lookup", "debug", "isolation.level"),
    *("security.protocol", "sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password"),
    *("sasl.kerberos.service.name", "sasl.kerberos.principal", "sasl.kerberos.keytab"),
    *("sasl.oauthbearer.method", "sasl.oauthbearer.client.id", "sasl.oauthbearer.client.secret"),
    *("sasl.oauthbearer.token.endpoint.url", "sasl.oauthbearer.scope", "sasl.oauthbearer.config"),
    *("ssl.ca.location", "ssl.ca.pem", "ssl.certificate.location", "ssl.certificate.pem"),
    *("ssl.key.location", "ssl.key.pem", "ssl.key.password", "ssl.keystore.location"),
    *("ssl.keystore.password", "fetch.queue.backoff.ms", "fetch.error.backoff.ms"),
    *("ssl.endpoint.identification.algorithm", "enable.ssl.certificate.verification", "ssl.cipher.suites"),
    *("broker.address.family", "socket.keepalive.enable", "socket.timeout.ms", "reconnect.backoff.ms"),
    *("reconnect.backoff.max.ms", "session.timeout.ms", "statistics.interval.ms", "metadata.max.age.ms"),
    *("fetch.min.bytes", "fetch.max.bytes", "fetch.message.max.bytes", "fetch.wait.max.ms"),
    *("queued.min.messages", "queued.max.messages.kbytes"),
    *("max.partition.fetch.bytes", "receive.message.max.bytes", "check.crcs", "log_level"),
)
"""What a misspelt option is compared with: librdkafka does not tell its list."""

_STOP: Final = "tidegauge.stop"
"""No option: librdkafka refuses it after it has accepted those before, so that no client is ever created."""


def is_secret(name: str) -> bool:
    """Whether the value of this option must never be shown."""
    return bool(re.search(r"password|secret|passphrase|\.pem$|oauthbearer\.config|\.key$|_key$|token$", name))


def check_option(name: str, value: str) -> Finding | None:
    """What is wrong with an option that a user sets; None: nothing. Creates no client."""
    from confluent_kafka import (
        Consumer,
        KafkaException,
    )  # here: most configurations need no library to be judged

    if name in OWN:
        return Finding((name,), f"this cannot be set here: {OWN[name]}", at_key=True)
    if name.endswith("_cb") or not re.fullmatch(r"[a-z0-9._]{1,100}", name):
        return _unknown(name)
    try:
        Consumer({"group.id": "x", name: value, _STOP: ""})
    except (KafkaException, TypeError, ValueError) as error:
        reason = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        if _STOP in reason:
            return None
        if reason.startswith("No such configuration property"):
            return _unknown(name)
        found = "a value" if is_secret(name) else shown(value)
        allowed = re.search(r"outside allowed range (-?\d+)\.\.(-?\d+)", reason)
        expected = f", expected {allowed[1]} to {allowed[2]}" if allowed else ", which librdkafka refuses"
        return Finding((name,), f"found {found}{expected}")
    return None


def _unknown(name: str) -> Finding:
    likely = closest(name, USUAL)
    return Finding((name,), "librdkafka has no such option", likely, at_key=True)
