"""The simulated product: a web shop whose true numbers are known, so every published one can be checked."""
