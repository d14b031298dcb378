"""Reads the fields that funnels hold constant: of the events that can be steps there, the hash of the value's slug.

The loop makes the slugs of ASCII texts itself, since there are many different ids of products or documents. The slug of
any other text is made by the slow path and remembered. Only events that can be such steps are looked at, and no value
rejects one.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, inlined, steady
from flows.config.model import Config, slug
from flows.decode import scanner as scan
from flows.decode.hashing import id_hash, id_hash_of
from flows.decode.learnt import Learnt, Table, slot_of
from flows.decode.scanner import Scanned
from flows.decode.texts import ROW
from flows.messages.columns import TIED_VALUE
from flows.messages.raw import PADDING
from schemas.event import Container
from schemas.json_text import scalar_text

_LONGEST: Final = 512
"""In bytes. Longer texts take the slow path as well."""
_ZERO, _NINE, _UPPER_A, _UPPER_Z, _LOWER_A, _LOWER_Z, _UNDERSCORE = (ord(character) for character in "09AZaz_")
_TO_LOWER: Final = _LOWER_A - _UPPER_A


class TiedFields:
    """The held fields of a config, in the order of `Config.held_fields()`; none where no funnel holds one."""

    def __init__(self, config: Config, fields: NDArray[np.int32]) -> None:
        """`fields`: their numbers among those that are scanned."""
        codes = config.codes
        steps = [codes.matching(one.selection() for one in some) for some in config.held_fields().values()]
        self._fields = fields
        self._carries = np.array(steps, np.bool_).reshape(len(fields), len(codes))  # by field and event code
        self._learnt = Learnt(1)
        self._slug = np.zeros(_LONGEST + PADDING, np.uint8)
        self._values = np.zeros((0, len(fields)), np.uint64)

    def __len__(self) -> int:
        return len(self._fields)

    def begin(self, records: int) -> None:
        """Make room for a poll of that many records."""
        self._values = np.zeros((records, len(self)), np.uint64)

    def read(self, scanned: Scanned, part: slice, fates: NDArray[np.uint8], rows: NDArray[np.void]) -> None:
        """Take the values of a scanned part of the poll, of those records that are a ROW."""
        values = self._values[part]
        keys = np.zeros_like(values)
        _read(scanned, fates, rows, self._fields, self._carries, self._learnt.table, self._slug, values, keys)
        for record, place in zip(*map(np.ndarray.tolist, np.nonzero(keys)), strict=True):
            field = self._fields[place]
            text = scanned.buffer[scanned.begins[record, field] : scanned.ends[record, field]].tobytes()
            value = _hash(scalar_text(text))
            values[record, place] = value
            self._learnt.put(int(keys[record, place]), [int(np.uint64(value).view(np.int64))])

    def take(self, record: int, code: int, found: tuple[str | Container | None, ...]) -> None:
        """Take what the slow reader has found in a record of the poll; `code`: of its event."""
        for place, value in enumerate(found):
            if self._carries[place, code]:
                self._values[record, place] = _hash(value)

    def rows(self, fates: NDArray[np.uint8], rows: NDArray[np.void]) -> NDArray[np.void]:
        """The values of the accepted records (dtype TIED_VALUE), as these are ordered, then by field."""
        self._values[fates != ROW] = 0
        records, fields = np.nonzero(self._values)
        tied = np.empty(len(records), TIED_VALUE)
        tied["key"] = rows["user"][records]
        tied["partition"] = rows["partition"][records]
        tied["offset"] = rows["offset"][records]
        tied["field"] = fields
        tied["value"] = self._values[records, fields]
        return tied


def _hash(value: str | Container | None) -> int:
    """Of a value's slug; 0: it is none that could be held."""
    return id_hash(slug(value)) if isinstance(value, str) else 0


@inlined
def _write_slug(buffer: NDArray[np.uint8], begin: Number, end: Number, written: NDArray[np.uint8]) -> Number:
    """Write the slug of an ASCII text as `slug` has it; returns its length."""
    length = 0
    for place in range(begin, end):
        byte: Number = np.int64(buffer[place])
        if _UPPER_A <= byte <= _UPPER_Z:
            byte += _TO_LOWER
        if not (_ZERO <= byte <= _NINE or _LOWER_A <= byte <= _LOWER_Z):
            byte = _UNDERSCORE
        if byte != _UNDERSCORE or length == 0 or written[length - 1] != _UNDERSCORE:
            written[length] = byte
            length += 1
    return length


@steady
def _read(
    scanned: Scanned,
    fates: NDArray[np.uint8],
    rows: NDArray[np.void],
    fields: NDArray[np.int32],
    carries: NDArray[np.bool_],
    learnt: Table,
    written: NDArray[np.uint8],
    values: NDArray[np.uint64],
    keys: NDArray[np.uint64],
) -> None:
    """Fill in `values`, shape (records, fields); where a text has yet to be learnt, its hash in `keys` instead."""
    buffer = scanned.buffer
    for record in range(len(fates)):
        if fates[record] != ROW:
            continue
        for place in range(len(fields)):
            kind = scanned.kinds[record, fields[place]]
            if not carries[place, rows[record]["code"]] or kind <= scan.NULL or kind >= scan.ARRAY:
                continue
            begin = np.int64(scanned.begins[record, fields[place]])
            end = np.int64(scanned.ends[record, fields[place]])
            if kind <= scan.STRING and end - begin <= _LONGEST:
                if kind == scan.STRING:
                    begin += 1
                    end -= 1
                if begin < end:
                    values[record, place] = id_hash_of(written, 0, _write_slug(buffer, begin, end, written))
                continue
            key = id_hash_of(buffer, begin, end)
            slot = slot_of(key, learnt.keys)
            if slot < 0:
                keys[record, place] = key
            else:
                values[record, place] = np.uint64(learnt.values[slot, 0])
