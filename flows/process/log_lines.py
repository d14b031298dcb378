"""Log lines that nothing can forge: a record begins at the margin with its time, and nothing else does.

Some texts in the log come from elsewhere: a server's words, a path that was asked for, a name in a file. What such a
text holds of line ends is indented, and what would move the cursor, turn the direction of writing or cannot be
encoded is shown as an escape.
"""

from __future__ import annotations

import logging
import sys

FORMAT = "%(asctime)s %(levelname)-7s %(message)s"


class LineFormatter(logging.Formatter):
    """Formats a record as its first line at the margin and the others indented."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's text, with its traceback if it has one."""
        return plain(super().format(record))


def plain(text: str) -> str:
    """`text` with visible escapes for what is not printable, and its line ends indented."""
    if text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character == "\n":
        return "\n    "
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def log_to_stderr() -> None:
    """Set up the log of this process, once."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
