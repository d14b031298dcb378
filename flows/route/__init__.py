"""Who gets what of a poll."""
