"""The application as a whole: how errors become answers, and how it describes itself."""

import re

import pytest

from tests.chat.client import ChatClient


async def test_an_unknown_path(chat: ChatClient) -> None:
    """Where there is nothing the answer is 404, in JSON."""
    for path in (
        "/nowhere",
        "/api",
        "/api/",
        "/api/rooms/",
        "/../etc/passwd",
        "/.env",
        "/app.js/",
        "/index.html",
    ):
        response = await chat.http.get(path)
        assert response.status_code == 404
        assert response.json().keys() == {"error", "reason"}


async def test_a_wrong_method(chat: ChatClient) -> None:
    """What cannot be done at a path is answered with 405, in JSON, and with what can."""
    for method, path, allowed in [
        ("GET", "/login", "POST"),
        ("PUT", "/logout", "GET, HEAD, POST"),
        ("POST", "/api/room/lobby", "DELETE, GET, HEAD"),
        ("GET", "/api/room", "POST"),
        ("DELETE", "/", "GET, HEAD"),
        ("OPTIONS", "/api/rooms", "GET, HEAD"),
        ("FROBNICATE", "/api/rooms", "GET, HEAD"),
    ]:
        response = await chat.http.request(method, path)
        assert (response.status_code, response.json()["error"]) == (405, "method-not-allowed")
        assert response.headers["Allow"] == allowed


async def test_a_websocket_path_asked_for_as_a_page(chat: ChatClient) -> None:
    """A plain request where a WebSocket is gets 426, and the server goes on (line 2)."""
    for path in ("/join", "/api/serve/lobby", "/api/feed"):
        response = await chat.http.get(path)
        assert (response.status_code, response.json()["error"]) == (426, "upgrade-required")
        assert response.headers["Upgrade"] == "websocket"
    assert (await chat.http.get("/healthz")).status_code == 200


async def test_a_defect_of_ours(
    chat: ChatClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What goes wrong here is answered with 500, without a word of what it was; the log has it all."""

    async def fail(*_: object) -> str:
        raise RuntimeError("something secret")

    monkeypatch.setattr(chat.server.chat.lifecycle, "problem", fail)
    response = await chat.http.get("/api/healthz")
    assert (response.status_code, response.json()["error"]) == (500, "internal")
    assert "secret" not in response.text
    assert "something secret" in caplog.text


async def test_the_description_is_complete(chat: ChatClient) -> None:
    """Every operation has an id, a sentence, the answers it may give, and whether it needs a login."""
    description = (await chat.http.get("/openapi.json")).json()
    operations = [
        (path, operation) for path, methods in description["paths"].items() for operation in methods.values()
    ]
    ids = [operation["operationId"] for _, operation in operations]
    assert len(set(ids)) == len(ids) > 15
    for path, operation in operations:
        assert operation["description"].endswith((".", ";"))
        assert "422" not in operation["responses"]
        assert operation["responses"]["default"]["content"]["application/json"]["schema"]["$ref"].endswith(
            "/Problem"
        )
        if path.startswith(("/api/room", "/history", "/logout")):
            assert {"bearer": []} in operation["security"]
            assert {"parameter": []} in operation["security"]
            assert ({} in operation["security"]) == path.startswith("/api/")


async def test_the_documentation_is_a_page_of_our_own(chat: ChatClient) -> None:
    """The page for people shows every operation, without a script, and without anything from elsewhere."""
    page = await chat.http.get("/docs")
    paths = (await chat.http.get("/openapi.json")).json()["paths"]
    assert all(f" {path}</code>" in page.text for path in paths)
    assert "<script" not in page.text
    assert not re.search(r"https?://", page.text)
    assert "style-src 'sha256-" in page.headers["Content-Security-Policy"]
