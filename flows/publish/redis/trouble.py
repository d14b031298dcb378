"""What to say when Redis fails: each way of failing has one sentence for the operator.

A server's error code stands in the exception's class or in its text, depending on the server's version and
on whether a script met it, so both are searched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Trouble:
    """A way in which Redis can fail. `sentence` may use {where}, {product} and {error}."""

    kind: str
    pattern: str  # regular expression, looked for in the error's class names and text
    sentence: str
    reachable: bool = True  # Redis answered
    lasting: bool = False  # only an operator can end it


TROUBLES: Final = (
    Trouble(
        "password",
        r"WRONGPASS|NOAUTH|AuthenticationError|AuthenticationWrongNumberOfArgs|invalid (username|password)",
        "Redis at {where} refuses the user name or password given in its address.",
        lasting=True,
    ),
    Trouble(
        "permission",
        r"NOPERM|NoPermission|ACL failure|can't run this command|can't access at least one",
        "Redis at {where} does not allow this user what is needed, see deploy/SECURITY.md: {error}.",
        lasting=True,
    ),
    Trouble(
        "expired certificate",
        r"(?i)certificate has expired",
        "The TLS certificate of Redis at {where} is not trusted: it has expired.",
        reachable=False,
        lasting=True,
    ),
    Trouble(
        "certificate of another host",
        r"(?i)hostname mismatch|ip address mismatch|hostname .* doesn't match",
        "The TLS certificate of Redis at {where} is not trusted: it is for another host name.",
        reachable=False,
        lasting=True,
    ),
    Trouble(
        "certificate of an unknown authority",
        r"(?i)self.signed certificate|unable to get (local )?issuer",
        "The TLS certificate of Redis at {where} is not trusted: its authority is unknown here; "
        "name that in the address, rediss://...?ssl_ca_certs=FILE.",
        reachable=False,
        lasting=True,
    ),
    Trouble(
        "certificate",
        r"(?i)certificate.verify.failed|CertificateError|SSLCertVerification",
        "The TLS certificate of Redis at {where} is not trusted: {error}.",
        reachable=False,
        lasting=True,
    ),
    Trouble(
        "tls",
        r"\bSSL\b|(?i:wrong.version.number)|SSLError",
        "Redis at {where} does not speak TLS as configured (rediss:// is TLS, redis:// is not): {error}.",
        reachable=False,
        lasting=True,
    ),
    Trouble(
        "memory",
        r"\bOOM\b|OutOfMemory",
        "Redis at {where} is out of memory (maxmemory) and refuses writes.",
    ),
    Trouble(
        "read-only",
        r"READONLY|ReadOnly|read.only replica|UNBLOCKED",
        "Redis at {where} is a read-only replica; the address must lead to the primary.",
    ),
    Trouble(
        "loading",
        r"LOADING|BusyLoading|loading the dataset",
        "Redis at {where} is still loading its data.",
    ),
    Trouble(
        "busy",
        r"\bBUSY\b|busy running a script",
        "Redis at {where} is busy running another script.",
    ),
    Trouble(
        "type",
        r"WRONGTYPE|wrong kind of value",
        "A key of product {product} in Redis at {where} holds something else than Tidegauge writes there; "
        "remove it or use another product name.",
    ),
    Trouble(
        "disk",
        r"MISCONF|unable to persist",
        "Redis at {where} cannot save to disk and refuses writes until it can.",
    ),
    Trouble(
        "replicas",
        r"NOREPLICAS|MASTERDOWN|MasterDown|CLUSTERDOWN|ClusterDown",
        "Redis at {where} refuses writes while its replicas or its cluster are down.",
    ),
    Trouble(
        "slot on its way",
        r"TRYAGAIN|TryAgain",
        "Redis at {where} moves the keys of product {product} to another node and refuses writes meanwhile.",
    ),
    Trouble(
        "cluster",
        r"\bMOVED\b|MovedError|AskError",
        "Redis at {where} is a node of a cluster and does not hold product {product}; "
        "name the cluster, redis+cluster://host:port,host:port.",
    ),
    Trouble(
        "no cluster",
        r"cluster support disabled",
        "Redis at {where} is no cluster; its address is redis://, or redis+sentinel:// where it has Sentinels.",
        lasting=True,
    ),
    Trouble(
        "no sentinel",
        r"(?i)unknown command.*sentinel",
        "Redis at {where} answers, but is no Sentinel; name the Sentinels, whose port is usually 26379.",
        lasting=True,
    ),
    Trouble(
        "service",
        r"no service ",
        "Nobody at {where} knows this service; it is named behind the hosts, redis+sentinel://host,host/service.",
        lasting=True,
    ),
    Trouble(
        "no primary",
        r"the primary of \S+ is down",
        "Redis at {where} has no primary until its Sentinels have chosen another one.",
        reachable=False,
    ),
    Trouble(
        "refused",
        r"ResponseError",
        "Redis at {where} refuses the numbers: {error}.",
    ),
    Trouble(
        "silent",
        r"TimeoutError|timed out",
        "Redis at {where} does not answer in time.",
        reachable=False,
    ),
    Trouble(
        "away",
        r"",
        "Redis at {where} cannot be reached: {error}.",
        reachable=False,
    ),
)
"""In order: the first whose pattern is found is the one; the last fits every error."""


def explain(error: Exception) -> Trouble:
    """Which trouble `error` is."""
    text = " ".join([*(kind.__name__ for kind in type(error).__mro__), str(error)])
    return next(trouble for trouble in TROUBLES if re.search(trouble.pattern, text))
