"""The images and the compose file as they stand."""

import json
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from fanline.setting_sources import ENV_PREFIX, SERVICES, all_fields, section_of
from fanline.settings import Settings
from tests.docker.conftest import (
    COMPOSE,
    COMPOSE_FILE,
    DEPENDENCIES,
    DOCKERFILE,
    FIRST_START,
    ROOT,
    STAGES,
    copied_sources,
    mounts,
)


def test_dockerfile_is_clean() -> None:
    """Hadolint finds nothing to say about the Dockerfile."""
    hadolint = Path(sys.executable).with_name("hadolint")
    result = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_images_are_pinned() -> None:
    """The base image is named by its digest, and all that is installed by its hashes."""
    taken = {line.split()[1] for line in DOCKERFILE.read_text().splitlines() if line.startswith("FROM")}
    assert all("@sha256:" in image for image in taken - STAGES.keys())
    (command,) = (each for each in STAGES["build"].arguments("RUN") if " install " in each)
    assert "--no-deps --require-hashes --requirement requirements.txt" in command
    assert "--no-deps --no-build-isolation ." in command


def test_actions_are_pinned() -> None:
    """Each action of the workflows is named by its commit."""
    used = [
        use
        for workflow in (ROOT / ".github/workflows").iterdir()
        for use in re.findall(r"uses: (\S+)", workflow.read_text())
    ]
    assert used
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", use) for use in used)


def test_every_image_is_built_for_arm_with_its_contents() -> None:
    """A version has an image of each stage, for both architectures, with SBOM and provenance."""
    job = yaml.safe_load((ROOT / ".github/workflows/images.yml").read_text())["jobs"]["image"]
    (build,) = (step["with"] for step in job["steps"] if "build-push-action" in step["uses"])
    assert set(job["strategy"]["matrix"]["target"]) == {"setup", *SERVICES}
    assert build["platforms"] == "linux/amd64,linux/arm64"
    assert build["sbom"] is build["provenance"] is True


def test_everything_copied_exists() -> None:
    """Each COPY finds its source, in the tree and past .dockerignore."""
    let_through = (ROOT / ".dockerignore").read_text().splitlines()
    for source in copied_sources():
        assert (ROOT / source).exists(), source
        assert f"!{source}" in let_through, source


def test_every_package_is_in_the_image() -> None:
    """No package or module that pyproject.toml lists is left out of the images."""
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    packages = {package.removesuffix("*") for package in setuptools["packages"]["find"]["include"]}
    assert packages | {f"{module}.py" for module in setuptools["py-modules"]} <= copied_sources()


@pytest.mark.parametrize("path", [DOCKERFILE, COMPOSE_FILE], ids=lambda path: path.name)
def test_every_setting_named_exists(path: Path) -> None:
    """Each FANLINE_ variable in the docker files is a setting."""
    named = re.findall(rf"{ENV_PREFIX}(\w+)", path.read_text())
    assert named
    assert {name.lower() for name in named} <= set(all_fields())


def test_every_module_run_exists() -> None:
    """Each ``python -m MODULE`` in the Dockerfile can be run."""
    modules = set(re.findall(r'"-m", "([\w.]+)"', DOCKERFILE.read_text()))
    assert set(SERVICES) < modules
    for module in modules:
        spec = find_spec(module)
        assert spec is not None, module
        assert spec.submodule_search_locations is None or find_spec(f"{module}.__main__"), module


@pytest.mark.parametrize("service", SERVICES)
def test_image_of_each_service(service: str) -> None:
    """Each service has an image: not root, with a health check, stopped by SIGTERM (line 12)."""
    stage = STAGES[service]
    assert json.loads(stage.last("ENTRYPOINT")) == ["python", "-m", service]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", stage.last("USER"))
    assert stage.last("STOPSIGNAL") == "SIGTERM"
    assert stage.last("HEALTHCHECK").endswith(
        f'CMD ["python", "-m", "fanline.server.healthcheck", "{service}"]'
    )
    assert stage.last("EXPOSE") == str(section_of(service).model_fields["port"].default)


@pytest.mark.parametrize("service", SERVICES)
def test_images_listen_on_all_interfaces(service: str) -> None:
    """In a container each service listens on all interfaces, which needs a users file (line 12)."""
    environment = STAGES[service].environment()
    assert environment["FANLINE_HOST"] == "0.0.0.0"
    assert environment["FANLINE_USERS_FILE"].startswith(environment["FANLINE_CERT_DIR"])


def test_setup_image_runs_the_script() -> None:
    """The image of setup runs the script that it copies, on the volume that is its own."""
    stage = STAGES["setup"]
    source, folder = stage.last("COPY").split()
    assert ROOT / source == FIRST_START
    assert json.loads(stage.last("ENTRYPOINT")) == ["python", f"{folder}{FIRST_START.name}", "/private"]


def test_compose_starts_every_service() -> None:
    """The compose file starts them all, each from its own stage of the Dockerfile (line 12)."""
    assert set(COMPOSE["services"]) == {"setup", *SERVICES}
    for name, service in COMPOSE["services"].items():
        build = service["build"]
        context = COMPOSE_FILE.parent / build["context"]
        assert context.resolve() == ROOT
        assert (context / build["dockerfile"]).resolve() == DOCKERFILE
        assert build["target"] == name
        assert name in STAGES


@pytest.mark.parametrize("service", SERVICES)
def test_services_wait_for_setup_and_may_finish(service: str) -> None:
    """Services start after the credentials are made, and are given longer to stop than they take."""
    definition = COMPOSE["services"][service]
    assert definition["depends_on"]["setup"]["condition"] == "service_completed_successfully"
    grace = float(definition["stop_grace_period"].removesuffix("s"))
    assert grace > Settings.model_fields["drain_timeout"].default


@pytest.mark.parametrize("service", ["setup", *SERVICES])
def test_containers_are_locked_down(service: str) -> None:
    """No container can write outside its volumes, or gain a privilege."""
    definition = COMPOSE["services"][service]
    assert definition["read_only"] is True
    assert definition["cap_drop"] == ["ALL"]
    assert definition["security_opt"] == ["no-new-privileges:true"]


def test_volumes_keep_secrets_apart() -> None:
    """Only setup sees the CA key, only msgqueue the log, and no service can change the credentials."""
    volumes = {"private", "credentials", "pipeline", "chat"}
    assert mounts("setup") == {volume: f"/{volume}" for volume in volumes}
    shared = {"credentials": "/credentials:ro"}
    assert mounts("msgqueue") == shared | {"data": "/data"}  # not the key with which tokens are issued
    for edge in ("publisher", "subscriber"):
        assert mounts(edge) == shared | {"pipeline": "/pipeline:ro"}
    assert mounts("chat") == shared | {"chat": "/chat:ro"}
    assert set(COMPOSE["volumes"]) == volumes | {"data"}


def test_volumes_are_mounted_where_the_image_looks() -> None:
    """The folders that the image's settings name are those that the volumes are mounted on."""
    environment = STAGES["msgqueue"].environment()
    assert environment["FANLINE_CERT_DIR"] == "/credentials"
    assert environment["FANLINE_DATA_DIR"] == "/data"
    files = COMPOSE["services"]["publisher"]["environment"]
    for name in ("LINK_PASSWORD_FILE", "TOKEN_KEY_FILE"):
        assert files[f"{ENV_PREFIX}{name}"].startswith("/pipeline/")
    for name in ("CHAT_PASSWORD_FILE", "CHAT_USER_PASSWORD_FILE", "CHAT_TOKEN_KEY_FILE"):
        assert files[f"{ENV_PREFIX}{name}"].startswith("/chat/")


def test_ports_are_those_of_the_settings() -> None:
    """All but msgqueue are published on their default ports, on loopback unless told otherwise."""
    services = COMPOSE["services"]
    assert "ports" not in services["msgqueue"]
    for edge in ("publisher", "subscriber", "chat"):
        port = section_of(edge).model_fields["port"].default
        assert services[edge]["ports"] == [f"${{PUBLISH_ON:-127.0.0.1}}:{port}:{port}"]


@pytest.mark.parametrize("service", SERVICES)
def test_services_find_each_other(service: str) -> None:
    """Each address that a service is given is the name and the port of another one (line 12)."""
    environment = COMPOSE["services"][service]["environment"]
    for setting, dependency in DEPENDENCIES.items():
        url = urlsplit(environment[f"{ENV_PREFIX}{setting.upper()}"])
        port = section_of(dependency).model_fields["port"].default
        assert (url.scheme, url.hostname, url.port) == ("wss", dependency, port)
