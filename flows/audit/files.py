"""Records from files of events: each file is one partition, each line one record, as `tidegauge replay` reads them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from flows.audit.published import Published
from flows.audit.records import Record

GZIP = b"\x1f\x8b"


def records_of(files: Sequence[Path]) -> Iterator[Record]:
    """All lines, numbered from 0 in each file. Raises OSError, which broken gzip is as well, and EOFError."""
    for partition, path in enumerate(files):
        with path.open("rb") as file:
            zipped = file.read(len(GZIP)) == GZIP
        with gzip.open(path) if zipped else path.open("rb") as lines:
            for offset, line in enumerate(lines):
                yield Record(line.removesuffix(b"\n"), partition, offset)


def replayed(text: str) -> Published:
    """What `tidegauge replay` has printed, as a publish. Raises ValueError, KeyError or TypeError for anything else."""
    printed = json.loads(text)
    accounting: dict[str, Any] = printed["accounting"]
    fields = {name: json.dumps(value) for name, value in printed["cells"].items()}
    for name, field in (("as_of", "_as_of"), ("watermark", "_watermark")):
        if printed[name] is not None:
            fields[field] = json.dumps(printed[name])
    for partition, account in accounting.pop("partitions").items():
        fields |= {f"accounting.{name}{{partition={partition}}}": str(records) for name, records in account.items()}
    fields |= {f"accounting.{name}": str(records) for name, records in accounting.items()}
    fields["_consumed"] = str(accounting.get("consumed", 0))
    minutes = {
        int(start): {name: str(number) for name, number in counts.items()}
        for start, counts in printed["minutes"].items()
    }
    days = {
        day: {name: str(number) for name, number in counts.items()} for day, counts in printed.get("days", {}).items()
    }
    return Published(fields, minutes, days=days, top=printed.get("top", {}))
