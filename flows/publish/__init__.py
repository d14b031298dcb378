"""Where numbers and rejected records go: Redis, Prometheus, the dead-letter topic."""
