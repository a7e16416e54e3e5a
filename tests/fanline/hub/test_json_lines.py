"""Tests of the listener that keeps the events in a file."""

import asyncio
import json
import os
from contextlib import nullcontext
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from fanline.errors import ConfigurationError
from fanline.hub import Hub, JsonLinesFile
from tests.conftest import until
from tests.stubs import DEADLINE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the events go."""
    return tmp_path / "events.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_each_event_is_a_line(path: Path) -> None:
    """In order, and all of them once the hub is closed (line 36)."""
    hub = Hub("lobby", clock=lambda: 5)
    hub.attach_listener(JsonLinesFile(path))
    hub.add("ada", "1")
    hub.message("ada", "grüße\nand more")
    await hub.close()
    assert path.read_text() == (
        '{"id":1,"hub":"lobby","type":"join","time":5,"user":"ada","session":"1"}\n'
        '{"id":2,"hub":"lobby","type":"message","time":5,"user":"ada","message":"grüße\\nand more"}\n'
        '{"id":3,"hub":"lobby","type":"close","time":5}\n'
    )


async def test_a_file_that_is_there_is_never_truncated(path: Path) -> None:
    """Neither when the listener is made, nor when it writes (line 36)."""
    before = '{"from":"yesterday"}\n'
    path.write_text(before)
    for number in range(3):
        hub = Hub(str(number))
        hub.attach_listener(JsonLinesFile(path))
        await hub.close()
    assert path.read_text().startswith(before)
    assert [line["hub"] for line in lines(path)[1:]] == ["0", "1", "2"]


async def test_what_was_missed_is_a_line_as_well(path: Path) -> None:
    """So a gap in the file is no secret (line 36)."""
    hub = Hub("lobby", max_pending=2)
    hub.attach_listener(JsonLinesFile(path))
    for text in "abcdef":
        hub.message("ada", text)
    await hub.close()
    assert [line.get("id") for line in lines(path)] == [1, 2, None, 7]
    assert lines(path)[2] == {"type": "missed", "count": 4}


async def test_a_full_disk_loses_nothing_in_silence(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The failure is logged, and when there is room again the file tells what is missing (line 36)."""
    path.symlink_to("/dev/full")
    hub = Hub("lobby")
    hub.attach_listener(JsonLinesFile(path))
    hub.message("ada", "one")
    hub.message("ada", "two")
    await until(lambda: "has failed; events missed: 2" in caplog.text)
    assert f"JsonLinesFile({str(path)!r})" in caplog.text
    path.unlink()
    hub.message("ada", "three")
    await hub.close()
    assert lines(path)[0] == {"type": "missed", "count": 2}
    assert [line["id"] for line in lines(path)[1:]] == [3, 4]


async def test_half_a_line_does_not_spoil_the_next(path: Path) -> None:
    """One that a writer left when it was killed stays as it is, and the events come after it."""
    path.write_text('{"id":1}\n{"id":2,"hu')
    hub = Hub("lobby")
    hub.attach_listener(JsonLinesFile(path))
    assert path.read_text() == '{"id":1}\n{"id":2,"hu'
    await hub.close()
    first, torn, event = path.read_text().splitlines()
    assert (first, torn) == ('{"id":1}', '{"id":2,"hu')
    assert json.loads(event)["type"] == "close"


async def test_a_slow_disk_delays_no_session(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a write hangs, events go to all sessions; when it is done nothing is missing (line 36)."""
    file = JsonLinesFile(path)
    hub = Hub("lobby")
    hub.attach_listener(file)
    stream = hub.add("ada", "1")
    open_file, disk_is_slow = Path.open, Lock()

    def open_slowly(path: Path, mode: str = "r", **options: Any) -> Any:
        with disk_is_slow if mode == "ab+" else nullcontext():
            return open_file(path, mode, **options)

    monkeypatch.setattr(Path, "open", open_slowly)
    with disk_is_slow:
        for _ in range(10):
            hub.message("ada", "hello")
            await asyncio.sleep(0)
        assert len(stream.take_all()) == 11
        assert path.read_text() == ""
    await hub.close()
    assert [line["id"] for line in lines(path)] == list(range(1, 13))


async def test_one_file_for_several_hubs(path: Path) -> None:
    """Every event of each is there, in the order of its hub, on a line of its own (line 36)."""
    file = JsonLinesFile(path)
    hubs = [Hub(str(number)) for number in range(5)]
    for hub in hubs:
        hub.attach_listener(file)
    for turn in range(50):
        for hub in hubs:
            hub.message("ada", "x" * turn * 100)
        await asyncio.sleep(0)
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*(hub.close() for hub in hubs))
    for hub in hubs:
        assert [line["id"] for line in lines(path) if line["hub"] == hub.id] == list(range(1, 52))


async def test_a_file_that_is_moved_away_is_created_again(path: Path) -> None:
    """As those do that keep a file per day."""
    hub = Hub("lobby")
    hub.attach_listener(JsonLinesFile(str(path)))
    hub.message("ada", "yesterday")
    await until(lambda: bool(path.read_text()))
    yesterday = path.rename(path.with_name("yesterday.jsonl"))
    hub.message("ada", "today")
    await hub.close()
    assert [line["id"] for line in lines(yesterday)] == [1]
    assert [line["id"] for line in lines(path)] == [2, 3]


async def test_text_that_is_not_valid_utf8_harms_no_other_event(path: Path) -> None:
    """Half a surrogate pair is written as JSON's escapes can, and read back the same."""
    hub = Hub("lobby")
    hub.attach_listener(JsonLinesFile(path))
    hub.message("ada", "\ud800")
    hub.message("bob", "ü")
    await hub.close()
    assert [line.get("message") for line in lines(path)] == ["\ud800", "ü", None]


@pytest.mark.parametrize("name", ["nowhere/events.jsonl", ""])
def test_a_file_that_cannot_be_written_is_refused_at_once(tmp_path: Path, name: str) -> None:
    """With a sentence that names it."""
    path = tmp_path / name
    with pytest.raises(ConfigurationError, match=f"^events cannot be appended to {path}: (No such|Is a)"):
        JsonLinesFile(path)


async def test_no_descriptor_is_held(path: Path) -> None:
    """The file is open only while it is written to (line 37)."""
    hub = Hub("lobby")
    hub.attach_listener(JsonLinesFile(path))
    hub.message("ada", "hello")
    await until(lambda: bool(path.read_text()))

    def is_open() -> bool:
        links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
        return any(link.is_symlink() and link.readlink() == path for link in links)

    await until(lambda: not is_open())
    await hub.close()
