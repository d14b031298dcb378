"""What the stages of the dataflow hand to each other."""
