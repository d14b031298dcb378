"""Prints the alert rules as a manifest for the Prometheus Operator: what is in ../prometheus/rules, in its words.

kustomize can put files into config maps only; a PrometheusRule has its rules within. `make docs` writes the manifest
anew, and a test says when it is stale.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

RULES = Path(__file__).parents[1] / "prometheus" / "rules"
HEAD = """\
# Generated from {source}: make docs
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: tidegauge-{product}
spec:
"""


def manifests() -> str:
    """One PrometheusRule for each file of rules."""
    made = [
        HEAD.format(source=f"deploy/prometheus/rules/{file.name}", product=file.stem)
        + textwrap.indent(file.read_text("utf-8"), "  ")
        for file in sorted(RULES.glob("*.yml"))
    ]
    return "---\n".join(made)


if __name__ == "__main__":
    print(manifests(), end="")
