"""`tidegauge top`: a live terminal view of a running deployment, from Redis alone."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import NoReturn

import redis

from flows.commands import live_numbers
from flows.publish.redis.client import RedisRefused, connect, sentence
from flows.publish.redis.layout import Keys
from flows.terminal.reading import Reading, line
from flows.terminal.view import View
from flows.terminal.watch import TIMEOUT_S, Reader, Screen, products

HELP = "show the live numbers of a running deployment in the terminal"
REFRESH_S = 0.5


class Unclear(Exception):  # noqa: N818 - what the user has to decide
    """Which product is meant cannot be told; the message says what there is."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    live_numbers.add_arguments(
        parser, "says what there is to show, names the product, and Redis unless REDIS_URL is set"
    )
    parser.add_argument("--product", help="product to show (default: that of --config, else the only one in Redis)")
    parser.add_argument(
        "--section",
        metavar="TITLE",
        action="append",
        default=[],
        help="show only sections whose title begins with TITLE, such as funnel; can be repeated (default: what fits)",
    )
    parser.add_argument("--window", metavar="WINDOW", help="window to show where a number has several, such as 1h")
    parser.add_argument("--once", action="store_true", help="print one line and exit; exit code 1 unless data is live")
    parser.add_argument("--json", action="store_true", help="print all numbers as JSON and exit, as with --once")
    parser.add_argument("--plain", action="store_true", help="print lines of text instead of a page")


def main(args: argparse.Namespace) -> int:
    """0: shown and live; 1: Redis does not answer, or (--once, --json) data is stale or absent; 2: usage."""
    loaded = live_numbers.loaded_for(args)
    url = loaded.settings.redis_url
    product = args.product or (loaded.config.product if args.config else "")
    try:
        primary = connect(url, Keys(product).live, TIMEOUT_S)  # to say what errors mean, also before there is a reader
        reader = Reader(url, product or _only_product(url))
        if args.once or args.json:
            return _print(reader.read(), as_json=args.json)
    except Unclear as unclear:
        return _fail(2, str(unclear))
    except RedisRefused as refused:
        return _fail(1, str(refused))
    except redis.RedisError as error:
        return _fail(1, sentence(error, primary, product))
    from flows.web.layout import layout  # here: numba takes a second to load

    page = layout(loaded.config)
    if args.window is not None and args.window not in page.windows:
        return _fail(2, f"--window is one of {', '.join(page.windows)}")
    titles = [section.title for section in page.sections]
    for wanted in args.section:
        if not any(title.casefold().startswith(wanted.casefold()) for title in titles):
            return _fail(2, f"no section begins with {wanted}; there are {', '.join(titles)}")
    with Screen(View(page, args.section, args.window or ""), plain=args.plain) as screen:
        try:
            _watch(reader, screen)
        except KeyboardInterrupt:
            return 0


def _watch(reader: Reader, screen: Screen) -> NoReturn:
    """Until Ctrl-C."""
    while True:
        try:
            screen.show(reader.read())
        except redis.RedisError as error:
            screen.wait_for(sentence(error, reader.primary, reader.product))
        time.sleep(REFRESH_S)


def _only_product(url: str) -> str:
    try:
        found = products(url)
    except redis.exceptions.NoPermissionError:
        raise Unclear("this user may not look for products in Redis; name one with --product or --config") from None
    if len(found) == 1:
        return found[0]
    if found:
        raise Unclear(f"which product? --product {' or '.join(found)}")
    raise Unclear("nothing is published in this Redis; name the product to wait for with --product or --config")


def _print(reading: Reading, *, as_json: bool) -> int:
    if as_json:
        numbers = {cell: _number(text) for cell, text in sorted(reading.fields.items())}
        told = {"product": reading.product, "state": reading.state, "cells": numbers}
        print(json.dumps(told, indent=2))
    else:
        print(line(reading))
    return 0 if reading.state == "live" else 1


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _fail(code: int, message: str) -> int:
    print(f"tidegauge top: {message}", file=sys.stderr)
    return code
