"""What ends a command: every error that is meant to be read has one of two bases."""

from __future__ import annotations


class TidegaugeError(Exception):
    """One sentence for the operator that says what to do; until somebody does it, every run ends in the same way."""


class RecoverableError(TidegaugeError):
    """The same, about something that may come right by itself: a broker that is away, a process that was lost."""
