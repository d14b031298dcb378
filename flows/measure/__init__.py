"""The work: copies, lateness, order, users, and every metric family over the users of one shard."""
