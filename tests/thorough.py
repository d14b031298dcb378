"""How much the tests try: `make test` some of what chance offers, `make thorough` all of it."""

from __future__ import annotations

import os
from typing import Final

import pytest
from hypothesis import settings

THOROUGH: Final = os.environ.get("TIDEGAUGE_THOROUGH") == "1"
SHARE: Final = 4
LONG: Final = pytest.mark.skipif(not THOROUGH, reason="takes a minute: make thorough")


def some_of(most: int) -> int:
    """Of so many tries: all, or one in SHARE."""
    return most if THOROUGH else -(-most // SHARE)


def examples(most: int) -> settings:
    """So many examples of a law, or some of them."""
    return settings(max_examples=some_of(most))
