"""``fanline top`` at a real pipeline."""

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fanline.cli.main import app
from fanline.cli.top.command import look
from fanline.cli.top.screen import Overview
from fanline.client.transport.https import HttpsClient
from fanline.client.transport.login import Login
from fanline.errors import Disconnected
from fanline.security.client_tls import client_context
from msgqueue.app import open_msgqueue
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService, receive_objects
from tests.stubs import PASSWORD, USER


async def test_shows_services_and_connections(
    start_service: StartService, dial: Dial, cert_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One screen has all services, those that do not answer too, and who is connected (line 58)."""
    queue = await start_service(open_msgqueue)
    urls = {"queue_url": f"wss://localhost:{queue.port}", "chat_url": "wss://localhost:1"}
    publisher = await start_service(open_publisher, **urls)
    urls["publisher_url"] = f"wss://localhost:{publisher.port}"
    subscriber = await start_service(open_subscriber, **urls, subscriber_url="wss://localhost:1")
    client = await dial(publisher, "/publish")
    await client.send('{"topic": "a", "content": 1}')
    await receive_objects(client, 1)
    monkeypatch.setenv("FANLINE_CERT_DIR", str(cert_dir))
    monkeypatch.setenv("FANLINE_SUBSCRIBER_URL", f"wss://localhost:{subscriber.port}")
    monkeypatch.setenv("COLUMNS", "140")
    result = await asyncio.to_thread(CliRunner().invoke, app, ["top", "--once"])
    assert result.exit_code == 0, result.output
    lines = {line.split()[0]: line for line in result.output.splitlines() if line.strip()}
    assert " ready " in lines["publisher"]
    assert "no answer" in result.output
    assert "localhost:1" in lines["chat:"]
    assert f"127.0.0.1:{client.local_address[1]}" in lines[USER]


async def test_says_why_it_cannot_ask(start_service: StartService, cert_dir: Path) -> None:
    """A refused login ends with the reason that the service gives."""
    service = await start_service(open_subscriber, queue_url="wss://localhost:1")
    client = HttpsClient(
        f"wss://localhost:{service.port}",
        tls=client_context(cert_dir),
        timeout=60,
        login=Login.by_password(USER, f"not {PASSWORD}"),
    )
    with pytest.raises(Disconnected, match="answers 401"):
        assert isinstance(await look(client), Overview)
    client.close()
