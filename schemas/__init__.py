"""The contracts of what comes in: events, their decoding, and worked examples."""
