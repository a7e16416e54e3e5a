"""Tests of ``sub`` as a process, against a stub service (line 11)."""

import asyncio
import json
import os
from http import HTTPStatus

import pytest

from fanline import Rejected
from tests.clientdemo.conftest import Run, Start
from tests.stubs import StubSubscriber


async def test_writes_what_arrives(subscriber: StubSubscriber, start: Start) -> None:
    """Each message is a line, written as soon as it comes."""
    process = await start("sub", "orders.>", "t")
    await subscriber.until(lambda: subscriber.is_subscribed("t"))
    await subscriber.publish("orders.eu", "two words")
    assert await process.line() == "orders.eu: two words"
    await subscriber.publish("t", {"n": 1})
    assert await process.line() == 't: {"n":1}'


async def test_writes_json_lines(subscriber: StubSubscriber, run: Run) -> None:
    """With --json a line is the whole message."""
    subscriber.store("t", {"n": [1]})
    result = await run("sub", "t", "--json", "--after", "0", "--count", "1")
    assert json.loads(result.out) == {
        "topic": "t",
        "content": {"n": [1]},
        "seq": 1,
        "time": 1_700_000_000_000,
    }
    assert (result.code, result.err) == (0, "")


async def test_begins_where_it_is_told_and_ends_after_so_many(subscriber: StubSubscriber, run: Run) -> None:
    """--after, --last and --count choose a part of the log."""
    for n in range(10):
        subscriber.store("t", n)
    assert (await run("sub", "t", "--after", "4", "--count", "2")).out == "t: 4\nt: 5\n"
    assert (await run("sub", "t", "--last", "3", "--count", "3")).out == "t: 7\nt: 8\nt: 9\n"


async def test_a_long_log_comes_out_whole(subscriber: StubSubscriber, start: Start) -> None:
    """Nothing is missing, doubled or out of order, through lost connections as well (promise 4)."""
    for n in range(5_000):
        subscriber.store("t", n)
    process = await start("sub", "t", "--after", "0", "--count", "15000")
    ending = asyncio.create_task(process.end())
    for n in range(5_000, 15_000):
        await subscriber.publish("t", n)
        if n % 3_000 == 0:
            subscriber.drop()
    result = await ending
    assert result.code == 0
    assert result.out == "".join(f"t: {n}\n" for n in range(15_000))


async def test_tells_of_a_gap(subscriber: StubSubscriber, run: Run) -> None:
    """Messages removed by retention are reported on standard error, not among the messages."""
    for n in range(3):
        subscriber.store("t", n)
    subscriber.floor = 2
    result = await run("sub", "t", "--after", "0", "--count", "1")
    assert result.out == "t: 2\n"
    assert result.err == "[clientdemo] t: positions 1 to 2 are missing, because retention has removed them\n"


async def test_tells_of_lost_connections(subscriber: StubSubscriber, start: Start) -> None:
    """A reconnect is reported on standard error, and the subscription resumes."""
    process = await start("sub", "t")
    await subscriber.until(lambda: subscriber.is_subscribed("t"))
    await subscriber.stop()
    assert "closed the connection: 1006; trying again" in await process.error_line()
    subscriber.store("t", "unseen")
    await subscriber.start()
    assert await process.line() == "t: unseen"
    assert (await process.error_line()).endswith(("connected", "refused; trying again"))


async def test_gives_up_in_time(subscriber: StubSubscriber, run: Run) -> None:
    """With --timeout, silence ends it with exit code 3; what came before is written."""
    subscriber.store("t", 1)
    result = await run("sub", "t", "--after", "0", "--timeout", "0.3")
    assert (result.code, result.out, result.err) == (3, "t: 1\n", "[clientdemo] no message for 0.3 s\n")
    await subscriber.stop()
    result = await run("sub", "t", "--timeout", "0.3")
    assert result.code == 3
    assert result.err.splitlines()[-1].endswith("cannot be reached: connection refused")
    await subscriber.start()


async def test_a_refused_topic_ends_it(subscriber: StubSubscriber, run: Run) -> None:
    """A topic that is not for this user is told; exit code 1."""
    subscriber.refusals["secret"] = Rejected("forbidden", "not for hello")
    result = await run("sub", "secret")
    assert (result.code, result.err) == (1, "[clientdemo] not for hello (forbidden)\n")


async def test_a_wrong_password_is_told(subscriber: StubSubscriber, run: Run) -> None:
    """A refused login is exit code 2 and one sentence (line 1)."""
    subscriber.answer = HTTPStatus.UNAUTHORIZED
    result = await run("sub", "t")
    assert result.code == 2
    assert result.err.startswith(f"[clientdemo] {subscriber.url}/subscribe refuses user 'hello': HTTP 401")
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "Missing argument"),
        (["a..b"], '"a..b" is not a topic'),
        (["t", "--after", "1", "--last", "1"], "exclude each other"),
        (["t", "--after", "1", "--latest"], "exclude each other"),
        (["t", "--after", "-1"], "'--after'"),
        (["t", "--count", "0"], "'--count'"),
        (["t", "--last", "many"], "'--last'"),
    ],
)
async def test_wrong_arguments(run: Run, arguments: list[str], problem: str) -> None:
    """A wrong argument is reported at once; exit code 2."""
    result = await run("sub", *arguments)
    assert result.code == 2
    assert problem in result.err


async def test_ends_when_output_is_closed(subscriber: StubSubscriber, start: Start) -> None:
    """As part of a pipeline it ends quietly with its reader, also while nothing arrives."""
    reading, writing = os.pipe()
    process = await start("sub", "t", stdout=writing)
    os.close(writing)
    await subscriber.until(lambda: subscriber.is_subscribed("t"))
    os.close(reading)
    result = await process.end()
    assert (result.code, result.err) == (0, "")


async def test_ctrl_c_ends_it(subscriber: StubSubscriber, start: Start) -> None:
    """Ctrl-C ends it cleanly, after everything that came was written."""
    process = await start("sub", "t")
    await subscriber.until(lambda: subscriber.is_subscribed("t"))
    await subscriber.publish("t", 1)
    assert await process.line() == "t: 1"
    process.interrupt()
    result = await process.end()
    assert (result.code, result.err) == (130, "")
    await subscriber.until(lambda: not subscriber.connections)


async def test_a_full_disk_is_told(subscriber: StubSubscriber, start: Start) -> None:
    """When standard output cannot be written, as on a full disk, one sentence says so."""
    subscriber.store("t", 1)
    with open("/dev/full", "wb") as full:
        process = await start("sub", "t", "--last", "1", "--count", "1", stdout=full)
        result = await process.end()
    assert result.code == 1
    assert result.err == "[clientdemo] cannot write to standard output: No space left on device\n"
