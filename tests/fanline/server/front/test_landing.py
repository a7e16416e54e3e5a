"""The first page of a service."""

from importlib import metadata

import pytest

from publisher.app import open_publisher
from tests.conftest import StartService
from tests.fanline.server.conftest import Echo, Get


async def test_a_service_says_what_it_is(start_service: StartService, get: Get) -> None:
    """In text: name, version, every endpoint, and a command to try it with, for no login."""
    service = await start_service(open_publisher, queue_url="wss://localhost:1", path_prefix="/live")
    shown = await get(service, "/", login=None)
    assert (shown.status_code, shown.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    url = f"localhost:{service.port}/live"
    lines = [line.split(maxsplit=1) for line in shown.text.splitlines()]
    assert shown.text.startswith(f"Fanline publisher {metadata.version('fanline')}\n")
    assert ["WebSocket", f"wss://{url}/publish"] in lines
    assert ["POST", f"https://{url}/topics/{{topic}}/messages"] in lines
    assert ["Metrics", f"https://{url}/metrics"] in lines
    assert f"curl -u USER --json '\"Hello, world\"' https://{url}/topics/greetings/messages" in shown.text


@pytest.mark.parametrize(("host", "named"), [("a.example:8", "a.example:8"), ('"><script>', "localhost")])
async def test_a_browser_gets_a_page(
    start_service: StartService, echo: Echo, get: Get, host: str, named: str
) -> None:
    """With links, and with nothing that the request has made up."""
    service = await start_service(echo.open)
    shown = await get(service, "/", login=None, headers={"Accept": "text/html", "Host": host})
    assert shown.headers["content-type"] == "text/html; charset=utf-8"
    assert f'<a href="https://{named}/healthz">' in shown.text
    assert f'<li>Page: <a href="https://{named}/defect">' in shown.text
    assert f"<code>wss://{named}/echo</code>" in shown.text
    assert "<script" not in shown.text
