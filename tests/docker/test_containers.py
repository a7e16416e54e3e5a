"""Commands of the containers, run without a container engine."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Self

import bcrypt
import httpx
import pytest
from cryptography import x509

from fanline.security.client_tls import client_context
from fanline.security.tokens import PIPELINE, Claims, TokenKey
from fanline.security.users import User, UsersFile
from fanline.setting_sources import ENV_PREFIX, SERVICES
from tests.docker.conftest import COMPOSE, ROOT, STAGES
from tests.forking import forked
from tests.processes import free_ports
from tests.stubs import DEADLINE


class Project:
    """Settings as compose makes them: a folder for each volume, and a free port for each service."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.private = folder / "private"
        self.credentials = folder / "credentials"
        self.pipeline = folder / "pipeline"
        self.chat = folder / "chat"
        self.data = folder / "data"
        for volume in (self.private, self.credentials, self.pipeline, self.chat, self.data):
            volume.mkdir(mode=0o700, exist_ok=True)
        self.ports = dict(zip(SERVICES, free_ports(len(SERVICES)), strict=True))

    def environment(self, service: str) -> dict[str, str]:
        """Return what the image and the compose file set, with paths and addresses that lead here."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
        image = STAGES[service].environment()
        del image["PATH"]
        variables = image | COMPOSE["services"][service]["environment"]
        here = {name: self._here(value) for name, value in variables.items()}
        ports = {f"{ENV_PREFIX}{name.upper()}_PORT": str(port) for name, port in self.ports.items()}
        return inherited | here | ports | {"PYTHONPATH": str(ROOT)}

    def _here(self, value: str) -> str:
        for volume in (self.credentials, self.pipeline, self.chat, self.data):
            value = re.sub(rf"^/{volume.name}\b", str(volume), value)
        for service, port in self.ports.items():
            value = re.sub(rf"(?<=//){service}:\d+$", f"localhost:{port}", value)
        return value

    def set_up(self, *names: str) -> str:
        """Run what the container ``setup`` runs, and return what it says."""
        arguments = str(self.private), *names
        result = forked.run("docker.first_start", *arguments, environment=self.environment("setup"))
        assert result.returncode == 0, result.stderr
        return result.stdout

    def contents(self) -> dict[Path, bytes]:
        volumes = (self.private, self.credentials, self.pipeline, self.chat)
        files = [file for volume in volumes for file in volume.iterdir()]
        return {path: path.read_bytes() for path in files}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project before its first start."""
    return Project(tmp_path)


@pytest.fixture(scope="module")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a project after its first start, and what that has said."""
    project = Project(tmp_path_factory.mktemp("project"))
    return project.folder, project.set_up("live.example.org")


@pytest.fixture
def started(first_start: tuple[Path, str], tmp_path: Path) -> Project:
    """A project after its first start, with ports of its own."""
    shutil.copytree(first_start[0], tmp_path, dirs_exist_ok=True)
    return Project(tmp_path)


def test_first_start_makes_credentials_that_work(started: Project) -> None:
    """The first start makes a user for the services and one for people, with passwords that log in."""
    accounts = UsersFile(started.credentials / "users").read()
    passwords = {
        "pipeline": started.pipeline / "link-password",
        "chat": started.chat / "user-password",
        "admin": started.private / "admin-password",
    }
    assert accounts.keys() == passwords.keys()
    for name, file in passwords.items():
        assert bcrypt.checkpw(file.read_bytes().strip(), accounts[name].password_hash.encode())
    assert accounts["pipeline"].user.is_service
    assert accounts["chat"].user == User("chat", ("chat.>",), ("chat.>",))
    assert accounts["admin"].user == User("admin", is_admin=True)


def test_secrets_of_the_old_layout_move(project: Project) -> None:
    """Secrets that version 0.1 kept for all services are kept, but not where msgqueue reads."""
    old = {"link-password": project.pipeline, "token.key": project.pipeline, "chat-password": project.chat}
    for name in old:
        (project.credentials / name).write_text(f"{name} of before, with more than 32 bytes\n")
    project.set_up()
    for name, folder in old.items():
        assert (folder / name).read_text() == f"{name} of before, with more than 32 bytes\n"
        assert not (project.credentials / name).exists()


def test_users_are_added_in_the_container_of_setup(started: Project, first_start: tuple[Path, str]) -> None:
    """The command that the first start names works: setup can write the users file."""
    assert "run --rm --entrypoint fanline setup user add NAME" in first_start[1]
    subprocess.run(
        [Path(sys.executable).with_name("fanline"), "user", "add", "ann", "--publish", "orders.>"],
        env=started.environment("setup"),
        input=b"secret\n",
        check=True,
    )
    assert UsersFile(started.credentials / "users").read()["ann"].user == User("ann", publish=("orders.>",))


@pytest.mark.parametrize("service", ["setup", *SERVICES])
def test_containers_are_limited(service: str) -> None:
    """No container takes all memory or processes of its machine, or fills its disk with a log."""
    definition = COMPOSE["services"][service]
    assert definition["mem_limit"] == "${MEMORY:-1g}"
    assert definition["cpus"] == "${CPUS:-1}"
    assert definition["pids_limit"] == 256
    assert set(definition["logging"]["options"]) == {"max-size", "max-file"}


def test_first_start_keeps_secrets(first_start: tuple[Path, str]) -> None:
    """No other user can read the secrets, no service can read the key of the CA, and no password is shown."""
    folder, said = first_start
    project = Project(folder)
    credentials = project.credentials
    tokens = [project.pipeline / "token.key", project.chat / "token.key"]
    keys = [project.private / "ca.key", credentials / "server.key", *tokens]
    shown = [project.private / "admin-password", project.chat / "chat-password"]
    passwords = [*shown, project.pipeline / "link-password", project.chat / "user-password"]
    for path in (*keys, *passwords, project.credentials / "users"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert not (project.credentials / "ca.key").exists()
    for path in shown:
        assert str(path) in said
    secrets = [path.read_text().strip() for path in (*passwords, *tokens)]
    assert len(set(secrets)) == len(secrets)
    assert not [secret for secret in secrets if secret in said]


def test_starting_again_changes_nothing(started: Project) -> None:
    """A second start keeps certificates and credentials as they are, and does not greet again."""
    made = started.contents()
    said = started.set_up()
    assert started.contents() == made
    assert "password" not in said


def test_a_broken_first_start_is_finished_by_the_next(started: Project) -> None:
    """A start that stopped half way, with a password but no user, is completed by the next."""
    password = (started.private / "admin-password").read_bytes()
    (started.credentials / "users").unlink()
    (started.credentials / "users.toml").unlink()
    started.set_up()
    accounts = UsersFile(started.credentials / "users").read()
    assert bcrypt.checkpw(password.strip(), accounts["admin"].password_hash.encode())


def test_a_chat_password_of_ones_own_is_kept(project: Project) -> None:
    """A password that the operator has put there before the first start is left as it is."""
    (project.chat / "chat-password").write_text("ours\n")
    assert "Chat" not in project.set_up()
    assert (project.chat / "chat-password").read_text() == "ours\n"


def test_certificate_names_the_services_and_more(started: Project) -> None:
    """The server certificate is good for each service of the compose file, and for the names given."""
    certificate = x509.load_pem_x509_certificate((started.credentials / "server.crt").read_bytes())
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    names = extension.value.get_values_for_type(x509.DNSName)
    assert {"localhost", "live.example.org", *SERVICES} <= set(names)


class Container:
    """A service as its image and the compose file run it, until the ``with`` block ends."""

    def __init__(self, service: str, project: Project) -> None:
        self._stage = STAGES[service]
        self._environment = project.environment(service)
        self._folder = project.folder
        self._url = f"https://localhost:{project.ports[service]}"
        self._tls = client_context(project.credentials)

    def __enter__(self) -> Self:
        module, *arguments = in_exec_form(self._stage.last("ENTRYPOINT"))
        self.process = forked.Background(
            module, *arguments, environment=self._environment, folder=self._folder
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def is_healthy(self) -> bool:
        module, *arguments = in_exec_form(self._stage.last("HEALTHCHECK").partition("CMD ")[2])
        return forked.run(module, *arguments, environment=self._environment).returncode == 0

    def http(self) -> httpx.Client:
        """Return a client for what it answers."""
        return httpx.Client(base_url=self._url, verify=self._tls, trust_env=False, timeout=DEADLINE)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` is true; while the service does not listen, it may fail to connect."""
        deadline = time.monotonic() + DEADLINE
        while True:
            with suppress(httpx.ConnectError):
                if condition():
                    return
            assert self.process.poll() is None, "the service has ended"
            assert time.monotonic() < deadline, "the service does not become healthy"
            time.sleep(0.02)

    def run(self, *arguments: str) -> str:
        """Run a Python module inside, as ``docker compose exec`` does, and return what it says."""
        module, *options = arguments
        result = forked.run(module, *options, environment=self._environment)
        assert result.returncode == 0, result.stderr
        return result.stdout


def in_exec_form(text: str) -> list[str]:
    """Return the module that a command runs, and its arguments."""
    words: list[str] = json.loads(text)
    assert words[:2] == ["python", "-m"]
    return words[2:]


@pytest.mark.parametrize("service", SERVICES)
def test_container_is_healthy_until_it_is_stopped(started: Project, service: str) -> None:
    """Each service starts with what the first start made, passes its health check, and drains on SIGTERM."""
    folders = set(started.folder.iterdir())
    with Container(service, started) as container:
        container.until(container.is_healthy)
        container.process.send_signal(signal.SIGTERM)
        assert container.process.wait(DEADLINE) == 0
        assert not container.is_healthy()
    assert set(started.folder.iterdir()) == folders, "written outside the volumes"


def test_message_goes_through_the_containers(started: Project) -> None:
    """A message published in one container arrives in another, with the files of the first start alone."""
    with (
        Container("publisher", started) as publisher,
        Container("subscriber", started) as subscriber,
        Container("msgqueue", started),
    ):
        publisher.run("clientdemo", "pub", "greetings", "through every container")
        received = subscriber.run("clientdemo", "sub", "greetings", "--last", "1", "--count", "1", "--json")
    assert json.loads(received)["content"] == "through every container"


def test_chat_works_in_its_container(started: Project) -> None:
    """With what the first start made, chat becomes ready, and lets in who has its password, but no guests."""
    password = (started.chat / "chat-password").read_text().strip()
    with (
        Container("msgqueue", started),
        Container("publisher", started),
        Container("subscriber", started),
        Container("chat", started) as chat,
        chat.http() as client,
    ):
        chat.until(lambda: client.get("/readyz").status_code == HTTPStatus.OK)
        for tried, status in ((password, HTTPStatus.OK), ("test", HTTPStatus.UNAUTHORIZED)):
            assert client.post("/login", json={"password": tried, "name": "ann"}).status_code == status
        assert client.post("/guest").status_code == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(("edge", "path"), [("publisher", "/publish"), ("subscriber", "/subscribe")])
def test_tokens_work_in_the_containers(started: Project, edge: str, path: str) -> None:
    """The key that the first start made is the one by which publisher and subscriber know a token."""
    key = TokenKey(started.pipeline / "token.key")
    token = key.issue(Claims.new("page", lifetime=600, publish=["a"]), PIPELINE)
    with (
        Container("msgqueue", started),
        Container(edge, started) as container,
        container.http() as client,
    ):
        container.until(lambda: client.get("/readyz").status_code == HTTPStatus.OK)
        for shown, status in ((token, HTTPStatus.UPGRADE_REQUIRED), ("x", HTTPStatus.UNAUTHORIZED)):
            headers = {"Authorization": f"Bearer {shown}"}
            assert client.get(path, headers=headers).status_code == status
