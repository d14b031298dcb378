"""Several processes as one job: who they are, in what order they hear each other, who measures what."""
