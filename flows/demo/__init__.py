"""Simulated products: a web shop and others, whose true numbers are known, so every published one can be checked."""
