"""Tests of the interactive client as a process, at a terminal and in a pipe (line 11)."""

import os
from http import HTTPStatus
from pathlib import Path

import pytest

from fanline import Rejected
from tests.clientdemo.conftest import Open, Run, Start
from tests.stubs import StubPublisher, StubSubscriber

# In a pipe.


async def test_obeys_lines_from_a_pipe(
    publisher: StubPublisher, subscriber: StubSubscriber, run: Run
) -> None:
    """Every kind of line works without a terminal; the end of the input is an exit."""
    for n in range(3):
        subscriber.store("t", n)
    result = await run(stdin=b"sub t after=1\nsub u\nunsub u\n\norders.eu two words")
    assert (result.code, result.err) == (0, "")
    assert publisher.contents == ["two words"]
    lines = result.out.splitlines()
    assert [line for line in lines if line.startswith("[")] == [
        "[clientdemo] subscribed to t, after 1",
        "[clientdemo] subscribed to u, after 3",
        "[clientdemo] unsubscribed from u",
        "[clientdemo] stored at 1",
    ]
    assert ">[orders.eu] two words" in lines
    assert subscriber.commands == [{"sub": "t", "after": 1}, {"sub": "u"}, {"unsub": "u"}]


async def test_original_services(publisher: StubPublisher, subscriber: StubSubscriber, start: Start) -> None:
    """It stands in for the original client: with Go services one can subscribe, publish and read (line 9)."""
    publisher.be_original()
    subscriber.be_original()
    process = await start()
    await process.type("sub t")
    await subscriber.until(lambda: subscriber.frames == [b'{"Topic":"t","Content":"sub"}'])
    assert await process.line() == "[clientdemo] subscribed to t, after 0"
    await process.type("t two words")
    await publisher.until(lambda: publisher.frames == [b'{"Topic":"t","Content":"two words"}'])
    assert await process.line() == ">[t] two words"
    assert "has no acks" in await process.line()
    await subscriber.send('{"Topic":"t","Content":"two words"}')
    assert await process.line() == "<[t] two words"
    assert (await process.end(b"exit\n")).code == 0


async def test_shows_what_arrives(subscriber: StubSubscriber, start: Start) -> None:
    """A message is shown as the original shows it, with nothing that a terminal would obey (line 49)."""
    process = await start()
    await process.type("sub t")
    assert await process.line() == "[clientdemo] subscribed to t, after 0"
    await subscriber.publish("t", "one\x1b[31m")
    await subscriber.publish("t", {"n": 2})
    assert await process.line() == "<[t] one\\x1b[31m"
    assert await process.line() == '<[t] {"n":2}'
    for content in ("old", "newest"):
        subscriber.store("u", content)
    await process.type("sub u latest")
    assert await process.line() == "[clientdemo] subscribed to u, after 3"
    assert await process.line() == "<[u] newest"
    await process.type("exit")
    assert (await process.end(b"never read\n")).code == 0


@pytest.mark.parametrize("line", ["hello", "sub", "unsub a b", "exit now", "a..b hello", "sub t since=1"])
async def test_explains_what_it_does_not_understand(
    publisher: StubPublisher, subscriber: StubSubscriber, run: Run, line: str
) -> None:
    """A line that fits none is explained, and not sent."""
    result = await run(stdin=f"{line}\n".encode())
    assert result.code == 0
    assert result.out.startswith("[clientdemo] ")
    assert publisher.frames == subscriber.frames == []


async def test_tells_what_was_refused(publisher: StubPublisher, subscriber: StubSubscriber, run: Run) -> None:
    """Refusals of either service are told, and the next line is obeyed."""
    publisher.script.append(Rejected("forbidden", "hello may not publish on t"))
    subscriber.refusals["s"] = Rejected("forbidden", "hello may not subscribe to s")
    result = await run(stdin=b"sub s\nt one\nt two\n\xff x\n")
    assert result.code == 0
    lines = result.out.splitlines()
    assert "[clientdemo] hello may not subscribe to s" in lines
    assert "[clientdemo] not stored: hello may not publish on t" in lines
    assert publisher.contents == ["two", "x"]


async def test_does_not_end_well_if_something_is_not_stored(publisher: StubPublisher, run: Run) -> None:
    """At the end of the input it waits for the acks, but not for ever; exit code 3."""
    await publisher.stop()
    result = await run(stdin=b"t one\n")
    assert result.code == 3
    problem = f"{publisher.url}/publish cannot be reached: connection refused"
    assert result.err == f"[clientdemo] not everything was done: {problem}\n"
    await publisher.start()


async def test_a_closed_output_ends_it(subscriber: StubSubscriber, start: Start) -> None:
    """Without a reader it ends quietly."""
    reading, writing = os.pipe()
    process = await start(stdout=writing)
    os.close(writing)
    await process.type("sub t")
    await subscriber.until(lambda: subscriber.is_subscribed("t"))
    os.close(reading)
    await subscriber.publish("t", 1)
    result = await process.end()
    assert (result.code, result.err) == (0, "")


# At a terminal.


async def test_a_conversation(
    publisher: StubPublisher, subscriber: StubSubscriber, open_terminal: Open
) -> None:
    """Subscribing, publishing, receiving and leaving, as a person does it."""
    terminal = await open_terminal()
    await terminal.expect(r"\[clientdemo\] type sub TOPIC")
    await terminal.ready()
    terminal.type("sub orders.*\r")
    await terminal.expect(r"\[clientdemo\] subscribed to orders\.\*, after 0")
    terminal.type("orders.eu two words\r")
    await terminal.expect(r">\[orders\.eu\] two words")
    await terminal.expect(r"\[clientdemo\] stored at 1")
    await subscriber.publish("orders.us", "from elsewhere")
    await terminal.expect(r"<\[orders\.us\] from elsewhere")
    terminal.type("nonsense\r")
    await terminal.expect(r'\[clientdemo\] "nonsense" is not understood: type sub TOPIC')
    terminal.type("exit\r")
    assert await terminal.end() == 0
    assert publisher.contents == ["two words"]


async def test_completes_topics_seen(publisher: StubPublisher, open_terminal: Open) -> None:
    """A topic that was used once need not be typed again."""
    terminal = await open_terminal()
    await terminal.ready()
    terminal.type("a-long-topic-name one\r")
    await terminal.expect("stored at 1")
    await terminal.ready()
    terminal.type("a-l\t")
    await terminal.expect("ong-topic-name")
    terminal.type(" two\r")
    await terminal.expect("stored at 2")
    assert {message.topic for message in publisher.stored} == {"a-long-topic-name"}


async def test_remembers_what_was_typed(
    publisher: StubPublisher, open_terminal: Open, tmp_path: Path
) -> None:
    """The history is kept in a file that only the user can read."""
    first = await open_terminal()
    await first.ready()
    first.type("t one\r")
    await first.expect("stored at 1")
    await first.ready()
    first.type("\x04")
    assert await first.end() == 0
    second = await open_terminal()
    await second.ready()
    second.type("\x1b[A")
    await second.expect("t one")
    second.type("\r")
    await second.expect("stored at 2")
    assert publisher.contents == ["one", "one"]
    history = tmp_path / "home" / ".local" / "state" / "fanline" / "clientdemo-history"
    assert history.stat().st_mode & 0o777 == 0o600


async def test_works_where_no_history_can_be_kept(
    environment: dict[str, str], publisher: StubPublisher, open_terminal: Open
) -> None:
    """A home that cannot be written to is no obstacle."""
    environment["XDG_STATE_HOME"] = "/dev/null"
    terminal = await open_terminal()
    await terminal.ready()
    terminal.type("t one\r")
    await terminal.expect("stored at 1")


async def test_shows_lost_connections_and_goes_on(subscriber: StubSubscriber, open_terminal: Open) -> None:
    """Changes of the connection are shown, the prompt stays usable, and no message is missed."""
    terminal = await open_terminal()
    await terminal.ready()
    terminal.type("sub t\r")
    await terminal.expect("subscribed to t")
    await subscriber.stop()
    await terminal.expect("/subscribe has closed the connection: 1006; trying again")
    terminal.type("sub u\r")
    subscriber.store("t", "unseen")
    await subscriber.start()
    await terminal.expect("connected to the subscriber; subscriptions resume where they were")
    await terminal.expect(r"<\[t\] unseen|subscribed to u")
    await terminal.expect(r"<\[t\] unseen|subscribed to u")


async def test_ctrl_c_ends_it(open_terminal: Open) -> None:
    """Ctrl-C leaves at once."""
    terminal = await open_terminal()
    await terminal.ready()
    terminal.type("half a li\x03")
    assert await terminal.end() == 130
    assert "Traceback" not in terminal.text


async def test_ctrl_d_ends_it(open_terminal: Open) -> None:
    """Ctrl-D is an exit."""
    terminal = await open_terminal()
    await terminal.ready()
    terminal.type("\x04")
    assert await terminal.end() == 0
    assert "Traceback" not in terminal.text


async def test_a_wrong_password_ends_it(subscriber: StubSubscriber, open_terminal: Open) -> None:
    """A refused login ends it with one sentence, although the prompt is open (line 1)."""
    subscriber.answer = HTTPStatus.UNAUTHORIZED
    terminal = await open_terminal()
    assert await terminal.end() == 2
    await terminal.expect(r"\[clientdemo\] \S+/subscribe refuses user 'hello': HTTP 401")
    assert "Traceback" not in terminal.text
