"""Shows the numbers, and the process's own health, to Prometheus."""
