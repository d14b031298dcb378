"""The records that a simulated product has sent, in a file that processes beside it follow as it grows."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from flows.config.limits import Limits
from flows.config.model import Config

_LENGTH: Final = struct.Struct("<I")


class Entry(NamedTuple):
    """One record as it was sent."""

    value: bytes | None
    partition: int
    offset: int  # as the job sees it
    arrival_ms: int


class Journal:
    """The file, for the one who writes it."""

    def __init__(self, file: Path, config: Config, limits: Limits) -> None:
        self.file = file
        self._opened = file.open("wb")
        self._put((config, limits))

    def write(self, entries: Sequence[Entry]) -> None:
        """Add these; whoever follows can have them at once."""
        self._put([tuple(entry) for entry in entries])

    def end_history(self) -> None:
        """What is written from now on goes to the topic."""
        self._put(None)

    def close(self) -> None:
        """Nothing more is written."""
        self._opened.close()

    def _put(self, piece: object) -> None:
        packed = pickle.dumps(piece)
        self._opened.write(_LENGTH.pack(len(packed)) + packed)
        self._opened.flush()


class Follower:
    """The file, for one who reads along; use it as a context manager."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("rb")
        self.config: Config
        self.limits: Limits
        self.config, self.limits = next(self._pieces())

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def written(self) -> Iterator[list[Entry] | None]:
        """What has been written since the last time, batch by batch; None where the history ends."""
        for piece in self._pieces():
            yield piece and [Entry(*entry) for entry in piece]

    def _pieces(self) -> Iterator[Any]:
        """Those that have been written whole."""
        while True:
            begins = self._file.tell()
            head = self._file.read(_LENGTH.size)
            length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else 0
            packed = self._file.read(length)
            if not length or len(packed) < length:
                self._file.seek(begins)
                return
            yield pickle.loads(packed)
