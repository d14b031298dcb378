"""Where records come from and numbers go: Kafka, files, Redis, Prometheus, and their embedded stand-ins."""
