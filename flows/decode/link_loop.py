"""The loop that knows by which link the user of an event came, where it has been worked out before.

What decides is small, though urls are many: the parts of a campaign, which of an ad system's parameters the url has,
the host of the referrer. Their hash is looked up among those that have been learnt. An event without any of them came
directly, and nothing is looked up. The loop is modest: where a url has anything unusual (escapes, a login before the
host, a parameter twice) the hash is that of its whole text, so that whatever it finds was worked out of the same.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.compiled.loops import Number, inlined, steady
from flows.decode import scanner as scan
from flows.decode.hashing import xxh64
from flows.decode.scanner import Scanned
from flows.decode.texts import ROW, SALT, SPELLINGS

SOURCE, MEDIUM, CAMPAIGN, URL, REFERRER = range(5)
"""Places of an event's texts, as `config.channels.LINK` has them."""
UTM: Final = ("utm_source", "utm_medium", "utm_campaign")
"""Parameters whose values count; of all others that are looked for it counts that they are there."""

_SLASH, _COLON, _DOT, _QUESTION, _HASH, _AND, _EQUALS, _PERCENT = (ord(mark) for mark in "/:.?#&=%")
_ZERO, _NINE, _MINUS, _UNDERSCORE = (ord(mark) for mark in "09-_")
_WWW: Final = np.uint64(int.from_bytes(b"www.", "little"))
_LONGEST: Final = 16
"""Bytes of a parameter's name that are looked at: two words."""
_WHOLE_URL: Final = np.uint64(1)
_WHOLE_REFERRER: Final = np.uint64(2)
"""Marks of what a hash is of."""


class Parameters(NamedTuple):
    """The parameters of urls that are looked for: those of UTM, then click ids in the order in which they count."""

    heads: NDArray[np.uint64]  # the name's first 8 bytes, little-endian
    tails: NDArray[np.uint64]  # the 8 after these
    hashes: NDArray[np.uint64]  # (len(UTM),): of the values in the url at hand; 0: none


class Learnt(NamedTuple):
    """What is known of links: open addressing by their hash, 0: empty."""

    keys: NDArray[np.uint64]
    words: NDArray[np.uint64]  # the bytes of `dims` that computed breakdowns have


class Missed(NamedTuple):
    """Records of links that have not been learnt."""

    records: NDArray[np.int64]
    keys: NDArray[np.uint64]
    counts: NDArray[np.int64]  # (1,): how many they are


@inlined
def _text_hash(scanned: Scanned, record: Number, field: Number) -> Number:
    """Of a scalar's JSON text; 0: there is none, or it is empty."""
    kind = scanned.kinds[record, field]
    begin, end = np.int64(scanned.begins[record, field]), np.int64(scanned.ends[record, field])
    if kind <= scan.NULL or kind >= scan.ARRAY or (kind == scan.STRING and end - begin == 2):
        return np.uint64(0)
    return xxh64(scanned.buffer, begin, end)


@inlined
def _mixed(key: Number, part: Number) -> Number:
    key = (key ^ part) * SALT
    return key ^ (key >> np.uint64(29))


@inlined
def _is_letter(byte: Number) -> bool:
    return bool(97 <= (byte | 32) <= 122)


@inlined
def _of_a_host(byte: Number) -> bool:
    return bool(_MINUS <= byte <= _DOT or _ZERO <= byte <= _NINE or byte == _UNDERSCORE or _is_letter(byte))


@inlined
def _host(scanned: Scanned, record: Number, field: Number) -> tuple[bool, Number, Number]:
    """Whether it is sure which host a url names, and where that is in the buffer; begin == end: it names none."""
    kind = scanned.kinds[record, field]
    if kind <= scan.NULL or kind >= scan.ARRAY:
        return True, 0, 0
    if kind != scan.STRING and kind != scan.STRING_UTF_8:
        return False, 0, 0
    buffer = scanned.buffer
    at, end = np.int64(scanned.begins[record, field]) + 1, np.int64(scanned.ends[record, field]) - 1
    if at == end:
        return True, 0, 0
    if not _is_letter(buffer[at]):
        return False, 0, 0
    while at < end and buffer[at] != _COLON and _of_a_host(buffer[at]) and buffer[at] != _UNDERSCORE:
        at += 1
    if end - at < 3 or buffer[at] != _COLON or buffer[at + 1] != _SLASH or buffer[at + 2] != _SLASH:
        return False, 0, 0
    at += 3
    begin = at
    while at < end and _of_a_host(buffer[at]):
        at += 1
    stop = at
    if at < end and buffer[at] == _COLON:
        at += 1
        while at < end and _ZERO <= buffer[at] <= _NINE:
            at += 1
    ended = at == end or buffer[at] == _SLASH or buffer[at] == _QUESTION or buffer[at] == _HASH
    return bool(ended and stop > begin and buffer[stop - 1] != _DOT), begin, stop


@inlined
def _without_www(buffer: NDArray[np.uint8], begin: Number, end: Number) -> Number:
    """Where a host begins without `www`."""
    head = scan.word(buffer, begin) & np.uint64(0xFFFFFFFF)
    head |= np.uint64(0x00202020)
    return begin + 4 if end - begin > 4 and head == _WWW else begin


@inlined
def _same_host(buffer: NDArray[np.uint8], begin: Number, end: Number, other: Number, other_end: Number) -> bool:
    """Whether two hosts are one, whatever their case, and with or without `www`."""
    begin = _without_www(buffer, begin, end)
    other = _without_www(buffer, other, other_end)
    if end - begin != other_end - other:
        return False
    for place in range(end - begin):
        byte, beside = buffer[begin + place], buffer[other + place]
        if byte != beside and not (_is_letter(byte) and (byte | 32) == (beside | 32)):
            return False
    return True


@inlined
def _hex(byte: Number) -> Number:
    """The value of a hexadecimal digit; 255: it is none."""
    if _ZERO <= byte <= _NINE:
        return np.int64(byte) - _ZERO
    lower = np.int64(byte) | 32
    return lower - 87 if 97 <= lower <= 102 else 255


@inlined
def _asked(scanned: Scanned, record: Number, field: Number, parameters: Parameters) -> tuple[bool, Number]:
    """Whether it is sure what the parameters of a url say; and which click id counts, from 1 on, 0: none.

    The values of UTM parameters go to `parameters.hashes`.
    """
    for place in range(len(parameters.hashes)):
        parameters.hashes[place] = np.uint64(0)
    kind = scanned.kinds[record, field]
    if kind <= scan.NULL or kind >= scan.ARRAY:
        return True, 0
    if kind != scan.STRING and kind != scan.STRING_UTF_8:
        return False, 0
    buffer = scanned.buffer
    at, end = np.int64(scanned.begins[record, field]) + 1, np.int64(scanned.ends[record, field]) - 1
    while at < end and buffer[at] != _QUESTION and buffer[at] != _HASH:
        at += 1
    if at == end or buffer[at] == _HASH:
        return True, 0
    at += 1
    first = len(parameters.heads)
    while at < end and buffer[at] != _HASH:
        # The name, decoded, as two words.
        head, tail = np.uint64(0), np.uint64(0)
        length = 0
        while at < end and buffer[at] != _EQUALS and buffer[at] != _AND and buffer[at] != _HASH:
            byte = np.int64(buffer[at])
            if byte == _PERCENT and at + 2 < end:
                high, low = _hex(buffer[at + 1]), _hex(buffer[at + 2])
                if high < 16 and low < 16:
                    byte = high * 16 + low
                    at += 2
            if byte >= 128 or byte == 0:
                return False, 0
            if 65 <= byte <= 90:
                byte |= 32
            if length < 8:
                head |= np.uint64(byte) << np.uint64(8 * length)
            elif length < _LONGEST:
                tail |= np.uint64(byte) << np.uint64(8 * (length - 8))
            length += 1
            at += 1
        begin = at
        if at < end and buffer[at] == _EQUALS:
            begin += 1
            while at < end and buffer[at] != _AND and buffer[at] != _HASH:
                at += 1
        if at > begin and length <= _LONGEST:
            found = 0
            while found < len(parameters.heads) and (
                parameters.heads[found] != head or parameters.tails[found] != tail
            ):
                found += 1
            if found < len(parameters.hashes):
                if parameters.hashes[found] != np.uint64(0):
                    return False, 0  # twice
                parameters.hashes[found] = xxh64(buffer, begin, at) | np.uint64(1)
            elif found < len(parameters.heads):
                if not (_is_letter(buffer[begin]) or _ZERO <= buffer[begin] <= _NINE):
                    return False, 0  # it may come to nothing
                first = min(first, found)
        if at < end and buffer[at] == _AND:
            at += 1
    return True, first - len(parameters.hashes) + 1 if first < len(parameters.heads) else 0


@inlined
def _key(scanned: Scanned, record: Number, fields: NDArray[np.int32], parameters: Parameters) -> Number:
    """The hash of what decides by which link its user came; 0: nothing does."""
    sure, begin, end = _host(scanned, record, fields[REFERRER])
    page_sure, page, page_end = True, begin, begin
    if end > begin or not sure:
        page_sure, page, page_end = _host(scanned, record, fields[URL])
    certain, click = _asked(scanned, record, fields[URL], parameters)
    said = np.uint64(click)
    key = np.uint64(click)
    for place in range(SOURCE, CAMPAIGN + 1):
        part = _text_hash(scanned, record, fields[place])
        said |= part
        key = _mixed(key, part)
    form = np.uint64(0)
    if certain:
        for place in range(len(parameters.hashes)):
            said |= parameters.hashes[place]
            key = _mixed(key, parameters.hashes[place])
    else:
        form |= _WHOLE_URL
        key = _mixed(key, _text_hash(scanned, record, fields[URL]))
    if not (sure and page_sure):
        form |= _WHOLE_REFERRER
        key = _mixed(key, _text_hash(scanned, record, fields[REFERRER]))
        if page_sure:
            key = _mixed(key, xxh64(scanned.buffer, page, page_end))
        else:
            key = _mixed(key, _text_hash(scanned, record, fields[URL]))
    elif end > begin and not _same_host(scanned.buffer, begin, end, page, page_end):
        referrer = xxh64(scanned.buffer, begin, end) | np.uint64(1)
        said |= referrer
        key = _mixed(key, referrer)
    if said | form == np.uint64(0):
        return np.uint64(0)
    return max(_mixed(key, form), np.uint64(1))


@steady
def mark(
    scanned: Scanned,
    fields: NDArray[np.int32],
    parameters: Parameters,
    learnt: Learnt,
    direct: NDArray[np.uint64],
    fates: NDArray[np.uint8],
    rows: NDArray[Any],
    missed: Missed,
) -> None:
    """Put what is computed of their links into `dims` of the rows whose fate is ROW; list those of unknown links.

    `direct`, shape (1,), is the word of those that came directly.
    """
    count = 0
    for record in range(len(fates)):
        if fates[record] != ROW:
            continue
        key = _key(scanned, record, fields, parameters)
        word = direct[0]
        if key != np.uint64(0):
            slot = np.int64(key & np.uint64(SPELLINGS - 1))
            while learnt.keys[slot] != key and learnt.keys[slot] != np.uint64(0):
                slot = (slot + 1) & (SPELLINGS - 1)
            if learnt.keys[slot] != key:
                missed.records[count] = record
                missed.keys[count] = key
                count += 1
                continue
            word = learnt.words[slot]
        rows[record]["dims"] |= word
    missed.counts[0] = count
