"""``fanline.js`` in Node, as docs/browser.md shows it, with real services."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from fanline.security.tokens import PIPELINE, Claims, TokenKey
from msgqueue.app import open_msgqueue
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import StartService
from tests.stubs import DEADLINE
from tests.tree import ROOT

NODE = Path(sys.executable).with_name("node")


@pytest.fixture
async def example(start_service: StartService, tmp_path: Path) -> str:
    """The example of the page, for a new pipeline, with a token."""
    queue = await start_service(open_msgqueue)
    url = f"wss://localhost:{queue.port}"
    publisher = await start_service(open_publisher, queue_url=url)
    subscriber = await start_service(open_subscriber, queue_url=url)
    key = TokenKey(tmp_path / "token.key")
    key.create_if_missing()
    token = key.issue(
        Claims.new("node", lifetime=600, publish=["orders.*"], subscribe=["orders.*"]), PIPELINE
    )
    page = (ROOT / "docs/browser.md").read_text()
    (program,) = re.findall(r"^```js\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    for stated, real in {
        '"fanline"': f'"{ROOT / "chat/static/fanline.js"}"',
        "wss://localhost:8081": f"wss://localhost:{publisher.port}",
        "wss://localhost:8082": f"wss://localhost:{subscriber.port}",
        "process.env.TOKEN": f'"{token}"',
    }.items():
        assert stated in program
        program = program.replace(stated, real)
    return str(program)


@pytest.mark.parametrize("flags", [(), ("--no-experimental-websocket",)], ids=["websocket", "http"])
async def test_program_publishes_and_receives(
    example: str, cert_dir: Path, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    """Without WebSockets, as in Node 20, it goes over HTTP (line 50)."""
    (tmp_path / "example.mjs").write_text(example)
    node = await asyncio.create_subprocess_exec(
        NODE,
        *flags,
        tmp_path / "example.mjs",
        env=os.environ | {"NODE_EXTRA_CA_CERTS": str(cert_dir / "ca.crt")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(DEADLINE):
            output, _ = await node.communicate()
    finally:
        if node.returncode is None:
            node.kill()
    assert output.decode().splitlines()[-1:] == ["7"], output
    assert node.returncode == 0
