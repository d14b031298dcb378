"""The live numbers in a terminal, for `tidegauge top` and the demo: the sections of the live page, as lines of text."""
