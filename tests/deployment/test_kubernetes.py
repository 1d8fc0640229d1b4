"""The Kubernetes manifests: their schema, the commands and settings of docker-compose.yml, security and probes."""

import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from store.settings import setting_names
from tests.deployment import compose
from tests.deployment.compose import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
VERSION = "1.34.0"
SERVICES = {"migrate", "api", "sweeper", "enrich", "gpu"}
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return [document for path in FILES for document in yaml.safe_load_all(path.read_text())]


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose.load({"LIMBECK_DATABASE_PASSWORD": "x"})["services"]
    return found


def pods(documents: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name of the component and spec of the pod, of everything that starts pods."""
    for document in documents:
        if document["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield document["metadata"]["name"].removeprefix("limbeck-"), document["spec"]["template"]["spec"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_manifests_fit_the_schema_of_kubernetes(path: Any) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(document, VERSION, strict=True)
        if document["kind"] != "Namespace":
            assert document["metadata"]["namespace"] == "limbeck"


def test_the_check_finds_a_wrong_field(documents: list[dict[str, Any]]) -> None:
    deployment = next(document for document in documents if document["kind"] == "Deployment")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**deployment, "spec": {**deployment["spec"], "replica": 1}}, VERSION, strict=True)


def test_kustomize_has_every_manifest_that_is_no_example() -> None:
    resources = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert sorted(resources) == [path.name for path in FILES if "example" not in path.name]


def test_commands_and_grace_are_those_of_compose(
    documents: list[dict[str, Any]], services: dict[str, dict[str, Any]]
) -> None:
    found = dict(pods(documents))
    assert set(found) == SERVICES | {"postgres", "redis"}
    for name in SERVICES:
        (container,) = found[name]["containers"]
        assert container["command"] == services[name]["command"], name
        assert container["image"] == services[name]["image"], name
        grace = int(services[name].get("stop_grace_period", "10s").removesuffix("s"))
        assert found[name].get("terminationGracePeriodSeconds", 30) >= grace, name
    for name in ("postgres", "redis"):
        (container,) = found[name]["containers"]
        assert container["image"] == services[name]["image"]
        assert container["readinessProbe"]["exec"]["command"] == services[name]["healthcheck"]["test"][1:]


def test_settings_are_those_of_compose(documents: list[dict[str, Any]], services: dict[str, dict[str, Any]]) -> None:
    """Every process reads the same ConfigMap and Secret; no setting has a second place."""
    maps = [document for document in documents if document["kind"] in ("ConfigMap", "Secret")]
    (settings,) = [one["data"] for one in maps if "LIMBECK_HOME" in one.get("data", {})]
    (secrets,) = [one["stringData"] for one in maps if one["kind"] == "Secret"]
    fixed = services["api"]["environment"]
    assert {name: settings[name] for name in fixed} == fixed
    assert {*settings, *secrets} <= set(setting_names())
    assert not set(settings) & set(secrets)
    for name, pod in pods(documents):
        for container in [*pod["containers"], *pod.get("initContainers", [])] if name in SERVICES else []:
            assert container["envFrom"] == [
                {"configMapRef": {"name": "limbeck"}},
                {"secretRef": {"name": "limbeck"}},
            ], name
            assert "env" not in container, name


def test_mounts_are_those_of_compose(documents: list[dict[str, Any]], services: dict[str, dict[str, Any]]) -> None:
    for name, pod in pods(documents):
        volumes = {volume["name"] for volume in pod["volumes"]} | {"data"}
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes, name
        if name in SERVICES - {"migrate"}:
            targets = {
                mount["mountPath"]: mount.get("readOnly", False) for mount in pod["containers"][0]["volumeMounts"]
            }
            expected = {target.split(":")[1]: target.endswith(":ro") for target in services[name]["volumes"]}
            assert {target: targets[target] for target in expected} == expected, name
            assert "/tmp" in targets
    claims = {document["metadata"]["name"] for document in documents if document["kind"] == "PersistentVolumeClaim"}
    used = set(re.findall(r"claimName: ([\w-]+)", "".join(path.read_text() for path in FILES)))
    assert used == claims


def test_pods_are_restricted(documents: list[dict[str, Any]]) -> None:
    for name, pod in pods(documents):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, f"{name}: a Service limbeck would set LIMBECK_PORT"
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert "memory" in container["resources"]["limits"], name
            assert "memory" in container["resources"]["requests"], name


def test_probes(documents: list[dict[str, Any]], services: dict[str, dict[str, Any]]) -> None:
    found = dict(pods(documents))
    for name in ("sweeper", "enrich", "gpu"):
        (container,) = found[name]["containers"]
        _, compose_check = services[name]["healthcheck"]["test"]
        for probe in ("startupProbe", "livenessProbe"):
            assert container[probe]["exec"]["command"] == ["sh", "-c", compose_check], name
    (api,) = found["api"]["containers"]
    assert api["livenessProbe"]["httpGet"]["path"] == "/healthz"
    # Missing workers must not take the API out of service.
    assert api["readinessProbe"]["httpGet"]["path"] == "/readyz?checks=database,keys"


def test_the_gpu_queue(documents: list[dict[str, Any]]) -> None:
    pod = dict(pods(documents))["gpu"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert [one["key"] for one in pod["tolerations"]] == ["nvidia.com/gpu"]
    others = [name for name, one in pods(documents) if "nvidia.com/gpu" in str(one["containers"]) and name != "gpu"]
    assert others == []
