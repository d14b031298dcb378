"""What to say when Kafka cannot be used: each way of failing has one sentence for the operator, without a secret.

librdkafka tells errors as codes and words, and says of a certificate only that it was not verified. So a second look is
taken, once the client has failed: a TLS handshake of our own, with the same authorities, that tells why.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flows.config.settings import Settings

LOOK_SECONDS: Final = 3.0
"""How long the second look may take."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A way in which Kafka can fail. `sentence` may use {where}, {user}, {mechanism}, {protocol} and {reason}."""

    kind: str
    pattern: str  # regular expression, looked for in librdkafka's words
    sentence: str
    lasting: bool = False  # only an operator can end it


TROUBLES: Final = (
    Trouble(
        "mechanism",
        r"(?i)unsupported sasl mechanism",
        "Kafka at {where} does not take the SASL mechanism {mechanism}: {reason}",
        lasting=True,
    ),
    Trouble(
        "password",
        r"(?i)sasl authentication (error|failed)|authentication failed|invalid credentials",
        "Kafka at {where} refuses user {user} or the password (SASL mechanism {mechanism})",
        lasting=True,
    ),
    Trouble(
        "certificate",
        r"(?i)certificate verify failed|certificate could not be verified",
        "the TLS certificate of Kafka at {where} is not trusted: {reason}",
        lasting=True,
    ),
    Trouble(
        "client certificate",
        r"(?i)client ssl authentication might be required|certificate required|bad certificate",
        "Kafka at {where} wants a certificate of this client: set ssl.certificate.location and ssl.key.location",
        lasting=True,
    ),
    Trouble(
        "tls",
        r"(?i)plaintext broker listener|wrong version number|ssl connection closed by peer|SSL handshake failed",
        "Kafka at {where} does not speak TLS there, and security.protocol is {protocol}: {reason}",
    ),
    Trouble("away", r"", "Kafka at {where} cannot be reached ({reason})"),
)
"""In order: the first whose pattern is found is the one; the last fits everything."""

_CLOSED: Final = (
    r"(?i)brokers are down|transport failure|send failed|receive failed|broken pipe|reset by peer|disconnected|^$"
)
"""librdkafka's words for a connection that the other side has closed; which of them come depends on who was faster."""

_CERTIFICATE: Final = {
    10: "it has expired",
    9: "it is not valid yet",
    62: "it is for another host name",
    64: "it is for another address",
    18: "it is signed by itself, and not among those that ssl.ca.location names",
    19: "its authority is none of those that ssl.ca.location names",
    20: "its authority is none of those that ssl.ca.location names",
    21: "its authority is none of those that ssl.ca.location names",
}
"""What OpenSSL's code of a failed verification (X509_V_ERR_...) means to an operator."""


def trouble(reason: str) -> Trouble:
    """Which trouble librdkafka's words tell of."""
    return next(one for one in TROUBLES if re.search(one.pattern, reason))


def sentence(reason: str, settings: Settings) -> str:
    """The trouble that librdkafka's words tell of, as one sentence without a full stop; never waits."""
    return _said(trouble(reason), _words(reason), settings)


def explain(reason: str, settings: Settings) -> str:
    """As `sentence`, after a second look at what librdkafka leaves open; may wait for `LOOK_SECONDS`."""
    found = trouble(reason)
    words = _words(reason)
    if found.kind == "certificate":
        words = _certificate_problem(settings) or words
    elif found.kind == "away" and re.search(_CLOSED, words) and _answers(settings):
        # librdkafka calls a connection that the broker closes at once an outage, without a word on why.
        words = f"it closes the connection at once; does its listener speak {_protocol(settings)}, security.protocol?"
    return _said(found, words, settings)


def unreadable(settings: Settings) -> str | None:
    """Which option names a file that cannot be read, as a sentence; librdkafka does not say."""
    for name, place in settings.kafka.items():
        if name.endswith((".location", ".keytab")) and place != "probe" and not os.access(place, os.R_OK):
            return f"Kafka's option {name} names {place}, which this user cannot read"
    return None


def _said(found: Trouble, words: str, settings: Settings) -> str:
    mechanism = settings.kafka.get("sasl.mechanism") or settings.kafka.get("sasl.mechanisms") or "GSSAPI"
    return found.sentence.format(
        where=settings.bootstrap_servers,
        user=settings.kafka.get("sasl.username") or "(none given)",
        mechanism=mechanism,
        protocol=_protocol(settings),
        reason=words or "no answer",
    )


def _protocol(settings: Settings) -> str:
    return settings.kafka.get("security.protocol", "PLAINTEXT").upper()


def _words(reason: str) -> str:
    """librdkafka's words without the broker's name before them, and the state of the connection behind."""
    return re.sub(r"^\S+?://\S+: |\s*\(after \d+ms in state \w+\)\s*$", "", reason)


def _first_server(settings: Settings) -> tuple[str, int]:
    address = settings.bootstrap_servers.split(",")[0].strip().rpartition("://")[2]
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        host, port = address, "9092"
    return host.removeprefix("[").removesuffix("]"), int(port)


def _answers(settings: Settings) -> bool:
    """Whether somebody listens at the first of the servers."""
    try:
        with socket.create_connection(_first_server(settings), timeout=LOOK_SECONDS):
            return True
    except OSError:
        return False


def _certificate_problem(settings: Settings) -> str | None:
    """Why the certificate of the first server is not to be trusted; None: this look finds nothing wrong."""
    host, port = _first_server(settings)
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = settings.kafka.get("ssl.endpoint.identification.algorithm") != "none"
        _load_authorities(context, settings)
        with (
            socket.create_connection((host, port), timeout=LOOK_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return _CERTIFICATE.get(error.verify_code, error.verify_message)
    except (OSError, ValueError):
        return None


def _load_authorities(context: ssl.SSLContext, settings: Settings) -> None:
    """The certificates that librdkafka trusts, by its options."""
    if text := settings.kafka.get("ssl.ca.pem"):
        context.load_verify_locations(cadata=text)
    elif place := settings.kafka.get("ssl.ca.location"):
        folder = Path(place).is_dir()
        context.load_verify_locations(capath=place if folder else None, cafile=None if folder else place)
    else:
        context.load_default_certs()
