"""The texts of values: of those that have a slot, and of those that may get one before long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flows.messages.columns import TEXT, WORDS_OF_TEXT, joined
from flows.state.container import Arrays, Container
from flows.state.table import MIX

_PIECE: Final = 8 * WORDS_OF_TEXT
MANY_PIECES: Final = 2048
"""So many wait before it is looked which of them are still of use."""


class Texts(Container):
    """`of`: key -> text. Pieces as polls bring them wait, for a value may find a slot when its turn comes."""

    def __init__(self) -> None:
        self.of: dict[int, str] = {}
        self._waiting: list[NDArray[Any]] = []
        self._many = MANY_PIECES

    def receive(self, pieces: NDArray[Any]) -> None:
        """Let pieces wait (dtype TEXT, or their bytes); those of one text follow each other."""
        self._waiting.append(pieces)

    def learn(self, keys: NDArray[np.uint64]) -> None:
        """Know the texts of `keys`, which have come."""
        unknown = [key for key in keys.tolist() if key not in self.of]
        if unknown:
            pieces = self._pieces()
            self.of.update(texts_in(pieces.compress(np.isin(pieces["key"], np.array(unknown, np.uint64)))))

    def keep(self, slots: NDArray[Any]) -> None:
        """Nothing is by user."""

    def retain(self, keys: NDArray[np.uint64]) -> None:
        """Forget the texts of all others that are known."""
        self.of = {key: self.of[key] for key in keys.tolist() if key in self.of}

    def tidy(self, keys: NDArray[np.uint64]) -> None:
        """Of what waits, only the texts of `keys` may still be needed; each once."""
        waiting = sum(one.nbytes for one in self._waiting)
        if not waiting or (waiting <= self._many * TEXT.itemsize and len(keys)):
            return
        pieces = self._pieces()
        pieces = pieces.compress(np.isin(pieces["key"], keys))
        _, first = np.unique(pieces["key"] ^ pieces["size"] * MIX, return_index=True)
        pieces = pieces.take(np.sort(first))
        self._waiting = [pieces]
        self._many = max(MANY_PIECES, 2 * len(pieces))

    def _pieces(self) -> NDArray[Any]:
        self._waiting = [joined([*self._waiting, np.zeros(0, TEXT)], TEXT)]
        return self._waiting[0]

    def save(self, users: int) -> Arrays:
        return {"pieces": joined([self._pieces(), pieces_of(self.of)], TEXT)}

    def load(self, arrays: Mapping[str, NDArray[Any]], capacity: int) -> None:
        self.of = {}
        self._waiting = [arrays["pieces"].copy()]


def texts_in(pieces: NDArray[Any]) -> dict[int, str]:
    """Texts by key, from their pieces (dtype TEXT)."""
    sizes, keys = pieces["size"].tolist(), pieces["key"].tolist()
    words = np.ascontiguousarray(pieces).view(np.uint8).reshape(len(pieces), TEXT.itemsize)[:, -_PIECE:].tobytes()
    texts: dict[int, str] = {}
    at = 0
    while at < len(sizes):
        begin = at * _PIECE
        texts[keys[at]] = words[begin : begin + sizes[at]].decode()
        at += -(-sizes[at] // _PIECE)
    return texts


def pieces_of(texts: Mapping[int, str]) -> NDArray[Any]:
    """The pieces (dtype TEXT) of texts by key."""
    return joined([np.zeros(0, TEXT), *(pieces_of_one(key, text.encode()) for key, text in texts.items())], TEXT)


def pieces_of_one(key: int, text: bytes) -> NDArray[Any]:
    """The same of one text in UTF-8."""
    begins: Iterable[int] = range(0, len(text), _PIECE)
    written = b"".join(
        key.to_bytes(8, "little")
        + (len(text) - begin).to_bytes(8, "little")
        + text[begin : begin + _PIECE].ljust(_PIECE, b"\0")
        for begin in begins
    )
    return np.frombuffer(written, TEXT)
