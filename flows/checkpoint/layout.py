"""A shard's state as bytes: named flat arrays behind a header that says what they mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.checkpoint import packing
from flows.checkpoint.parts import Definitions
from flows.messages.errors import TidegaugeError

MAGIC: Final = b"TIDEGAUGE"
VERSION: Final = 4
"""Rises with every change of this format. What arrays mean is the matter of each part's own layout."""
OLDEST: Final = 3
"""The first version that can be read. It packed no arrays."""


class CheckpointError(TidegaugeError):
    """A checkpoint that cannot be used, with a sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class State:
    """What a shard's state consists of."""

    definitions: str
    """`Definitions.text` of the config that made it."""
    since: Mapping[str, int]
    """Of parts that began later than the stream: the time (ms) of the first event that they may have counted."""
    legends: str
    """JSON: by container, what the places of its arrays stand for."""
    arrays: Mapping[str, NDArray[Any]]


def pieces(state: State, scratch: packing.Scratch) -> list[bytes | memoryview]:
    """What a packed state consists of: magic, header length (4 bytes, little-endian), JSON header, the arrays.

    Some of it is the memory of the arrays, and some is in `scratch`: it has to be written before either changes.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in state.arrays.items()}
    room = scratch.of(sum(map(packing.most, filter(packing.is_packed, arrays.values()))))
    described, contents, place = [], [], 0
    for name, array in arrays.items():
        if packing.is_packed(array):
            length = packing.pack(array, room[place:])
            content = room[place : place + length]
            place += length
        else:
            content = array.reshape(-1).view(np.uint8)
        described.append([name, array.dtype.descr, array.shape, len(content)])
        contents.append(content.data)
    header = {
        "version": VERSION,
        "definitions": state.definitions,
        "since": state.since,
        "legends": state.legends,
        "arrays": described,
    }
    encoded = json.dumps(header).encode()
    return [MAGIC, len(encoded).to_bytes(4, "little"), encoded, *contents, bytes(packing.NOTHING_WIDE)]


def unpack(frozen: bytes | memoryview) -> State:
    """The state of `pieces`, its arrays read-only views of `frozen` where those are not packed; `frozen` is what the
    pieces come to, one behind the other.

    Raises CheckpointError.
    """
    if frozen[: len(MAGIC)] != MAGIC:
        raise CheckpointError("this is not a checkpoint of Tidegauge; point --state at another folder")
    start = len(MAGIC) + 4
    length = int.from_bytes(frozen[len(MAGIC) : start], "little")
    header = json.loads(bytes(frozen[start : start + length]))
    if not OLDEST <= header["version"] <= VERSION:
        raise CheckpointError(
            f"the checkpoint has format {header['version']}, this version of tidegauge reads {OLDEST} to {VERSION}; "
            "run the version that wrote it, or start afresh with an empty --state folder"
        )
    arrays: dict[str, NDArray[Any]] = {}
    content = np.frombuffer(frozen, np.uint8)[start + length :]
    for name, descr, shape, *stored in header["arrays"]:
        dtype = np.dtype(descr[0][1] if len(descr) == 1 and descr[0][0] == "" else [tuple(field) for field in descr])
        size = int(np.prod(shape))
        if stored and size * dtype.itemsize >= packing.WORTH_PACKING:
            arrays[name] = packing.unpack(content, dtype, size).reshape(shape)
        else:
            arrays[name] = content[: size * dtype.itemsize].view(dtype).reshape(shape)
        content = content[stored[0] if stored else size * dtype.itemsize :]
    return State(header["definitions"], header["since"], header["legends"], arrays)


def check_made_with(state: State) -> Definitions:
    """The definitions that `state` was made with; raises CheckpointError."""
    try:
        return Definitions.of(state.definitions)
    except ValueError as error:
        raise CheckpointError(f"the checkpoint's header cannot be read: {error}; restore the whole folder") from None
