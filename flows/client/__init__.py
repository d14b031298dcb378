"""For services: a product's numbers, read from Redis."""
