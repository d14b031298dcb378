"""`tidegauge explain`: what a published number means, how it is computed from what, since when, and where to get it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

import redis

from flows.client.reader import LiveNumbers
from flows.commands import live_numbers
from flows.publish.redis.client import RedisRefused, connect, sentence
from flows.publish.redis.layout import Keys

HELP = "say what a published number means, how it is computed, and what it is now"
SECONDS: Final = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("cell", metavar="CELL", help="the number's name, such as bounce_rate.1h")
    live_numbers.add_arguments(parser, "says which numbers there are (default: all defaults)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def main(args: argparse.Namespace) -> int:
    """0: explained; 1: Redis does not answer, and the values are missing; 2: usage, or no such number."""
    from flows.web.definitions import Definitions, UnknownCell  # here: numba takes a second to load

    try:
        loaded = live_numbers.loaded_for(args, needs_redis=False)
        definition = Definitions(loaded.config).of(args.cell)
    except UnknownCell as unknown:
        return _fail(2, str(unknown))
    fields: Mapping[str, str] = {}
    wrong = ""
    if loaded.settings.redis_url:
        names = [args.cell, *(one.cell for one in definition.inputs), *definition.since_fields]
        fields, wrong = _read(loaded.settings.redis_url, loaded.config.product, names)
    told = definition.told(fields)
    if args.json:
        print(json.dumps(told | {"as_of": fields.get(told["stands_at"])}, indent=2))
    else:
        print("\n".join(_lines(told, fields, asked=bool(loaded.settings.redis_url))))
    return _fail(1, wrong) if wrong else 0


def _read(url: str, product: str, names: list[str]) -> tuple[Mapping[str, str], str]:
    """The fields as of one publish, or what is wrong."""
    try:
        primary = connect(url, Keys(product).live, SECONDS)  # to say what errors mean
    except RedisRefused as refused:
        return {}, str(refused)
    try:
        with LiveNumbers(url, product, patience_seconds=SECONDS) as numbers:
            return numbers.read(*names).fields, ""
    except redis.RedisError as error:
        return {}, sentence(error, primary, product)
    finally:
        primary.close()


def _lines(told: Mapping[str, object], fields: Mapping[str, str], *, asked: bool) -> Iterator[str]:
    now = told["value"]
    value = f" = {now}" if now is not None else "" if not asked else " has no value now"
    yield f"{told['cell']}{value}"
    yield f"{told['help']} Unit: {told['unit']}."
    yield ""
    inputs = told["inputs"]
    assert isinstance(inputs, list)
    if told["formula"]:
        yield f"computed  {told['formula']}"
        before = ["", *(one["name"] for one in inputs)]
        names = ["" if one["name"] == previous else one["name"] for one, previous in zip(inputs, before, strict=False)]
        widths = max((len(name) for name in names), default=0), max((len(one["cell"]) for one in inputs), default=0)
        for name, one in zip(names, inputs, strict=True):
            found = one["value"] if one["value"] is not None else "-" if asked else ""
            yield f"          {name:<{widths[0]}}  {one['cell']:<{widths[1]}}  {found}".rstrip()
        if told["unpublished"]:
            yield f"          {'and ' if inputs else ''}{told['unpublished']} counts that are not published"
    else:
        yield "counted"
    yield f"since     {told['since']}"
    stands_at = str(told["stands_at"])
    clock = {"_watermark": "the watermark", "_as_of": "the stream clock"}[stands_at]
    yield f"as of     {clock}{_time(fields.get(stands_at))}"
    yield f"Redis     {told['redis']}"
    yield f"PromQL    {told['promql'] or 'none: this number is in Redis only'}"


def _time(text: str | None) -> str:
    return "" if text is None else f", {datetime.fromtimestamp(int(text) / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _fail(code: int, message: str) -> int:
    print(f"tidegauge explain: {message}", file=sys.stderr)
    return code
