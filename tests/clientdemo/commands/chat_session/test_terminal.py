"""`chat` at a terminal, and between the real services."""

import os
from contextlib import AsyncExitStack
from pathlib import Path

from fanline.errors import Rejected
from tests.clientdemo.commands.chat_session.conftest import Keyboard, lines_of
from tests.clientdemo.conftest import Open, Run, Start
from tests.clientdemo.stub_chat import ROOM, Do, StubChat
from tests.processes import Pipeline, ServiceProcess

# At a terminal.


async def test_a_conversation(chat: StubChat, open_terminal: Open) -> None:
    """An interactive session: earlier messages, new ones, own ones once, and leaving."""
    for n in range(25):
        chat.store("Bea", f"message {n}")
    terminal = await open_terminal("chat", ROOM, "--name", "Ada")
    await terminal.expect(r"\d\d:\d\d Bea: message 5\b")
    await terminal.expect(r"message 24")
    await terminal.expect(r"\[clientdemo\] you are Ada")
    await terminal.ready()
    assert "message 4" not in terminal.text
    terminal.type("Hello, Bea\r")
    await terminal.expect(r"\d\d:\d\d Ada: Hello, Bea")
    await chat.happen("Bea", "Hello, Ada")
    await terminal.expect(r"\d\d:\d\d Bea: Hello, Ada")
    terminal.type("   \rexit\r")
    assert await terminal.end() == 0
    assert terminal.text.count("Ada: Hello, Bea") == 1
    assert chat.said[25:] == [("Ada", "Hello, Bea"), ("Bea", "Hello, Ada")]


async def test_one_can_type_without_a_connection(chat: StubChat, open_terminal: Open) -> None:
    """Lines typed without a connection are sent after the reconnect; Ctrl-D leaves."""
    terminal = await open_terminal("chat", ROOM)
    await terminal.expect("you are Coral Otter")
    await terminal.ready()
    await chat.stop()
    await terminal.expect(r"has closed the connection: 1006; trying again")
    terminal.type("patience\r")
    await terminal.expect(r"not connected; will be sent later: patience")
    await chat.start()
    await terminal.expect(r"\[clientdemo\] connected")
    await terminal.expect(r"\d\d:\d\d Coral Otter: patience")
    await terminal.ready()
    terminal.type("\x04")
    assert await terminal.end() == 0
    assert lines_of(chat) == ["patience"]


async def test_does_not_end_well_if_something_is_not_stored(chat: StubChat, open_terminal: Open) -> None:
    """One who leaves waits for what was said, but not for ever; exit code 3."""
    chat.script.append(Do.IGNORE)
    terminal = await open_terminal("chat", ROOM)
    await terminal.expect("you are Coral Otter")
    await terminal.ready()
    terminal.type("one\rexit\r")
    assert await terminal.end() == 3
    await terminal.expect("not everything is known to be stored: the server does not answer")


async def test_what_was_refused_is_shown_again(chat: StubChat, open_terminal: Open) -> None:
    """One can read what could not be said, and why."""
    chat.script.append(Rejected("too-big", "there is no room for it"))
    terminal = await open_terminal("chat", ROOM)
    await terminal.expect("you are Coral Otter")
    await terminal.ready()
    terminal.type("precious\r")
    await terminal.expect("not known to be sent: precious: there is no room for it")
    terminal.type("exit\r")
    assert await terminal.end() == 0


async def test_the_end_of_the_room_ends_it(chat: StubChat, open_terminal: Open) -> None:
    """A room that is deleted ends it with one sentence, although the prompt is open."""
    terminal = await open_terminal("chat", ROOM)
    await terminal.expect("you are Coral Otter")
    await terminal.ready()
    await chat.close(4004, "the room has been deleted")
    assert await terminal.end() == 1
    await terminal.expect(r"\[clientdemo\] \S+/api/serve/den: the room has been deleted")
    assert "Traceback" not in terminal.text


async def test_asks_for_the_password(
    environment: dict[str, str], chat: StubChat, open_terminal: Open
) -> None:
    """A person is asked for the password of a service elsewhere; a wrong one ends it."""
    environment["CLIENTDEMO_CHAT"] = environment.pop("FANLINE_CHAT_PORT") and chat.url
    terminal = await open_terminal("chat", ROOM, "--name", "Ada")
    await terminal.expect("Password of Ada: ")
    terminal.type("typed-secret\r")
    await terminal.expect("this is not the password of this server")
    assert await terminal.end() == 2
    assert chat.logins == [("Ada", "typed-secret")]
    assert "typed-secret" not in terminal.text


async def test_the_output_of_a_person_may_be_a_pipe(chat: StubChat, start: Start, keyboard: Keyboard) -> None:
    """At a keyboard, but with the output elsewhere, messages are there and all else on standard error."""
    process = await start("chat", ROOM, stdin=keyboard.terminal)
    assert await process.error_line() == "[clientdemo] you are Coral Otter"
    keyboard.type("one\n")
    assert (await process.line())[6:] == "Coral Otter: one"
    keyboard.type("exit\n")
    assert (await process.end()).code == 0
    assert lines_of(chat) == ["one"]


async def test_a_closed_output_ends_it(chat: StubChat, start: Start, keyboard: Keyboard) -> None:
    """An interactive session ends at once when output is closed, even without events."""
    reading, writing = os.pipe()
    process = await start("chat", ROOM, stdin=keyboard.terminal, stdout=writing)
    os.close(writing)
    assert await process.error_line() == "[clientdemo] you are Coral Otter"
    os.close(reading)
    result = await process.end()
    assert (result.code, result.err) == (0, "")
    assert chat.said == []


# The real services.


async def test_a_round_trip(
    environment: dict[str, str], start: Start, run: Run, cert_dir: Path, tmp_path: Path
) -> None:
    """Two clients in a room of the real service; one outlives a restart of it, and misses nothing."""
    async with Pipeline(tmp_path, cert_dir) as pipeline, AsyncExitStack() as running:
        service = ServiceProcess(
            "chat",
            cert_dir=cert_dir,
            chat_token_key_file=tmp_path / "token.key",
            publisher_url=pipeline.publisher.url,
            subscriber_url=pipeline.subscriber.url,
        )
        await service.start()
        running.push_async_callback(service.kill)
        environment["FANLINE_CHAT_PORT"] = str(service.port)
        listener = await start("chat", "lobby", "--name", "Ada")
        assert await listener.error_line()  # that it is not ready yet, or who one is
        assert (await run("chat", "lobby", "--name", "Bea", stdin=b"one\ntwo\n")).code == 0
        assert [(await listener.line())[6:] for _ in range(4)] == [
            "Bea joined",
            "Bea: one",
            "Bea: two",
            "Bea left",
        ]
        await service.kill()
        await listener.type("three")
        await service.start()
        result = await listener.end(b"four\n")
        assert result.code == 0
        assert [line[6:] for line in result.out.splitlines()] == ["Ada: three", "Ada: four"]
        result = await run("chat", "lobby", "--last", "3")
        assert [line[6:] for line in result.out.splitlines()] == ["Bea: two", "Ada: three", "Ada: four"]
        assert (await run("chat", "nowhere")).err.endswith("There is no room 'nowhere'.\n")
