"""Compiles the loops that tests use, before several processes would do so side by side: `python -m tests.warm`."""

from __future__ import annotations

from deploy.bench.everything import every_option
from deploy.bench.stream import config
from deploy.local import ROOT
from flows.config.file import load
from flows.run.warm_up import warm_up

FILES = (ROOT / "deploy" / "examples" / "shop.yaml", *sorted((ROOT / "flows" / "demo").glob("*.yaml")))

if __name__ == "__main__":
    for known in (every_option(), config(), *(load(file, environment={}).config for file in FILES)):
        warm_up(known)
