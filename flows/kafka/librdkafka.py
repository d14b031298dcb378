"""librdkafka itself, as every confluent-kafka wheel carries it, for what its Python face does not offer.

Nothing here can be taken for granted in a confluent-kafka of another version or build. Whoever calls has another way,
or ends with the sentence of the LibraryError. Nothing is tried in this process that could crash it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import confluent_kafka

from flows.messages.errors import TidegaugeError

Signatures = Mapping[str, tuple[type | None, list[type]]]
"""By function: the type that it returns, and those of its arguments."""

KNOWN: Final = "2.16."
"""In these versions a client keeps its `rd_kafka_t *` first in its object, behind Python's header (confluent_kafka.h).
With any other a child process finds out, for a wrong address would end the process that uses it.
"""
_HANDLE_OFFSET: Final = 2 * ctypes.sizeof(ctypes.c_void_p)
_PROBE_SECONDS: Final = 30.0
_PROBE: Final = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
from confluent_kafka import Consumer
from flows.kafka.librdkafka import named
sys.exit(0 if named(Consumer({"group.id": "probe", "client.id": "probe"}), "probe", int(sys.argv[1])) else 3)
"""


class LibraryError(TidegaugeError):
    """The installed confluent-kafka is not what is needed; the message says why."""


@functools.cache
def _library() -> ctypes.CDLL:
    if ctypes.sizeof(ctypes.c_void_p) != 8:
        raise LibraryError("librdkafka's own structures are read on 64-bit machines only")
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
    try:
        loaded = ctypes.CDLL(found, mode=getattr(os, "RTLD_NOLOAD", 0))
    except OSError:
        raise LibraryError(f"confluent_kafka uses another librdkafka than {found}") from None
    version = int(loaded.rd_kafka_version())
    if version != confluent_kafka.libversion()[1]:
        raise LibraryError(f"{found} is librdkafka {version:#010x}, and confluent_kafka uses another version")
    return loaded


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
    version = str(confluent_kafka.__version__)
    known = version.startswith(KNOWN) or _found_by_child(version, _HANDLE_OFFSET)
    pointer = named(client, name, _HANDLE_OFFSET) if known else None
    if pointer is None:
        raise LibraryError(
            f"confluent-kafka {version} keeps its clients in another way than {KNOWN}*, which requirements.lock names"
        )
    return pointer


def named(client: Any, name: str, offset: int) -> int | None:
    """The `rd_kafka_t *` so far behind the beginning of a client, if its name is right.

    May crash the process where something else is kept there.
    """
    pointer = ctypes.c_void_p.from_address(id(client) + offset).value
    if pointer is None:
        return None
    known: bytes = library({"rd_kafka_name": (ctypes.c_char_p, [ctypes.c_void_p])}).rd_kafka_name(pointer) or b""
    return pointer if known.startswith(name.encode() + b"#") else None


@functools.cache
def _found_by_child(version: str, offset: int) -> bool:
    """Whether a process like this one finds its client; costs a second once, and only with a version not `KNOWN`."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, str(offset)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
