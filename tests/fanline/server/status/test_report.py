"""A service tells admins of itself."""

from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest
from prometheus_client import CollectorRegistry

from fanline.security.users import User, UsersFile
from fanline.server import App, Service
from fanline.server.status.report import StatusReporter
from tests.conftest import Dial, StartService
from tests.fanline.server.conftest import Echo, Get

ROOT, ALICE = ("root", "secret"), ("alice", "secret")


@pytest.fixture
async def service(start_service: StartService, echo: Echo, tmp_path: Path) -> Service:
    """An echo service with an admin and a user."""
    users = UsersFile(tmp_path / "users")
    users.put(User("root", is_admin=True), "secret", cost=4)
    users.put(User("alice"), "secret", cost=4)
    return await start_service(echo.open, users_file=users.path)


async def test_status_has_reasons_for_admins_only(service: Service, echo: Echo, get: Get) -> None:
    """An admin is told why a service is not ready, what version it is, and how old its certificate gets."""
    echo.problem = "msgqueue cannot be reached"
    status = (await get(service, "/admin/status", login=ROOT)).raise_for_status().json()
    assert (status["service"], status["problem"], status["workers"]) == ("subscriber", echo.problem, 1)
    assert status["started"] <= status["time"] < status["certificate_expires"]
    for path in ("/admin/status", "/admin/connections"):
        assert (await get(service, path, login=ALICE)).json()["code"] == "forbidden"
        assert (await get(service, path, login=None)).status_code == 401


def test_one_of_several_workers_says_so() -> None:
    """An admin learns that figures and connections are those of one process."""
    for workers, words in {1: [], 2: ["one of 2 workers"]}.items():
        reporter = StatusReporter(
            App(max_frame=1, metrics=CollectorRegistry(), readiness_problem=lambda: None, drain=Mock()),
            "publisher",
            workers,
            connections=list,
            problems=list,
            certificate_expires=lambda: 0.0,
        )
        notices = reporter.status(1).notices
        assert [word in notice for word, notice in zip(words, notices, strict=True)] == [True] * len(words)


async def test_connections_come_by_page_and_user(service: Service, dial: Dial, get: Get) -> None:
    """Connections are listed with user and address, those of one user alone on request, page by page."""
    for user in ("alice", "alice", "root"):
        await dial(service, "/echo", user=user, password="secret")

    async def ask(query: str) -> httpx.Response:
        return await get(service, f"/admin/connections?{query}", login=ROOT)

    page = (await ask("")).json()
    assert (page["service"], page["total"]) == ("subscriber", 3)
    assert sorted(each["user"] for each in page["connections"]) == ["alice", "alice", "root"]
    assert page["connections"][0]["address"] == "127.0.0.1"
    of_alice = (await ask("user=alice&limit=1")).json()
    assert (of_alice["total"], len(of_alice["connections"])) == (2, 1)
    rest = (await ask("user=alice&skip=1")).json()
    assert [each["port"] for each in (*of_alice["connections"], *rest["connections"])] != [0, 0]
    assert of_alice["connections"] != rest["connections"]
    for query in ("limit=501", "skip=x", "limit=-1"):
        assert (await ask(query)).status_code == 400
