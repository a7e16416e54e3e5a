"""The Kubernetes manifests: valid for the API, true to the settings, and enough to run the services."""

import asyncio
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest
import yaml

from fanline import Disconnected, Publisher, Subscriber
from fanline.client import check_ready
from fanline.security.client_tls import client_context
from fanline.server.child_process import ChildProcess
from fanline.setting_sources import CONFIG_VARIABLE, ENV_PREFIX, SERVICES, all_fields, section_of
from fanline.settings import Settings
from tests.forking import forked
from tests.processes import spawn
from tests.stubs import DEADLINE

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))

# Kinds that an operator brings, whose schema is not part of the API.
CUSTOM = {"Kustomization", "ServiceMonitor"}

# The oldest and the newest version that the manifests are checked against.
VERSIONS = ("1.29", "1.37")

# The secrets that docs/operations.md has one make: the file behind each key.
FILES_OF = {
    "fanline-tls": {
        "ca.crt": "credentials/ca.crt",
        "tls.crt": "credentials/server.crt",
        "tls.key": "credentials/server.key",
    },
    "fanline-users": {"users": "credentials/users", "users.toml": "credentials/users.toml"},
    "fanline-pipeline": {"link-password": "pipeline/link-password", "token.key": "pipeline/token.key"},
    "fanline-chat": {
        "user-password": "chat/user-password",
        "chat-password": "chat/chat-password",
        "token.key": "chat/token.key",
    },
}

Document = Mapping[str, Any]


def kustomization() -> Document:
    document: Document = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    return document


def documents() -> Iterator[Document]:
    """Yield what is applied to the cluster."""
    for name in kustomization()["resources"]:
        yield from yaml.safe_load_all((FOLDER / name).read_text())


def named(kind: str, name: str) -> Document:
    (found,) = [each for each in documents() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def workload(service: str) -> Document:
    return named("StatefulSet" if service == "msgqueue" else "Deployment", service)


def pod(service: str) -> Document:
    spec: Document = workload(service)["spec"]["template"]["spec"]
    return spec


def container(service: str) -> Document:
    only: Document
    (only,) = pod(service)["containers"]
    return only


def mounts(service: str) -> dict[str, dict[str, str]]:
    """Return what is mounted from secrets: by folder the files, by their names where they come from."""
    volumes = {volume["name"]: volume for volume in pod(service)["volumes"]}
    found = {}
    for mount in container(service)["volumeMounts"]:
        volume = volumes.get(mount["name"], {})
        if "secret" in volume:
            found[mount["mountPath"]] = FILES_OF[volume["secret"]["secretName"]]
        elif "projected" in volume:
            secrets = [source["secret"] for source in volume["projected"]["sources"]]
            found[mount["mountPath"]] = {
                item["path"]: FILES_OF[secret["name"]][item["key"]]
                for secret in secrets
                for item in secret["items"]
            }
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_manifests_are_valid(path: Path, version: str) -> None:
    """Each object is what the API of Kubernetes expects, without an unknown field (line 55)."""
    for document in yaml.safe_load_all(path.read_text()):
        if document["kind"] not in CUSTOM:
            kubernetes_validate.validate(document, version, strict=True)


def test_every_file_is_applied_or_says_why_not() -> None:
    """The kustomization has all files but the one for the Prometheus operator."""
    listed = {FOLDER / name for name in kustomization()["resources"]}
    assert {*listed, FOLDER / "kustomization.yaml", FOLDER / "service-monitor.yaml"} == set(FILES)


def test_every_setting_exists() -> None:
    """Each variable in the manifests is a setting."""
    variables = named("ConfigMap", "fanline-settings")["data"]
    assert {name.removeprefix(ENV_PREFIX).lower() for name in variables} <= set(all_fields())


@pytest.mark.parametrize("service", SERVICES)
def test_ports_and_probes_are_those_of_the_service(service: str) -> None:
    """Service, container and probes name the port on which the service listens, and pages that it has."""
    port = section_of(service).model_fields["port"].default
    exposed, _ = named("Service", service)["spec"]["ports"]
    listening, _ = container(service)["ports"]
    assert (exposed["port"], listening["containerPort"]) == (port, port)
    assert exposed["targetPort"] == listening["name"] == "https"
    pages = {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    probes = {name: container(service)[f"{name}Probe"]["httpGet"] for name in pages}
    assert {name: probe["path"] for name, probe in probes.items()} == pages
    assert all(probe["port"] == "https" and probe["scheme"] == "HTTPS" for probe in probes.values())


@pytest.mark.parametrize("service", SERVICES)
def test_prometheus_finds_the_metrics_of(service: str) -> None:
    """Monitor, policy, Service and container name the port of the settings, under one job (line 55)."""
    monitor, policy = yaml.safe_load_all((FOLDER / "service-monitor.yaml").read_text())
    labels = named("Service", service)["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert labels[monitor["spec"]["jobLabel"]] == "fanline"
    ((endpoint,), (ingress,)) = monitor["spec"]["endpoints"], policy["spec"]["ingress"]
    (exposed,) = [each for each in named("Service", service)["spec"]["ports"] if each["name"] == "metrics"]
    (listening,) = [each for each in container(service)["ports"] if each["name"] == "metrics"]
    assert endpoint["port"] == exposed["targetPort"] == listening["name"] == ingress["ports"][0]["port"]
    opened = named("ConfigMap", "fanline-settings")["data"][f"FANLINE_{service.upper()}_METRICS_PORT"]
    assert int(opened) == exposed["port"] == listening["containerPort"]


@pytest.mark.parametrize("service", SERVICES)
def test_pods_may_finish_and_gain_nothing(service: str) -> None:
    """A pod has longer to stop than its service takes, and gains no privilege."""
    spec, locked = pod(service), container(service)["securityContext"]
    delay = float(named("ConfigMap", "fanline-settings")["data"]["FANLINE_SHUTDOWN_DELAY"])
    assert spec["terminationGracePeriodSeconds"] > delay + Settings.model_fields["drain_timeout"].default
    assert spec["securityContext"]["runAsNonRoot"]
    assert not spec["automountServiceAccountToken"]
    assert locked["readOnlyRootFilesystem"]
    assert locked["capabilities"] == {"drop": ["ALL"]}
    assert not locked["allowPrivilegeEscalation"]


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget", "NetworkPolicy"])
def test_selectors_find_pods(kind: str) -> None:
    """Every selector matches the labels of some pod."""
    labels = [workload(service)["spec"]["template"]["metadata"]["labels"] for service in SERVICES]
    for document in documents():
        if document["kind"] != kind:
            continue
        selector = document["spec"].get("podSelector") or document["spec"]["selector"]
        wanted = selector if kind == "Service" else selector.get("matchLabels", {})
        choices = selector.get("matchExpressions", [])
        assert [
            each
            for each in labels
            if wanted.items() <= each.items()
            and all(each.get(choice["key"]) in choice["values"] for choice in choices)
        ], document["metadata"]["name"]


class Cluster:
    """The secrets that docs/operations.md has one make, and a folder for each pod."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secrets = folder / "secrets"
        self.urls: dict[str, str] = {}
        self.children: list[ChildProcess] = []
        environment = inherited() | {CONFIG_VARIABLE: str(FOLDER / "secrets.toml"), "PYTHONPATH": str(ROOT)}
        made = forked.run("docker.first_start", "secrets/private", environment=environment, folder=folder)
        assert made.returncode == 0, made.stderr

    def mount(self, service: str) -> dict[str, str]:
        """Write the files of a pod as Kubernetes does: readable for the group, through links."""
        folders = {}
        for path, names in mounts(service).items():
            target = self.folder / service / path.strip("/")
            (target / "..data").mkdir(parents=True)
            for name, source in names.items():
                file = target / "..data" / name
                file.write_bytes((self.secrets / source).read_bytes())
                file.chmod(0o440)
                (target / name).symlink_to(file)
            folders[path] = str(target)
        return folders

    async def start(self, service: str) -> None:
        """Run what the container of a service runs, with its environment and its files."""
        folders = self.mount(service)
        image = {"HOST": "127.0.0.1", "CERT_DIR": "/credentials", "USERS_FILE": "/credentials/users"}
        data = {"DATA_DIR": str(self.folder / "data"), f"{service.upper()}_PORT": "0"}
        settings = {f"{ENV_PREFIX}{name}": value for name, value in {**image, **data}.items()}
        free = {f"{ENV_PREFIX}SHUTDOWN_DELAY": "0", f"{ENV_PREFIX}{service.upper()}_METRICS_PORT": "0"}
        settings |= named("ConfigMap", "fanline-settings")["data"] | free
        for name, value in settings.items():
            host = value.removeprefix("wss://").partition(":")[0]
            mount = f"/{value.strip('/').partition('/')[0]}"
            here = value.replace(mount, folders[mount], 1) if mount in folders else value
            settings[name] = self.urls.get(host, here)
        child = await spawn(service, inherited() | settings, lambda _: None)
        self.children.append(child)
        port = await child.listening()
        assert port is not None, child.last_line
        self.urls[service] = f"wss://localhost:{port}"


async def until_ready(url: str, tls: ssl.SSLContext) -> None:
    while True:
        with suppress(Disconnected):
            await check_ready(url, tls=tls)
            return
        await asyncio.sleep(0.05)


def inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}


async def test_services_start_as_the_manifests_say(tmp_path: Path) -> None:
    """With its mounted files and settings, each service becomes ready, and messages pass (line 55)."""
    cluster = Cluster(tmp_path)
    tls = client_context(cluster.secrets / "credentials")
    try:
        async with asyncio.timeout(DEADLINE):
            for service in SERVICES:
                await cluster.start(service)
            for url in cluster.urls.values():
                await until_ready(url, tls)
            password = (cluster.secrets / "private/admin-password").read_text().strip()
            login: dict[str, Any] = {"user": "admin", "password": password, "tls": tls}
            async with (
                Publisher(cluster.urls["publisher"], **login) as publisher,
                Subscriber("orders.*", url=cluster.urls["subscriber"], after=0, **login) as subscriber,
            ):
                await publisher.publish("orders.eu", 1)
                assert (await anext(subscriber)).value() == 1
    finally:
        for child in cluster.children:
            await child.stop(DEADLINE)
