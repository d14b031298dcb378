"""Keeps rejected records: a bounded spool on disk, and the topic it empties into."""
