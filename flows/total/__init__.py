"""The sum over shards."""
