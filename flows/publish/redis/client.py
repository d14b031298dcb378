"""How any part talks to Redis: the primary that an address leads to, and errors as sentences without a secret."""

from __future__ import annotations

import os
from typing import Final

from flows.client.reader import Address
from flows.messages.errors import TidegaugeError
from flows.publish.redis.primary import Primary
from flows.publish.redis.trouble import Trouble, explain

FILES: Final = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
"""Options of an address that name a file or folder."""


class RedisRefused(TidegaugeError):  # noqa: N818 - an outcome, not a mistake
    """Redis cannot be used as configured, and waiting will not help; the message is for the operator."""


def connect(url: str, key: str, socket_seconds: float) -> Primary:
    """The primary that holds `key`. It gets each command once: a repeated publish must be a decision, not an accident.

    Connects with the first command. Raises `RedisRefused` for an address that cannot be used.
    """
    try:
        address = Address.parse(url)
        primary = Primary(address, key, socket_seconds)
        address.client(address.places[0])
    except ValueError:
        # The library's message may quote the address, password and all.
        raise RedisRefused(
            "The address of Redis cannot be read; expected redis://[[user]:password@]host[:port][/database], "
            "redis+sentinel://host[:port],host[:port]/service, redis+cluster://host[:port],host[:port], "
            "rediss... for TLS, or unix://path."
        ) from None
    for name in FILES:
        if (place := address.options.get(name)) and not os.access(str(place), os.R_OK):
            raise RedisRefused(f"The address of Redis names {name}={place}, which this user cannot read.")
    return primary


def sentence(error: Exception, primary: Primary, product: str, trouble: Trouble | None = None) -> str:
    """What `error` means, for the operator; a password that the server repeats is masked."""
    trouble = trouble or explain(error)
    text = trouble.sentence.format(where=primary.where, product=product, error=str(error).rstrip("."))
    for options in (primary.address.options, primary.address.asking_options):
        for secret in (options.get("password"), options.get("ssl_password")):
            if secret:
                text = text.replace(str(secret), "***")
    return text
