"""How any part talks to Redis: a client that tries each command once, and errors as sentences without a secret."""

from __future__ import annotations

import os
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from flows.connectors.redis_trouble import Trouble, explain

FILES: Final = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
"""Options of an address that name a file or folder."""


class RedisRefused(Exception):  # noqa: N818 - an outcome, not a mistake
    """Redis cannot be used as configured, and waiting will not help; the message is for the operator."""


def connect(url: str, socket_seconds: float) -> redis.Redis:
    """A client that tries each command once: a repeated publish must be a decision, not an accident.

    Connects with the first command. Raises `RedisRefused` for an address that cannot be used.
    """
    try:
        client: redis.Redis = redis.Redis.from_url(
            url,
            decode_responses=True,
            legacy_responses=False,
            protocol=2,  # no HELLO, which a minimal ACL need not allow
            retry=Retry(NoBackoff(), 0),
            socket_timeout=socket_seconds,
            socket_connect_timeout=socket_seconds,
        )
    except ValueError:
        # The library's message may quote the address, password and all.
        raise RedisRefused(
            "The address of Redis cannot be read; expected redis://[[user]:password@]host[:port][/database], "
            "rediss://... for TLS, or unix://path."
        ) from None
    options = _options(client)
    for name in FILES:
        if (place := options.get(name)) and not os.access(str(place), os.R_OK):
            raise RedisRefused(f"The address of Redis names {name}={place}, which this user cannot read.")
    return client


def where(client: redis.Redis) -> str:
    """Host and port, or the socket's path."""
    options = _options(client)
    return str(options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}")


def sentence(error: Exception, client: redis.Redis, product: str, trouble: Trouble | None = None) -> str:
    """What `error` means, for the operator; a password that the server repeats is masked."""
    trouble = trouble or explain(error)
    text = trouble.sentence.format(where=where(client), product=product, error=str(error).rstrip("."))
    options = _options(client)
    for secret in (options.get("password"), options.get("ssl_password")):
        if secret:
            text = text.replace(str(secret), "***")
    return text


def _options(client: redis.Redis) -> dict[str, Any]:
    options: dict[str, Any] = client.connection_pool.connection_kwargs
    return options
