"""A shard's state as bytes: named flat arrays behind a header that says by which version and config they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.messages.errors import TidegaugeError

MAGIC: Final = b"TIDEGAUGE"
VERSION: Final = 3
"""Rises with every change of what the arrays mean; an older checkpoint is then refused, or migrated here."""


class CheckpointError(TidegaugeError):
    """A checkpoint that cannot be used, with a sentence that says what to do."""


def pieces(arrays: Mapping[str, NDArray[Any]], config: str) -> list[bytes | memoryview]:
    """What a packed state consists of: magic, header length (4 bytes, little-endian), JSON header, the arrays' memory.

    `config`: the fingerprint of the config that they belong to. The memory is that of the arrays: it has to be written
    before they change.
    """
    header = {
        "version": VERSION,
        "config": config,
        "arrays": [[name, array.dtype.descr, array.shape] for name, array in arrays.items()],
    }
    encoded = json.dumps(header).encode()
    contents = [np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in arrays.values()]
    return [MAGIC, len(encoded).to_bytes(4, "little"), encoded, *contents]


def unpack(
    frozen: bytes | memoryview, config: str, layout: Mapping[str, NDArray[Any]] | None = None
) -> dict[str, NDArray[Any]]:
    """The arrays of `pieces`, read-only views of `frozen`, which is what they come to, one behind the other.

    `layout`: arrays with the names and dtypes that are expected, so that a checkpoint of other metric families is
    refused even where its version was not raised. Raises CheckpointError.
    """
    if frozen[: len(MAGIC)] != MAGIC:
        raise CheckpointError("this is not a checkpoint of Tidegauge; point --state at another folder")
    start = len(MAGIC) + 4
    length = int.from_bytes(frozen[len(MAGIC) : start], "little")
    header = json.loads(bytes(frozen[start : start + length]))
    if header["version"] != VERSION:
        raise CheckpointError(
            f"the checkpoint has format {header['version']}, this version of tidegauge reads {VERSION}; "
            "run the version that wrote it, or start afresh with an empty --state folder"
        )
    if header["config"] != config:
        raise CheckpointError(
            "the checkpoint was made with another config; "
            "restore that config, or start afresh with an empty --state folder"
        )
    arrays: dict[str, NDArray[Any]] = {}
    position = start + length
    for name, descr, shape in header["arrays"]:
        dtype = np.dtype(descr[0][1] if len(descr) == 1 and descr[0][0] == "" else [tuple(field) for field in descr])
        count = int(np.prod(shape))
        arrays[name] = np.frombuffer(frozen, dtype, count, position).reshape(shape)
        position += count * dtype.itemsize
    if layout is not None and {n: a.dtype for n, a in arrays.items()} != {n: a.dtype for n, a in layout.items()}:
        raise CheckpointError(
            "the checkpoint holds other metric families than this version of tidegauge has; "
            "run the version that wrote it, or start afresh with an empty --state folder"
        )
    return arrays
