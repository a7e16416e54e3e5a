"""The manifests and the compose file of a cluster: valid, and true to the settings and to each other."""

import asyncio
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest
import yaml
from cryptography import x509

from fanline.security.client_tls import client_context
from fanline.setting_sources import CONFIG_VARIABLE, ENV_PREFIX, all_fields
from fanline.verify.cluster.nats_servers import NatsPorts, find_program, wait_for_servers
from tests.deploy.test_kubernetes import FOLDER, ROOT, VERSIONS, inherited, named
from tests.forking import forked
from tests.stubs import DEADLINE

CLUSTER = FOLDER / "cluster"
CONFIGURATION = CLUSTER / "nats.conf"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker/compose.cluster.yaml").read_text())
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((CLUSTER / "kustomization.yaml").read_text())

# By what the items of a list are told apart when a patch is merged into it.
KEYS = {"volumeMounts": "mountPath"}

Document = Mapping[str, Any]


def merged(base: Any, patch: Any, field: str = "") -> Any:
    """Return an object with a patch merged into it, as kustomize does."""
    if isinstance(patch, dict):
        return base | {key: merged(base.get(key, type(each)()), each, key) for key, each in patch.items()}
    if not isinstance(patch, list) or not all(isinstance(each, dict) for each in patch):
        return patch
    key = KEYS.get(field, "name")
    items = {each.get(key): each for each in base}
    return list(
        (items | {each.get(key): merged(items.get(each.get(key), {}), each) for each in patch}).values()
    )


def patched(path: str) -> Document:
    """Return an object of the single msgqueue, as a patch makes it that of a cluster."""
    patch = yaml.safe_load((CLUSTER / path).read_text())
    found: Document = merged(named(patch["kind"], patch["metadata"]["name"]), patch)
    return found


@cache
def documents() -> Sequence[Document]:
    """Return what a cluster has besides, and what it has in another form."""
    own = yaml.safe_load_all((CLUSTER / "nats.yaml").read_text())
    return [*own, *(patched(each["path"]) for each in KUSTOMIZATION["patches"])]


def the(kind: str, name: str) -> Document:
    (found,) = [each for each in documents() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def pods(name: str) -> list[str]:
    """Return the names of the pods of a StatefulSet, by which its Service has them found."""
    found = the("StatefulSet", name)["spec"]
    assert the("Service", found["serviceName"])["spec"]["clusterIP"] == "None"
    return [f"{name}-{number}.{found['serviceName']}" for number in range(found["replicas"])]


def settings() -> dict[str, str]:
    data: dict[str, str] = the("ConfigMap", "fanline-settings")["data"]
    return data


def addresses(urls: str) -> list[tuple[str | None, int | None]]:
    return [(urlsplit(url).hostname, urlsplit(url).port) for url in urls.split(",")]


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_are_valid(version: str) -> None:
    """Each object is what the API expects, those that are patched too; no file is left out (line 55)."""
    for document in documents():
        kubernetes_validate.validate(document, version, strict=True)
    used = {*KUSTOMIZATION["resources"], *(each["path"] for each in KUSTOMIZATION["patches"])}
    used |= {name for each in KUSTOMIZATION["configMapGenerator"] for name in each["files"]}
    assert used == {"..", *(path.name for path in CLUSTER.iterdir())} - {"kustomization.yaml"}


def test_addresses_are_those_of_the_pods() -> None:
    """The settings name each msgqueue and NATS server, at the ports at which they listen (line 61)."""
    ports = {each["name"]: each["port"] for each in the("Service", "nats")["spec"]["ports"]}
    servers = pods("nats")
    assert len(servers) == 3
    assert addresses(settings()["FANLINE_NATS_URLS"]) == [(server, ports["nats"]) for server in servers]
    assert addresses(settings()["FANLINE_NATS_MONITOR_URLS"]) == [
        (server, ports["monitor"]) for server in servers
    ]
    assert addresses(settings()["FANLINE_QUEUE_URL"]) == [(queue, 8080) for queue in pods("msgqueue")]
    text = CONFIGURATION.read_text()
    assert [f"nats://{server}:{ports['routes']}" for server in servers] == re.findall(
        r'"(nats://[^"]+)"', text
    )
    for name, port in (("listen", "nats"), ("https", "monitor"), ("listen", "routes")):
        assert f'{name}: "0.0.0.0:{ports[port]}"' in text


def test_every_setting_exists() -> None:
    """Each variable of the manifests and of the compose file is a setting."""
    environments = [service.get("environment", {}) for service in COMPOSE["services"].values()]
    named_there = {name for each in environments for name in each if name.startswith(ENV_PREFIX)}
    names = {name.removeprefix(ENV_PREFIX).lower() for name in {*settings(), *named_there}}
    assert names <= set(all_fields())


def test_compose_has_what_the_manifests_have() -> None:
    """The same NATS servers by the same names, with the same configuration; two msgqueues with own logs."""
    services = COMPOSE["services"]
    aliases = [services[name.partition(".")[0]]["networks"]["default"]["aliases"] for name in pods("nats")]
    assert aliases == [[name] for name in pods("nats")]
    for name in ("msgqueue", "msgqueue-2"):
        environment = services[name]["environment"]
        for setting in ("NATS_URLS", "NATS_MONITOR_URLS", "NATS_USER", "NATS_PASSWORD_FILE", "QUEUE_WAIT"):
            assert environment[f"{ENV_PREFIX}{setting}"] == settings()[f"{ENV_PREFIX}{setting}"]
    for service in services.values():
        queues = service.get("environment", {}).get(
            "FANLINE_QUEUE_URL", "wss://msgqueue:8080,wss://msgqueue-2:8080"
        )
        assert addresses(queues) == [("msgqueue", 8080), ("msgqueue-2", 8080)]
    assert {"msgqueue-2", *pods("nats")} <= set(services["setup"]["command"].split())
    mounts = [each.split(":") for service in services.values() for each in service.get("volumes", ())]
    volumes = {mount[0] for mount in mounts if "/" not in mount[0]}
    assert volumes == {*COMPOSE["volumes"], "credentials"}
    assert {mount[0] for mount in mounts if "/" in mount[0]} == {"../deploy/kubernetes/cluster/nats.conf"}


def configured(folder: Path, credentials: Path, ports: list[NatsPorts], number: int) -> list[str]:
    """Return the command of a server with the configuration as it is, but for addresses and folders."""
    text = CONFIGURATION.read_text()
    for index, name in enumerate(pods("nats")):
        text = text.replace(f"{name}:6222", f"localhost:{ports[index].route}")
    for old, new in (("4222", "client"), ("8222", "monitor"), ("6222", "route")):
        text = text.replace(f"0.0.0.0:{old}", f"127.0.0.1:{getattr(ports[number], new)}")
    data = folder / f"data-{number}"
    text = text.replace('"/data"', f'"{data}"').replace("/credentials/", f"{credentials}/")
    path = folder / f"{number}.conf"
    path.write_text(text)
    return [str(find_program()), "--config", str(path), "--log", str(path.with_suffix(".log"))]


def test_the_nats_servers_take_their_configuration(tmp_path: Path, cert_dir: Path) -> None:
    """It has no mistake, and syncs before it acknowledges."""
    with ExitStack() as reserved:
        ports = NatsPorts.reserve(reserved)
    command = configured(tmp_path, cert_dir, ports, 0)
    environment = os.environ | {"NATS_NAME": "nats-0", "NATS_PASSWORD": '"secret"'}
    done = subprocess.run([*command, "-t"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "sync_interval: always" in CONFIGURATION.read_text()


@pytest.mark.long
async def test_the_nats_servers_find_each_other(tmp_path: Path) -> None:
    """By TLS in both directions, with the certificate and the password of the first start (line 59)."""
    environment = {CONFIG_VARIABLE: str(FOLDER / "secrets.toml"), "PYTHONPATH": str(ROOT)}
    environment |= inherited() | {f"{ENV_PREFIX}NATS_PASSWORD_FILE": "secrets/nats/nats-password"}
    names = [*pods("nats"), *pods("msgqueue")]
    made = forked.run(
        "docker.first_start", "secrets/private", *names, environment=environment, folder=tmp_path
    )
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "secrets/nats/nats-password").read_text().strip()
    credentials = tmp_path / "secrets/credentials"
    found = x509.load_pem_x509_certificate((credentials / "server.crt").read_bytes())
    alternatives = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {*names} <= {*alternatives.get_values_for_type(x509.DNSName)}
    with ExitStack() as stack:
        ports = NatsPorts.reserve(stack)
        for number in range(3):
            server = os.environ | {"NATS_NAME": f"nats-{number}", "NATS_PASSWORD": '"secret"'}
            process = subprocess.Popen(configured(tmp_path, credentials, ports, number), env=server)
            stack.callback(process.wait)
            stack.callback(process.kill)
        async with asyncio.timeout(DEADLINE):
            await wait_for_servers(ports, client_context(credentials), least=3)
