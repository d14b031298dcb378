"""The Kubernetes manifests: valid by the API's own schemas, of files that are there, and fitting the image."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from deploy.kubernetes import rules
from tests.deploy.dockerfile import read
from tests.services import ROOT

DEPLOY = ROOT / "deploy"
VERSIONS = ("1.28", "1.31", "1.34")
OPERATOR = {"ServiceMonitor", "PrometheusRule"}
"""Kinds of the Prometheus Operator, which no schema of Kubernetes itself knows."""

Json = dict[str, Any]
KUSTOMIZATION: Json = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
MANIFESTS: dict[str, Json] = {
    resource["kind"]: resource
    for file in KUSTOMIZATION["resources"]
    for resource in yaml.safe_load_all((DEPLOY / file).read_text())
}


def generated() -> dict[str, dict[str, str]]:
    """The config maps that kustomize makes: name -> file -> content."""
    maps: dict[str, dict[str, str]] = {}
    for made in KUSTOMIZATION["configMapGenerator"]:
        for entry in made["files"]:
            name, _, path = entry.rpartition("=")
            maps.setdefault(made["name"], {})[name or Path(path).name] = (DEPLOY / path).read_text()
    return maps


def pod() -> Json:
    spec: Json = MANIFESTS["StatefulSet"]["spec"]["template"]["spec"]
    return spec


def container() -> Json:
    (found,) = pod()["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", sorted(set(MANIFESTS) - OPERATOR))
def test_a_manifest_is_what_the_api_takes(kind: str, version: str) -> None:
    assert kubernetes_validate.validate(MANIFESTS[kind], version, strict=True).startswith(version)


@pytest.mark.parametrize("wrong", [{"replicas": "one"}, {"replica": 1}])
def test_a_mistake_in_a_manifest_would_be_noticed(wrong: Json) -> None:
    spoilt = MANIFESTS["StatefulSet"] | {"spec": MANIFESTS["StatefulSet"]["spec"] | wrong}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(spoilt, VERSIONS[-1], strict=True)


def test_the_kustomization_names_every_manifest_and_nothing_outside_its_folder() -> None:
    listed = {DEPLOY / file for file in KUSTOMIZATION["resources"]}
    assert listed == set((DEPLOY / "kubernetes").glob("*.yaml"))
    files = [entry.rpartition("=")[2] for made in KUSTOMIZATION["configMapGenerator"] for entry in made["files"]]
    assert all((DEPLOY / file).resolve().is_relative_to(DEPLOY) for file in files)


def test_the_config_maps_hold_the_committed_files_and_fit_into_the_cluster() -> None:
    maps = generated()
    stored = {file.name: file.read_text() for file in (DEPLOY / "grafana" / "dashboards").glob("*.json")}
    assert maps["tidegauge-dashboards"] == stored
    assert all(len(json.dumps(content)) < 1_000_000 for content in maps.values())  # etcd takes 1 MiB
    (labelled,) = (made for made in KUSTOMIZATION["configMapGenerator"] if made["name"] == "tidegauge-dashboards")
    assert labelled["options"]["labels"] == {"grafana_dashboard": "1"}


def test_the_rules_of_the_operator_are_those_of_prometheus() -> None:
    stored = (DEPLOY / "kubernetes" / "prometheusrule.yaml").read_text()
    assert stored == rules.manifests(), "deploy/kubernetes/prometheusrule.yaml is stale: make docs"
    (file,) = rules.RULES.glob("*.yml")
    assert MANIFESTS["PrometheusRule"]["spec"] == yaml.safe_load(file.read_text())
    assert set(MANIFESTS["PrometheusRule"]) == {"apiVersion", "kind", "metadata", "spec"}


def test_everything_that_is_mounted_is_made_here_or_told_how_to_make() -> None:
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    claims = {claim["metadata"]["name"] for claim in MANIFESTS["StatefulSet"]["spec"]["volumeClaimTemplates"]}
    mounted = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"]}
    assert set(mounted) == set(volumes) | claims
    assert volumes["config"]["configMap"]["name"] in generated()
    secret = volumes["connections"]["secret"]["secretName"]
    assert f"kubectl create secret generic {secret}" in (DEPLOY / "OPERATIONS.md").read_text()
    environment = {one["name"]: one["value"] for one in container()["env"]}
    assert environment["REDIS_URL_FILE"].startswith(mounted["connections"])
    assert environment["TIDEGAUGE_STATE"].startswith(mounted["state"] + "/")
    config = container()["args"][-1]
    assert config.startswith(mounted["config"] + "/")
    assert Path(config).name in generated()[volumes["config"]["configMap"]["name"]]


def test_the_pod_is_as_unprivileged_as_the_image() -> None:
    final = {one.name: one.text for one in read(DEPLOY / "Dockerfile")[-1]}
    user, group = final["USER"].split(":")
    security = pod()["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"], security["runAsNonRoot"]) == (int(user), int(group), True)
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    # Whatever the namespace's policy `restricted` asks for.
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod()["automountServiceAccountToken"] is False


def test_probes_ask_what_they_are_named_after() -> None:
    asked = {probe: container()[probe]["httpGet"]["path"] for probe in container() if probe.endswith("Probe")}
    assert asked == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


def test_every_selector_finds_the_pod_and_the_service() -> None:
    labels = MANIFESTS["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        MANIFESTS["StatefulSet"]["spec"]["selector"]["matchLabels"],
        MANIFESTS["Service"]["spec"]["selector"],
        MANIFESTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        MANIFESTS["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    monitor = MANIFESTS["ServiceMonitor"]["spec"]
    assert monitor["selector"]["matchLabels"].items() <= MANIFESTS["Service"]["metadata"]["labels"].items()
    ports = {port["name"] for port in MANIFESTS["Service"]["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in monitor["endpoints"]} <= ports
    assert MANIFESTS["StatefulSet"]["spec"]["serviceName"] == MANIFESTS["Service"]["metadata"]["name"]


def test_ports_agree_everywhere() -> None:
    (port,) = container()["ports"]
    environment = {one["name"]: one["value"] for one in container()["env"]}
    exposed = {one.name: one.text for one in read(DEPLOY / "Dockerfile")[-1]}["EXPOSE"]
    assert str(port["containerPort"]) == exposed == environment["TIDEGAUGE_METRICS_ADDRESS"].rpartition(":")[2]
    assert MANIFESTS["Service"]["spec"]["ports"][0]["port"] == port["containerPort"]


def test_the_network_policy_lets_in_the_scrape_and_out_what_is_connected_to() -> None:
    policy = MANIFESTS["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [port["port"] for rule in policy["ingress"] for port in rule["ports"]] == ["metrics"]
    assert sorted({port["port"] for rule in policy["egress"] for port in rule["ports"]}) == [53, 6379, 9092]


def test_no_variable_of_a_service_can_be_taken_for_a_setting() -> None:
    # Kubernetes would set TIDEGAUGE_PORT and more for a service of this name.
    assert pod()["enableServiceLinks"] is False
    assert re.fullmatch(r"[a-z-]+", MANIFESTS["Service"]["metadata"]["name"])
