"""The sub-commands of `tidegauge`: each module has `HELP`, `add_arguments(parser)` and `main(args)`."""
