"""The statements of docs/chat.md: paths, codes, and every frame shown."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio import client

from chat.domain.sentences import ChatCode
from fanline.protocol import CHAT_SUBPROTOCOL
from fanline.server import ProblemCode
from tests.chat.client import ChatClient
from tests.conftest import run_example

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/chat.md"

FRAMES = re.compile(r"^```(plain|v1)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
REQUEST = re.compile(r"`(GET|POST|DELETE) (/[^`? ]*)[^`]*`")

# Codes of other services, and those that docs/protocol.md explains.
OTHERS = {
    ProblemCode.FORBIDDEN,
    ProblemCode.TOO_MANY_CONNECTIONS,
    ProblemCode.UNSUPPORTED_MEDIA_TYPE,
    ProblemCode.UNSUPPORTED_VERSION,
}

MADE_UP = {"memberId", "memberName", "userId", "sent"}


def section(title: str) -> str:
    """A section of the page, without its title."""
    return DOCUMENT.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def comparable(frame: dict[str, Any], first: int) -> dict[str, Any]:
    """A frame without what differs from run to run; positions are counted from one's own ``joined``."""
    shown = {name: value for name, value in frame.items() if name not in MADE_UP}
    if "seq" in shown:
        shown["seq"] -= first
    if shown.get("type"):
        shown["id"] = int(shown["id"]) - first
    return shown


@pytest.mark.parametrize(("protocol", "frames"), FRAMES.findall(DOCUMENT.read_text()))
async def test_every_frame_shown_is_true(chat: ChatClient, protocol: str, frames: str) -> None:
    """Sent in the order of the page, every frame gets the answers that the page shows."""
    lines = frames.splitlines()
    member = await chat.open("/api/serve/lobby", v1=protocol == "v1")
    me = await member.hear()
    shown_first = json.loads(lines[0][2:])
    assert me.keys() == shown_first.keys()
    expected: list[dict[str, Any]] = []
    for line in lines[1:]:
        if line.startswith("> "):
            await hear_all(member, expected, me["seq"])
            await member.connection.send(line[2:])
        else:
            expected.append(comparable(json.loads(line[2:]), shown_first["seq"]))
    await hear_all(member, expected, me["seq"])


async def hear_all(member: Any, expected: list[dict[str, Any]], first: int) -> None:
    """Hear what is expected, in whichever order; an acknowledgement may come before or behind the event."""
    heard = [comparable(await member.hear(), first) for _ in expected]
    assert sorted(map(str, heard)) == sorted(map(str, expected))
    expected.clear()


async def test_the_python_example_runs(
    chat: ChatClient,
    folder_of_examples: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The example, pointed at a free port, says something and hears it."""
    (example,) = PYTHON.findall(DOCUMENT.read_text())
    here = example.replace(":8083/", f":{chat.server.port}/")
    monkeypatch.setattr(client, "connect", partial(client.connect, proxy=None))
    await run_example(DOCUMENT, here, capsys)


async def test_every_page_is_documented(chat: ChatClient) -> None:
    """The table lists the pages that the server describes, and no other."""
    described = (await chat.http.get("/openapi.json")).json()["paths"]
    pages = {(method.upper(), path) for path, methods in described.items() for method in methods}
    table = "".join(line for line in section("Pages").splitlines(keepends=True) if line.startswith("| "))
    others = {("GET", path) for path in ("/", "/static/…", "/metrics")}
    assert set(REQUEST.findall(table)) == pages | others


def test_every_code_is_documented() -> None:
    """The table of problems has every code that there is."""
    documented = set(re.findall(r"^\| `(\S+)` \|", section("Problems"), re.MULTILINE))
    assert {*ProblemCode, *ChatCode} - OTHERS <= documented
    assert CHAT_SUBPROTOCOL in section("Being in a room")
