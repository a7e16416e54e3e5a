"""The documents are true: names, settings, codes, metrics, and every frame shown.

The settings table of docs/operations.md is generated: ``make docs`` writes it again.
"""

import ast
import asyncio
import importlib
import json
import re
import shlex
import ssl
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial, reduce
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

import fanline
from fanline.errors import CloseCode, ErrorCode
from fanline.protocol import SUBPROTOCOL
from fanline.server import Service
from fanline.setting_sources import all_fields, describe, read
from msgqueue.app import open_msgqueue
from msgqueue.settings import MsgQueueSettings
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService, run_example
from tests.stubs import DEADLINE, PASSWORD, USER
from tests.tree import project_files

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PROTOCOL = ROOT / "docs/protocol.md"
SERVICES = ROOT / "docs/services.md"
PRESENCE = ROOT / "docs/presence.md"
ARCHITECTURE = ROOT / "docs/architecture.md"
OPERATIONS = ROOT / "docs/operations.md"
BEHAVIORS = ROOT / "docs/behaviors.md"

BEGIN, END = "<!-- settings: written by `make docs` -->\n", "<!-- end of settings -->\n"

DOTTED = re.compile(r"`((?:fanline|msgqueue|publisher|subscriber|clientdemo|chat|certs)(?:\.\w+)+)`")
FOLDER = re.compile(r"^\| `([\w/]+/)` \| (.*) \|$", re.MULTILINE)
FILE = re.compile(r"`([\w./-]+/[\w.-]*\.\w+|[\w-]+/)`")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
TARGET = re.compile(r"`make (\w+)")
METRIC = re.compile(r"^\| `(fanline_\w+)` \| ([\w, ]+) \|", re.MULTILINE)
FRAMES = re.compile(r"^```(publish|subscribe|pushmsg|popmsg)( plain)?\n(.*?)^```", re.DOTALL | re.MULTILINE)
MADE_UP = ("time", "epoch", "server")
TOML = re.compile(r"^```toml\n(.*?)^```", re.DOTALL | re.MULTILINE)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def settings_table() -> str:
    rows = (
        f"| `{name}` | {f'`{default}`' if default else ''} | {said} |\n" for name, default, said in describe()
    )
    return "| Setting | Default | Meaning |\n|---|---|---|\n" + "".join(rows)


def with_settings(text: str) -> str:
    """Return the operations page with its generated part written again."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{settings_table()}\n{END}{rest.partition(END)[2]}"


def exists(dotted: str) -> bool:
    """Return whether a dotted name is that of a module or of one of its attributes."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        return reduce(lambda holder, name: getattr(holder, name, None), parts[length:], found) is not None
    return False


@dataclass
class Exchange:
    """One connection as the pages of the protocol show it: what is sent, and what comes then, in turns."""

    endpoint: str
    is_plain: bool
    turns: list[tuple[str | None, list[Any]]] = field(default_factory=lambda: [(None, [])])


def exchanges() -> Iterator[Exchange]:
    for endpoint, plain, lines in FRAMES.findall(
        "".join(page.read_text() for page in (PROTOCOL, SERVICES, PRESENCE))
    ):
        exchange = Exchange(f"/{endpoint}", bool(plain))
        for line in lines.splitlines():
            direction, _, frame = line.partition(" ")
            if direction == ">":
                exchange.turns.append((frame, []))
            elif frame != "…":
                exchange.turns[-1][1].extend(elements(frame))
        yield exchange


def elements(frame: str | bytes) -> list[Any]:
    """The elements of a frame, without what differs from run to run."""
    value = json.loads(frame)
    return [comparable(each) for each in (value if isinstance(value, list) else [value])]


def comparable(value: Any) -> Any:
    if isinstance(value, list):
        return [comparable(each) for each in value]
    if not isinstance(value, dict):
        return value
    made_up = {"ok": "$"} if str(value.get("ok")).startswith("$") else {}
    return {name: comparable(each) for name, each in value.items() if name not in MADE_UP} | made_up


async def hold(exchange: Exchange, connection: ClientConnection) -> None:
    """Send what is shown, and compare what comes."""
    for sent, expected in exchange.turns:
        if sent is not None:
            await connection.send(sent)
        received: list[Any] = []
        while len(received) < len(expected):
            received += elements(await connection.recv())
        assert received == expected, sent


@pytest.fixture
async def services(start_service: StartService) -> dict[str, Service]:
    """The three services, by name."""
    queue = await start_service(open_msgqueue)
    url = f"wss://localhost:{queue.port}"
    publisher = await start_service(open_publisher, queue_url=url)
    subscriber = await start_service(open_subscriber, queue_url=url)
    return {"msgqueue": queue, "publisher": publisher, "subscriber": subscriber}


async def test_every_frame_shown_is_true(services: dict[str, Service], dial: Dial) -> None:
    """Sent to a new pipeline in the order of the pages, every frame gets the answers that they show."""
    serving = {path: service for service in services.values() for path in service.app.endpoints}
    shown = list(exchanges())
    assert {exchange.endpoint for exchange in shown} == serving.keys()
    async with asyncio.timeout(DEADLINE):
        for exchange in shown:
            connection = await dial(serving[exchange.endpoint], exchange.endpoint, v1=not exchange.is_plain)
            await hold(exchange, connection)
            await connection.close()


async def test_the_python_example_runs(
    services: dict[str, Service],
    folder_of_examples: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The client of the README, pointed at free ports, publishes and receives."""
    for name in ("Publisher", "Subscriber"):
        url = f"wss://localhost:{services[name.lower()].port}"
        monkeypatch.setattr(fanline, name, partial(getattr(fanline, name), url=url))
    (example,) = PYTHON.findall(README.read_text())
    await run_example(README, example, capsys)


async def test_curl_examples_of_the_readme_run(
    services: dict[str, Service], folder_of_examples: Path
) -> None:
    """Each curl command of the README, pointed at free ports, prints what is shown."""
    (examples,) = re.findall(r"^```sh\n(\$ curl .*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    for example in examples.split("$ ")[1:]:
        command, _, shown = example.partition("\n")
        for port, name in ((8081, "publisher"), (8082, "subscriber")):
            command = command.replace(f"localhost:{port}", f"localhost:{services[name].port}")
        curl = await asyncio.create_subprocess_exec(
            *shlex.split(command), "--silent", cwd=folder_of_examples, stdout=asyncio.subprocess.PIPE
        )
        assert curl.stdout is not None
        async with asyncio.timeout(DEADLINE):
            lines = [(await curl.stdout.readline()).decode().strip() for _ in shown.splitlines() if shown]
        with suppress(ProcessLookupError):
            curl.kill()
        await curl.wait()
        assert list(map(varying, lines)) == list(map(varying, shown.splitlines()))


def varying(line: str) -> str:
    """Return a line without what differs from run to run."""
    return re.sub(r'\d+|"\$[^"]*"|-[0-9a-f]+$', "#", line)


async def test_every_metric_is_documented(services: dict[str, Service], tls: ssl.SSLContext) -> None:
    """The table of metrics lists what each service shows, and nothing else."""
    documented = {name: where.split(", ") for name, where in METRIC.findall(OPERATIONS.read_text())}
    async with httpx.AsyncClient(
        verify=tls, auth=(USER, PASSWORD), trust_env=False, timeout=DEADLINE
    ) as client:
        for service_name, service in services.items():
            text = (await client.get(f"https://localhost:{service.port}/metrics")).text
            shown = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
            assert {name for name in shown if not name.startswith("process_")} == {
                name for name, where in documented.items() if service_name in where
            }


def test_settings_are_documented() -> None:
    """The settings table is the one that the model gives; `make docs` writes it."""
    text = OPERATIONS.read_text()
    assert text == with_settings(text), "run `make docs`"


def test_every_rule_of_retention_shown_is_one() -> None:
    """Both examples, that of the file and that of the environment, are accepted."""
    text = OPERATIONS.read_text()
    (table,) = [each for each in TOML.findall(text) if "[[retention]]" in each]
    (array,) = re.findall(r"FANLINE_RETENTION='(.*)'", text)
    assert len(read(MsgQueueSettings, **tomllib.loads(table)).retention) == 3
    assert len(read(MsgQueueSettings, retention=array).retention) == 2


def test_every_settings_file_shown_is_one() -> None:
    """Each name in an example of the TOML file is a setting."""
    names = {name for table in TOML.findall(OPERATIONS.read_text()) for name in tomllib.loads(table)}
    assert names <= all_fields().keys()


def test_every_error_code_is_documented() -> None:
    """The table of errors has a row for each code, and no other."""
    table = PROTOCOL.read_text().partition("\n## Errors\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\S+)` \|", table, re.MULTILINE)) == set(ErrorCode)


def test_every_close_code_is_documented() -> None:
    """The table of close codes has a row for each that the services have a name for."""
    assert {str(code.value) for code in CloseCode} <= set(
        re.findall(r"^\| (\d{4}) \|", PROTOCOL.read_text(), re.MULTILINE)
    )


def test_every_package_is_explained_by_its_docstring() -> None:
    """The table of folders has each package, with the first line of its docstring."""
    explained = dict(FOLDER.findall(ARCHITECTURE.read_text()))
    packages = {
        f"{path.parent.relative_to(ROOT)}/": path.read_text()
        for top in ("fanline", "msgqueue", "publisher", "subscriber", "chat", "clientdemo", "certs", "bench")
        for path in (ROOT / top).rglob("__init__.py")
    }
    docstrings = {
        folder: (ast.get_docstring(ast.parse(source)) or "").splitlines()[0].replace("``", "`")
        for folder, source in packages.items()
    }
    sentences = {folder: f"{text[0].upper()}{text[1:]}." for folder, text in explained.items()}
    assert {folder: sentences.get(folder) for folder in docstrings} == docstrings


def test_every_folder_is_explained() -> None:
    """The table of folders has each one; those of tests are the same as those of the code."""
    explained = dict(FOLDER.findall(ARCHITECTURE.read_text()))
    folders = {
        f"{parent}/"
        for path in project_files(ROOT)
        for parent in path.relative_to(ROOT).parents
        if parent.name and not parent.parts[0].startswith(".") and parent.parts[0] != "tests"
    }
    assert folders - explained.keys() == {"clients/"}  # it has one folder, with a line of its own


def test_every_behavior_has_a_test() -> None:
    """Each line of docs/behaviors.md has a test that names it; no test names another."""
    named = {
        int(number)
        for path in (ROOT / "tests").rglob("*.py")
        for where in re.findall(r"\([^()]*?\blines? ([\d, and]+)", path.read_text())
        for number in re.findall(r"\d+", where)
    }
    assert named == {int(number) for number in re.findall(r"^(\d+)\. ", BEHAVIORS.read_text(), re.MULTILINE)}


def test_every_name_in_the_architecture_exists() -> None:
    """Each module, class and function that the walk through the code names is there."""
    names = set(DOTTED.findall(ARCHITECTURE.read_text())) - {SUBPROTOCOL}
    assert len(names) > 50
    assert not [name for name in names if not exists(name)]


def anchors(page: Path) -> set[str]:
    """Return the names by which the sections of a page can be linked to."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_every_link_between_pages_leads_somewhere() -> None:
    """Each page that another links to is there, and has the section."""
    pages = [README, *(ROOT / "docs").glob("*.md")]
    known = {page: anchors(page) for page in pages}
    wrong = [
        f"{page.name}: {target}#{anchor}"
        for page in pages
        for target, anchor in re.findall(r"\]\(([\w./-]*\.md)?#([^)]+)\)", page.read_text())
        if anchor not in known.get((page.parent / target).resolve() if target else page, ())
    ]
    assert not wrong


@pytest.mark.parametrize(
    "document", [README, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_every_file_named_exists(document: Path) -> None:
    """Each path of the source tree that a page names is there, and each test, and each make target."""
    text = document.read_text()
    missing = [
        path
        for path in FILE.findall(text)
        if not path.startswith(("var/", "/")) and not (ROOT / path).exists()
    ]
    tests = [
        f"{path}::{name}"
        for path, name in TEST.findall(text)
        if f"def {name}(" not in (ROOT / path).read_text()
    ]
    targets = [
        f"make {name}" for name in TARGET.findall(text) if f"\n{name}:" not in (ROOT / "Makefile").read_text()
    ]
    assert not missing + tests + targets


if __name__ == "__main__":
    OPERATIONS.write_text(with_settings(OPERATIONS.read_text()))
