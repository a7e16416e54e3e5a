"""The programs of docs/clients.md, with real services."""

import asyncio
import os
import re
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import fanline
from msgqueue.app import open_msgqueue
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import StartService
from tests.processes import Pipeline
from tests.stubs import DEADLINE, PASSWORD, USER
from tests.tree import ROOT

# How each program is made, and run.
COMMANDS = {
    "go": ["go build -o client main.go", "./client"],
    "java": ["javac Client.java", "java -XX:TieredStopAtLevel=1 Client"],
}
FILES = {"go": "main.go", "java": "Client.java"}


def example(language: str) -> str:
    page = (ROOT / "docs/clients.md").read_text()
    (program,) = re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    return str(program)


@asynccontextmanager
async def running(command: str, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command in a folder, with what tools of Go and Java keep outside of it."""
    environment = os.environ | {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}
    process = await asyncio.create_subprocess_exec(
        *command.split(), cwd=folder, env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.long
@pytest.mark.parametrize("language", COMMANDS)
async def test_program_goes_on_after_a_kill(
    language: str, cert_dir: Path, tls: ssl.SSLContext, tmp_path: Path
) -> None:
    """It publishes, receives that, and what is published while the subscriber service is away; all once."""
    build, run = COMMANDS[language]
    if shutil.which(build.split()[0]) is None:
        pytest.skip(f"the example in {language} is not run: there is no {build.split()[0]}")
    (tmp_path / "var").mkdir()
    (tmp_path / "var/certs").symlink_to(cert_dir)
    async with asyncio.timeout(DEADLINE * 3), Pipeline(tmp_path, cert_dir) as pipeline:
        publisher, subscriber = pipeline.publisher, pipeline.subscriber
        program = example(language).replace("localhost:8081", publisher.url[6:])
        (tmp_path / FILES[language]).write_text(
            program.replace("localhost:8082", f"localhost:{subscriber.port}")
        )
        async with running(build, tmp_path) as compiler:
            assert await compiler.wait() == 0
        async with running(run, tmp_path) as client:
            assert client.stdout is not None
            assert b'"content":{"total":12.5}' in await client.stdout.readline()
            await subscriber.kill()
            for n in (1, 2):
                await fanline.publish(
                    "orders.eu", n, url=publisher.url, user=USER, password=PASSWORD, tls=tls, timeout=DEADLINE
                )
            await subscriber.start()
            for n in (1, 2):
                assert f'"content":{n}'.encode() in await client.stdout.readline()


async def test_program_without_asyncio(
    start_service: StartService, cert_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It publishes, and receives what it has published."""
    queue = await start_service(open_msgqueue)
    url = f"wss://localhost:{queue.port}"
    publisher = await start_service(open_publisher, queue_url=url)
    subscriber = await start_service(open_subscriber, queue_url=url)
    program = example("python").replace('"var/certs"', f'"{cert_dir}"')
    program = program.replace("Publisher(**", f'Publisher(url="wss://localhost:{publisher.port}", **')
    program = program.replace("ack.seq - 1, **", f'ack.seq - 1, url="wss://localhost:{subscriber.port}", **')
    async with asyncio.timeout(DEADLINE):
        await asyncio.to_thread(exec, compile(program, "docs/clients.md", "exec"), {})
    assert capsys.readouterr().out == "orders.sync {'total': 12.5}\n"
