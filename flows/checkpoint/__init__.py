"""What a run saves, so that the next one goes on where it ended: arrays, files, and the folder they are in."""
