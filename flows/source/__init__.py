"""Where records come from: Kafka, a file, and the ticks that cut their streams."""
