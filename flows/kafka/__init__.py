"""How any part of the job talks to Kafka."""
