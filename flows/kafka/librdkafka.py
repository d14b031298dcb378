"""librdkafka itself, as every confluent-kafka wheel carries it, for what its Python face does not offer."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import confluent_kafka

from flows.messages.errors import TidegaugeError

Signatures = Mapping[str, tuple[type | None, list[type]]]
"""By function: the type that it returns, and those of its arguments."""

_HANDLE_OFFSET: Final = 2 * ctypes.sizeof(ctypes.c_void_p)
"""Where a client keeps its `rd_kafka_t *`: first in its object, behind Python's header (confluent_kafka.h)."""


class LibraryError(TidegaugeError):
    """The installed confluent-kafka is not what is needed; the message says why."""


@functools.cache
def _library() -> ctypes.CDLL:
    spec = importlib.util.find_spec("confluent_kafka")
    if spec is None or spec.origin is None:
        raise LibraryError("confluent_kafka is not installed")
    package = Path(spec.origin).parent
    bundled = [
        *sorted(package.parent.glob("confluent_kafka.libs/librdkafka*")),  # Linux and Windows wheels
        *sorted(package.glob(".dylibs/librdkafka.*")),  # macOS wheels
    ]
    found = str(bundled[0]) if bundled else ctypes.util.find_library("rdkafka")
    if found is None:
        raise LibraryError("this confluent_kafka carries no librdkafka, and none is installed on the system")
    return ctypes.CDLL(found)


def library(signatures: Signatures) -> ctypes.CDLL:
    """The very library that confluent_kafka has loaded, with these functions ready to call."""
    loaded = _library()
    for name, (result, arguments) in signatures.items():
        try:
            function = getattr(loaded, name)
        except AttributeError:
            version = confluent_kafka.libversion()[0]
            raise LibraryError(f"librdkafka {version} has no {name}(); use confluent-kafka 2.16 or newer") from None
        function.restype, function.argtypes = result, arguments
    return loaded


def handle(client: Any, name: str) -> int:
    """The `rd_kafka_t *` of a confluent_kafka client whose `client.id` is `name`; LibraryError when it is not there."""
    pointer = ctypes.c_void_p.from_address(id(client) + _HANDLE_OFFSET).value
    known = library({"rd_kafka_name": (ctypes.c_char_p, [ctypes.c_void_p])}).rd_kafka_name(pointer) if pointer else b""
    if pointer is None or not known.startswith(name.encode() + b"#"):
        version = confluent_kafka.version()
        raise LibraryError(f"confluent-kafka {version} is of another make; use the version of requirements.lock")
    return pointer
