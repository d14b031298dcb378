"""The Kubernetes manifests: valid by the API's own schemas, of files that are there, and fitting the image."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import kubernetes_validate
import pytest
import yaml

from deploy.kubernetes import rules
from flows.config.file import load
from flows.web.server import DEFAULT_ADDRESS, LivePage
from tests.deploy.dockerfile import read
from tests.services import ROOT

DEPLOY = ROOT / "deploy"
VERSIONS = ("1.28", "1.31", "1.34")
OPERATOR = {"ServiceMonitor", "PrometheusRule"}
"""Kinds of the Prometheus Operator, which no schema of Kubernetes itself knows."""

Json = dict[str, Any]
KUSTOMIZATION: Json = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
MANIFESTS: dict[str, Json] = {
    f"{resource['kind']}/{resource['metadata']['name']}": resource
    for file in KUSTOMIZATION["resources"]
    for resource in yaml.safe_load_all((DEPLOY / file).read_text())
}
JOB, WEB = "StatefulSet/tidegauge", "Deployment/tidegauge-web"
both = pytest.mark.parametrize("name", [JOB, WEB])


def generated() -> dict[str, dict[str, str]]:
    """The config maps that kustomize makes: name -> file -> content."""
    maps: dict[str, dict[str, str]] = {}
    for made in KUSTOMIZATION["configMapGenerator"]:
        for entry in made["files"]:
            name, _, path = entry.rpartition("=")
            maps.setdefault(made["name"], {})[name or Path(path).name] = (DEPLOY / path).read_text()
    return maps


def pod(name: str) -> Json:
    spec: Json = MANIFESTS[name]["spec"]["template"]["spec"]
    return spec


def container(name: str) -> Json:
    (found,) = pod(name)["containers"]
    assert isinstance(found, dict)
    return found


def of_kind(kind: str) -> dict[str, Json]:
    return {name.partition("/")[2]: manifest for name, manifest in MANIFESTS.items() if name.startswith(f"{kind}/")}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", sorted(name for name in MANIFESTS if name.partition("/")[0] not in OPERATOR))
def test_a_manifest_is_what_the_api_takes(name: str, version: str) -> None:
    assert kubernetes_validate.validate(MANIFESTS[name], version, strict=True).startswith(version)


@pytest.mark.parametrize("wrong", [{"replicas": "one"}, {"replica": 1}])
def test_a_mistake_in_a_manifest_would_be_noticed(wrong: Json) -> None:
    spoilt = MANIFESTS[JOB] | {"spec": MANIFESTS[JOB]["spec"] | wrong}
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
    dashboards = [made for made in KUSTOMIZATION["configMapGenerator"] if made["name"] != "tidegauge-config"]
    held = [file for made in dashboards for file in maps[made["name"]].items()]
    assert (len(held), dict(held)) == (len(stored), stored)
    assert all(len(json.dumps(content)) < 1_000_000 for content in maps.values())  # etcd takes 1 MiB
    assert all(made["options"]["labels"] == {"grafana_dashboard": "1"} for made in dashboards)


def test_the_rules_of_the_operator_are_those_of_prometheus() -> None:
    stored = (DEPLOY / "kubernetes" / "prometheusrule.yaml").read_text()
    assert stored == rules.manifests(), "deploy/kubernetes/prometheusrule.yaml is stale: make docs"
    (file,) = rules.RULES.glob("*.yml")
    (made,) = of_kind("PrometheusRule").values()
    assert made["spec"] == yaml.safe_load(file.read_text())
    assert set(made) == {"apiVersion", "kind", "metadata", "spec"}


@both
def test_everything_that_is_mounted_is_made_here_or_told_how_to_make(name: str) -> None:
    volumes = {volume["name"]: volume for volume in pod(name)["volumes"]}
    claims = {claim["metadata"]["name"] for claim in MANIFESTS[name]["spec"].get("volumeClaimTemplates", [])}
    mounted = {mount["name"]: mount["mountPath"] for mount in container(name)["volumeMounts"]}
    assert set(mounted) == set(volumes) | claims
    assert volumes["config"]["configMap"]["name"] in generated()
    (secret,) = (volume for volume in volumes.values() if "secret" in volume)
    assert f"kubectl create secret generic {secret['secret']['secretName']}" in (DEPLOY / "OPERATIONS.md").read_text()
    environment = {one["name"]: one["value"] for one in container(name)["env"]}
    assert environment["REDIS_URL_FILE"].startswith(mounted[secret["name"]])
    assert [environment["TIDEGAUGE_STATE"].startswith(mounted[claim] + "/") for claim in claims] in ([], [True])
    arguments = container(name)["args"]
    config = arguments[arguments.index("--config") + 1]
    assert config.startswith(mounted["config"] + "/")
    assert Path(config).name in generated()[volumes["config"]["configMap"]["name"]]


@both
def test_the_pod_is_as_unprivileged_as_the_image(name: str) -> None:
    final = {one.name: one.text for one in read(DEPLOY / "Dockerfile")[-1]}
    user, group = final["USER"].split(":")
    security = pod(name)["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"], security["runAsNonRoot"]) == (int(user), int(group), True)
    assert container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    # Whatever the namespace's policy `restricted` asks for.
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(name)["automountServiceAccountToken"] is False


def test_the_page_has_credentials_of_its_own_which_can_read_alone() -> None:
    (job,) = (volume["secret"] for volume in pod(JOB)["volumes"] if "secret" in volume)
    (web,) = (volume["secret"] for volume in pod(WEB)["volumes"] if "secret" in volume)
    assert web["secretName"] != job["secretName"]
    user = re.search(
        rf"generic {web['secretName']} .*redis-url=redis://([a-z-]+):", (DEPLOY / "OPERATIONS.md").read_text()
    )
    assert user is not None
    rights = re.search(rf"^ACL SETUSER {user[1]} on .*$", (DEPLOY / "SECURITY.md").read_text(), re.M)
    assert rights is not None
    assert "%R~" in rights[0]
    assert " ~" not in rights[0]


def probes(name: str) -> dict[str, Json]:
    return {probe: container(name)[probe]["httpGet"] for probe in container(name) if probe.endswith("Probe")}


def test_probes_ask_what_they_are_named_after() -> None:
    asked = {probe: get["path"] for probe, get in probes(JOB).items()}
    assert asked == {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


def test_the_page_answers_its_probes_and_no_name_that_it_does_not_know() -> None:
    page = LivePage(
        load(DEPLOY / "examples" / "shop.yaml", environment={}).config, "redis://127.0.0.1:1/0", "0.0.0.0:0"
    )
    page.start()
    try:
        assert set(probes(WEB)) == {"startupProbe", "livenessProbe", "readinessProbe"}
        for get in probes(WEB).values():
            headers = {header["name"]: header["value"] for header in get["httpHeaders"]}
            with urlopen(Request(f"{page.url[:-1]}{get['path']}", headers=headers), timeout=30) as answer:
                assert answer.status == 200
        with pytest.raises(HTTPError, match="421"):
            urlopen(Request(page.url, headers={"Host": "10.0.0.7:9161"}), timeout=30)
    finally:
        page.close()


@pytest.mark.parametrize("name", ["tidegauge", "tidegauge-web"])
def test_every_selector_finds_the_pods_of_its_name_and_no_others(name: str) -> None:
    pods = {
        workload.partition("/")[2]: MANIFESTS[workload]["spec"]["template"]["metadata"]["labels"]
        for workload in (JOB, WEB)
    }
    selectors = [
        *(MANIFESTS[one]["spec"]["selector"]["matchLabels"] for one in (JOB, WEB) if one.endswith(f"/{name}")),
        of_kind("Service")[name]["spec"]["selector"],
        of_kind("NetworkPolicy")[name]["spec"]["podSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert [one for one, labels in pods.items() if selector.items() <= labels.items()] == [name]


def test_a_disruption_and_the_scrape_are_of_the_job() -> None:
    labels = MANIFESTS[JOB]["spec"]["template"]["metadata"]["labels"]
    assert MANIFESTS["PodDisruptionBudget/tidegauge"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    monitor, services = MANIFESTS["ServiceMonitor/tidegauge"]["spec"], of_kind("Service")
    wanted = monitor["selector"]["matchLabels"].items()
    assert [name for name, one in services.items() if wanted <= one["metadata"]["labels"].items()] == ["tidegauge"]
    assert "app.kubernetes.io/name" not in KUSTOMIZATION["labels"][0]["pairs"]  # it would give both the same
    ports = {port["name"] for port in services["tidegauge"]["spec"]["ports"]}
    assert {endpoint["port"] for endpoint in monitor["endpoints"]} <= ports
    assert MANIFESTS[JOB]["spec"]["serviceName"] == services["tidegauge"]["metadata"]["name"]


def test_ports_agree_everywhere() -> None:
    (port,) = container(JOB)["ports"]
    environment = {one["name"]: one["value"] for one in container(JOB)["env"]}
    exposed = {one.name: one.text for one in read(DEPLOY / "Dockerfile")[-1]}["EXPOSE"]
    assert str(port["containerPort"]) == exposed == environment["TIDEGAUGE_METRICS_ADDRESS"].rpartition(":")[2]
    assert of_kind("Service")["tidegauge"]["spec"]["ports"][0]["port"] == port["containerPort"]
    (page,) = container(WEB)["ports"]
    arguments = container(WEB)["args"]
    assert arguments[arguments.index("--address") + 1].rpartition(":")[2] == str(page["containerPort"])
    (served,) = of_kind("Service")["tidegauge-web"]["spec"]["ports"]
    assert (served["port"], served["targetPort"]) == (page["containerPort"], page["name"])
    assert DEFAULT_ADDRESS.endswith(f":{page['containerPort']}")


@pytest.mark.parametrize(
    ("name", "ports_in", "ports_out"),
    [("tidegauge", ["metrics"], [53, 6379, 9092]), ("tidegauge-web", ["web"], [53, 6379])],
)
def test_a_network_policy_lets_in_who_asks_and_out_what_is_connected_to(
    name: str, ports_in: list[str], ports_out: list[int]
) -> None:
    policy = of_kind("NetworkPolicy")[name]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [port["port"] for rule in policy["ingress"] for port in rule["ports"]] == ports_in
    assert sorted({port["port"] for rule in policy["egress"] for port in rule["ports"]}) == ports_out


@both
def test_no_variable_of_a_service_can_be_taken_for_a_setting(name: str) -> None:
    # Kubernetes would set TIDEGAUGE_PORT and more for a service of this name.
    assert pod(name)["enableServiceLinks"] is False
    assert all(re.fullmatch(r"[a-z-]+", service) for service in of_kind("Service"))
