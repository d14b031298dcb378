"""Tidegauge: live, exact product metrics from Kafka to Redis and Prometheus."""
