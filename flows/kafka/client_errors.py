"""Errors of a Kafka client, wherever librdkafka delivers them.

librdkafka tells errors in whatever call empties the queue they wait in. confluent-kafka's own callback may only run
inside a call made through confluent-kafka; in one made past it, through ctypes, it aborts the process. That happens
with the queues of partitions (`librdkafka_queues`): when a topic is deleted, each of them gets an error. So the client
here has a callback that any call may run, in place of confluent-kafka's.

Of all callbacks only this one can be called there. Statistics, throttling, logs, commits and tokens wait in the
client's own queue, which confluent-kafka empties; a fatal error of a consumer comes from its `poll` as a message.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import KafkaError

from flows.kafka.librdkafka import Signatures, handle, library

Listener = Callable[[KafkaError], None]
"""Takes an error; never raises."""

_POINTER, _TEXT = ctypes.c_void_p, ctypes.c_char_p
_CALLBACK: Final = ctypes.CFUNCTYPE(None, _POINTER, ctypes.c_int, _TEXT, _POINTER)
_SIGNATURES: Final[Signatures] = {
    "rd_kafka_conf": (_POINTER, [_POINTER]),
    "rd_kafka_conf_set_error_cb": (None, [_POINTER, _CALLBACK]),
}

_listeners: Final[dict[int, Listener]] = {}
"""By the address of the client. The callback itself lives as long as the process, and so outlives every client."""


def listen(client: Any, name: str, listener: Listener) -> int:
    """From now on `listener` gets each error of `client`, whose `client.id` is `name`; returns what `forget` takes.

    The client must have been made without an `error_cb`, and belong to one thread.
    """
    loaded = library(_SIGNATURES)
    pointer = handle(client, name)
    _listeners[pointer] = listener
    # What rd_kafka_conf() shows is the client's configuration itself, and this one field of it is read at each error.
    loaded.rd_kafka_conf_set_error_cb(loaded.rd_kafka_conf(pointer), _callback)
    return pointer


def forget(pointer: int) -> None:
    """Errors of a client that is closed go nowhere."""
    _listeners.pop(pointer, None)


def _hear(client: int, code: int, reason: bytes | None, _: Any) -> None:
    if listener := _listeners.get(client):
        listener(KafkaError(code, (reason or b"").decode(errors="replace")))


_callback: Final = _CALLBACK(_hear)
