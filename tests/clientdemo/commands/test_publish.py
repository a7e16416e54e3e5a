"""Tests of ``pub`` as a process, against a stub service (line 11)."""

from http import HTTPStatus
from pathlib import Path

import pytest

from fanline import Rejected
from tests.clientdemo.conftest import Run, Start
from tests.stubs import Do, StubPublisher


def topics_and_contents(publisher: StubPublisher) -> list[tuple[str, object]]:
    return list(zip((message.topic for message in publisher.stored), publisher.contents, strict=True))


async def test_publishes_one_message(publisher: StubPublisher, run: Run) -> None:
    """The words of the command line are one message, stored when the program ends."""
    result = await run("pub", "orders.eu", "two", "words")
    assert (result.code, result.out, result.err) == (0, "stored at 1\n", "")
    assert topics_and_contents(publisher) == [("orders.eu", "two words")]
    assert publisher.logins == [("hello", "test")]


async def test_publishes_one_json_value(publisher: StubPublisher, run: Run) -> None:
    """With --json the message is a JSON value; what is none is refused."""
    assert (await run("pub", "--json", "t", '{"a": [1]}')).code == 0
    assert publisher.contents == [{"a": [1]}]
    result = await run("pub", "--json", "t", "{a")
    assert result.code == 1
    assert "cannot be written as JSON" in result.err


async def test_publishes_each_line_to_a_topic(publisher: StubPublisher, run: Run) -> None:
    """Every line is a message, the empty ones and the last without a line break too."""
    result = await run("pub", "t", "-", stdin="one\n\n  spaces kept \nä\r\nlast".encode())
    assert (result.code, result.out) == (0, "")
    assert publisher.contents == ["one", "", "  spaces kept ", "ä\r", "last"]
    assert result.err.startswith("[clientdemo] 5 messages stored in ")


async def test_publishes_lines_with_topics(publisher: StubPublisher, run: Run) -> None:
    """Without a topic, each line names its own."""
    result = await run("pub", "-", stdin=b"a one\n\nb.c two words\n")
    assert result.code == 0
    assert topics_and_contents(publisher) == [("a", "one"), ("b.c", "two words")]


async def test_publishes_lines_of_json(publisher: StubPublisher, run: Run) -> None:
    """With --json a line is content for the topic, or a whole message."""
    assert (await run("pub", "--json", "t", "-", stdin=b'[1]\n"x"\nnull\n')).code == 0
    lines = b'{"topic":"a","content":{"n":1}}\n\n{"topic":"b","content":2,"id":"my-id"}\n'
    assert (await run("pub", "--json", "-", stdin=lines)).code == 0
    assert topics_and_contents(publisher) == [("t", [1]), ("t", "x"), ("t", None), ("a", {"n": 1}), ("b", 2)]
    assert publisher.stored[-1].id == "my-id"


async def test_a_file_goes_in_whole_and_in_order(
    publisher: StubPublisher, start: Start, tmp_path: Path
) -> None:
    """A large file goes in, in order, through lost connections as well."""
    path = tmp_path / "lines"
    path.write_text("".join(f"line {n}\n" for n in range(6_000)))
    publisher.script.extend([*[Do.ACK] * 1_500, Do.DROP_UNACKED, *[Do.ACK] * 1_500, Do.DROP_UNSTORED])
    with path.open("rb") as file:
        result = await (await start("pub", "t", "-", stdin=file)).end()
    assert result.code == 0
    assert publisher.contents == [f"line {n}" for n in range(6_000)]
    assert "6,000 messages stored" in result.err
    assert "closed the connection" in result.err


async def test_names_the_lines_that_cannot_be_sent(publisher: StubPublisher, run: Run) -> None:
    """A line that is no message is explained by its number, and the others are stored."""
    lines = b"a one\nonly\n*.b two\n\xff\xfe three\nc four\n"
    result = await run("pub", "-", stdin=lines)
    assert result.code == 1
    assert publisher.contents == ["one", "four"]
    assert result.err.splitlines()[:3] == [
        "[clientdemo] line 2: there is nothing to publish on only: expected TOPIC message words; not sent",
        '[clientdemo] line 3: "*.b" is not a topic: the wildcards "*" and ">" are for subscriptions only; '
        "not sent",
        "[clientdemo] line 4: is not valid UTF-8 at byte 1; not sent",
    ]
    assert result.err.endswith("; 3 lines failed\n")


async def test_names_the_lines_of_json_that_cannot_be_sent(publisher: StubPublisher, run: Run) -> None:
    """A line that is not JSON, or not a message, is reported by its number."""
    result = await run("pub", "--json", "-", stdin=b'{"topic":"a"}\n{oops\n{"topic":"a","content":1}\n')
    assert result.code == 1
    assert publisher.contents == [1]
    first, second, _ = result.err.splitlines()
    assert first.startswith('[clientdemo] line 1: expected {"topic", "content", "id"?}: ')
    assert second.startswith("[clientdemo] line 2: expected")


async def test_a_line_that_is_too_long_is_left_out(publisher: StubPublisher, run: Run) -> None:
    """A line that no service takes is not read into memory; the others are sent."""
    result = await run("pub", "t", "-", stdin=b"one\n" + b"x" * (17 * 2**20) + b"\nthree\n")
    assert result.code == 1
    assert publisher.contents == ["one", "three"]
    assert "line 2: is longer than 16 MiB; not sent" in result.err


async def test_names_the_lines_that_were_refused(publisher: StubPublisher, run: Run) -> None:
    """A refusal by the service is told with its reason; of many, the first."""
    publisher.script.extend([Do.ACK, *[Rejected("forbidden", "not for hello")] * 30])
    result = await run("pub", "t", "-", stdin=b"x\n" * 32)
    assert result.code == 1
    assert len(publisher.stored) == 2
    told = result.err.splitlines()
    assert told[0] == "[clientdemo] line 2: not for hello (forbidden)"
    assert told[20] == "[clientdemo] more lines failed; they are counted, but not named"
    assert len(told) == 22
    assert told[21].endswith("; 30 lines failed")


async def test_one_message_that_was_refused(publisher: StubPublisher, run: Run) -> None:
    """A refusal is one sentence, and exit code 1."""
    publisher.script.append(Rejected("forbidden", "not for hello"))
    result = await run("pub", "t", "x")
    assert (result.code, result.out, result.err) == (1, "", "[clientdemo] not for hello (forbidden)\n")


async def test_a_refusal_is_told_before_the_input_ends(publisher: StubPublisher, start: Start) -> None:
    """A refusal is reported at once, also while lines come slowly."""
    publisher.script.append(Rejected("forbidden", "not for hello"))
    process = await start("pub", "t", "-")
    await process.type("x")
    assert await process.error_line() == "[clientdemo] line 1: not for hello (forbidden)"
    assert (await process.end(b"y\n")).code == 1


async def test_ends_when_the_service_does_not_answer(publisher: StubPublisher, start: Start) -> None:
    """Without an ack in time it is exit code 3, and the first line without one is named."""
    publisher.script.extend([Do.ACK, Do.IGNORE, Do.IGNORE])
    process = await start("pub", "--timeout", "1", "t", "-")
    await publisher.until(lambda: len(publisher.connections) == 1)
    result = await process.end(b"one\ntwo\nthree\n")
    assert result.code == 3
    assert "[clientdemo] line 2: not acknowledged within 1 s" in result.err
    assert "the server does not answer" in result.err


async def test_ends_when_there_is_no_service(publisher: StubPublisher, run: Run) -> None:
    """A service that cannot be reached is told at once, and given up in time."""
    await publisher.stop()
    unreachable = f"{publisher.url}/publish cannot be reached: connection refused"
    for arguments in (("t", "x"), ("t", "-")):
        result = await run("pub", "--timeout", "0.3", *arguments, stdin=b"x\n")
        assert result.code == 3
        first, *_, last = result.err.splitlines()
        assert first == f"[clientdemo] {unreachable}; trying again"
        assert last.endswith(unreachable)
    await publisher.start()


async def test_waits_for_a_service_that_comes_back(publisher: StubPublisher, start: Start) -> None:
    """Within the time given, a service may start late."""
    await publisher.stop()
    process = await start("pub", "t", "x")
    assert "cannot be reached" in await process.error_line()
    await publisher.start()
    assert await process.line() == "stored at 1"
    result = await process.end()
    assert (result.code, result.err) == (0, "[clientdemo] connected\n")


async def test_a_wrong_password_is_told(publisher: StubPublisher, run: Run) -> None:
    """A refused login is exit code 2, once, without the password (line 1)."""
    publisher.answer = HTTPStatus.UNAUTHORIZED
    for arguments in (("t", "x"), ("t", "-")):
        result = await run("pub", *arguments, stdin=b"x\n")
        assert result.code == 2
        last = result.err.splitlines()[-1]
        assert last.startswith(f"[clientdemo] {publisher.url}/publish refuses user 'hello': HTTP 401")
        assert result.err.count("refuses") == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["t"], "expected TOPIC MESSAGE..., TOPIC -, or -"),
        (["-", "t"], "expected TOPIC MESSAGE..., TOPIC -, or -"),
        ([], "Missing argument"),
        (["a..b", "x"], '"a..b" is not a topic'),
        (["a.*", "-"], '"a.*" is not a topic'),
        (["t", "\udcff"], "the message is not valid UTF-8"),
        (["--timeout", "0", "t", "x"], "'--timeout'"),
        (["--nonsense", "t", "x"], "--nonsense"),
    ],
)
async def test_wrong_arguments(run: Run, arguments: list[str], problem: str) -> None:
    """A wrong argument is reported before anything is sent; exit code 2."""
    result = await run("pub", *arguments)
    assert result.code == 2
    assert problem in result.err


async def test_ctrl_c_ends_it(publisher: StubPublisher, start: Start) -> None:
    """Ctrl-C ends it at once, with the count so far."""
    process = await start("pub", "t", "-")
    await process.type("one")
    await publisher.until(lambda: len(publisher.stored) == 1)
    process.interrupt()
    result = await process.end()
    assert result.code == 130
    assert "stored in" in result.err
