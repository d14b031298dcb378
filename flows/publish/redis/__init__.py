"""Writes numbers to Redis: one primary, one script, absolute values."""
