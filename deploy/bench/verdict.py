"""Whether what was published is right: every cell, minute and account against the slow reference."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from flows.audit import Result
from flows.messages.snapshot import ACCOUNTS
from tests.job.running import cells_of, disagreements


def mistakes(expected: Result, live: Mapping[str, str], minutes: Mapping[str, Mapping[str, str]]) -> list[str]:
    """One line per number that is not what the reference says; `live` and `minutes` as Redis holds them."""
    found = [
        f"{name}: {got} instead of {wanted}"
        for name, (wanted, got) in sorted(disagreements(expected, cells_of(live)).items())
    ]
    for name, wanted in (("_as_of", expected.as_of_ms), ("_watermark", expected.watermark_ms)):
        if live.get(name) != str(wanted):
            found.append(f"{name}: {live.get(name)} instead of {wanted}")
    for partition, accounts in expected.accounting.items():
        for account in ACCOUNTS:
            field = f"accounting.{account}{{partition={partition}}}"
            if int(live.get(field, 0)) != accounts.get(account, 0):
                found.append(f"{field}: {live.get(field)} instead of {accounts.get(account, 0)}")
    wanted_minutes = {
        f"{datetime.fromtimestamp(start / 1000, UTC):%Y-%m-%dT%H:%M}Z": {n: str(v) for n, v in fields.items()}
        for start, fields in expected.minutes.items()
    }
    for minute in sorted(wanted_minutes.keys() | minutes.keys()):
        if dict(minutes.get(minute, {})) != wanted_minutes.get(minute, {}):
            found.append(f"minute {minute}: {minutes.get(minute)} instead of {wanted_minutes.get(minute)}")
    return found
