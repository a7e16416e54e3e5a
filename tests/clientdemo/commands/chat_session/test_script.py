"""`chat` in a script: what it says, what is shown, and what ends it."""

import os
from http import HTTPStatus
from pathlib import Path

import msgspec
import pytest

from fanline.errors import Rejected
from tests.clientdemo.commands.chat_session.conftest import GUEST, lines_of
from tests.clientdemo.conftest import Run, Start
from tests.clientdemo.stub_chat import ROOM, Do, StubChat

# What a script says.


async def test_says_each_line(chat: StubChat, run: Run) -> None:
    """Every line is said as it is, except blank ones, and shown; a guest is told who they are."""
    result = await run("chat", ROOM, stdin="one\n\n  two \nä".encode())
    assert result.code == 0
    assert chat.said == [(GUEST, "one"), (GUEST, "  two "), (GUEST, "ä")]
    assert [line[6:] for line in result.out.splitlines()] == [
        "Coral Otter: one",
        "Coral Otter:   two ",
        "Coral Otter: ä",
    ]
    first, last = result.err.splitlines()
    assert first == "[clientdemo] you are Coral Otter"
    assert last.startswith("[clientdemo] 3 messages stored in ")


async def test_a_name_needs_the_password(environment: dict[str, str], chat: StubChat, run: Run) -> None:
    """With a name one logs in: by default to the service on this machine, with the password of it."""
    assert (await run("chat", ROOM, "--name", "Ada", stdin=b"one\n")).code == 0
    environment |= {"CLIENTDEMO_PASSWORD": "secret", "CLIENTDEMO_NAME": "Bea"}
    result = await run("chat", ROOM, stdin=b"two\n")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        f"[clientdemo] {chat.url} refuses the login: this is not the password of this server\n"
    )
    assert chat.said == [("Ada", "one")]
    assert chat.logins == [("Ada", "test"), ("Bea", "secret")]


async def test_a_service_elsewhere_needs_a_password_of_its_own(
    chat: StubChat, run: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    """For another machine the password of this one is not used; a file can hold the right one."""
    del environment["FANLINE_CHAT_PORT"]
    arguments = ["chat", ROOM, "--name", "Ada"]
    result = await run("--chat", chat.url, *arguments)
    assert result.code == 2
    assert "user Ada: there is no password; set CLIENTDEMO_PASSWORD" in result.err
    password = tmp_path / "password"
    password.write_text("test\n")
    options = ["--chat", f"{chat.url}/", "--password-file", str(password)]
    assert (await run(*options, *arguments, stdin=b"x")).code == 0
    assert chat.said == [("Ada", "x")]


async def test_every_line_is_stored_once(chat: StubChat, start: Start, tmp_path: Path) -> None:
    """Through lost connections, and pipelines out of reach, all is said, in order and once."""
    path = tmp_path / "lines"
    path.write_text("".join(f"line {n}\n" for n in range(1_500)))
    steps = (Do.DROP_UNACKED, Do.DROP_UNSTORED, Do.FAIL)
    chat.script.extend(step for each in steps for step in [*[Do.STORE] * 350, each])
    with path.open("rb") as file:
        result = await (await start("chat", ROOM, stdin=file)).end()
    assert result.code == 0
    assert lines_of(chat) == [f"line {n}" for n in range(1_500)]
    assert [line[19:] for line in result.out.splitlines()] == lines_of(chat)
    told = result.err.splitlines()
    assert sum(line.endswith("; trying again") for line in told) == 3
    assert f"[clientdemo] wss://localhost:{chat.port}/api/serve/{ROOM}: not in time; trying again" in told
    assert "[clientdemo] 1,500 messages stored" in told[-1]


async def test_names_the_lines_that_were_refused(chat: StubChat, run: Run) -> None:
    """A line that cannot be sent is reported by its number, the others are sent; exit code 1."""
    chat.script.append(Rejected("too-big", "it has 17,000 bytes"))
    result = await run("chat", ROOM, stdin=b"one\n\xff\ntwo\n")
    assert result.code == 1
    assert lines_of(chat) == ["two"]
    told = result.err.splitlines()
    assert "[clientdemo] line 1: it has 17,000 bytes (too-big)" in told
    assert "[clientdemo] line 2: is not valid UTF-8 at byte 1; not sent" in told
    assert told[-1].endswith("; 2 lines failed")


async def test_names_the_line_that_is_too_big_for_a_frame(chat: StubChat, run: Run) -> None:
    """A line for which the server closes the connection is not sent again; the others are."""
    result = await run("chat", ROOM, stdin=b"one\n" + b"x" * 70_000 + b"\nthree\n")
    assert result.code == 1
    assert lines_of(chat) == ["one", "three"]
    assert "[clientdemo] line 2: 70,0" in result.err
    assert "bytes are more than the server takes (too-big)\n" in result.err


async def test_ends_when_the_service_does_not_answer(chat: StubChat, run: Run) -> None:
    """Without an ack in time it is exit code 3."""
    chat.script.append(Do.IGNORE)
    result = await run("chat", ROOM, "--timeout", "0.3", stdin=b"one\n")
    assert result.code == 3
    assert "line 1: not acknowledged within 0.3 s" in result.err


async def test_ends_when_there_is_no_service(chat: StubChat, run: Run) -> None:
    """A service that cannot be reached is told at once, and given up in time."""
    await chat.stop()
    result = await run("chat", ROOM, "--timeout", "0.3", stdin=b"one\n")
    assert (result.code, result.out) == (3, "")
    problem = f"[clientdemo] {chat.url} cannot be reached: connection refused"
    assert result.err.splitlines() == [f"{problem}; trying again", problem]
    await chat.start()


async def test_waits_for_a_service_that_comes_back(chat: StubChat, start: Start) -> None:
    """Within the time given, a service may start late, or not be ready yet."""
    chat.problem = "/", HTTPStatus.SERVICE_UNAVAILABLE, "this server is still reading"
    process = await start("chat", ROOM)
    await process.type("one")
    problem = f"{chat.url} cannot serve at present: this server is still reading"
    assert await process.error_line() == f"[clientdemo] {problem}; trying again"
    chat.problem = None
    await chat.until(lambda: len(chat.said) == 1)
    result = await process.end()
    assert result.code == 0
    assert "[clientdemo] connected" in result.err.splitlines()


async def test_lines_are_sent_even_if_output_is_closed(chat: StubChat, start: Start) -> None:
    """When the output is closed, the lines are sent all the same."""
    reading, writing = os.pipe()
    chat.store("Bea", "read by nobody")
    process = await start("chat", ROOM, "--last", "1", stdout=writing)
    os.close(writing)
    os.close(reading)
    await process.type("one")
    await chat.until(lambda: len(chat.said) == 2)
    result = await process.end(b"two\n")
    assert result.code == 0
    assert lines_of(chat) == ["read by nobody", "one", "two"]


# What is shown.


async def test_shows_what_happens(chat: StubChat, start: Start) -> None:
    """The newest messages asked for, and then all events, a line for each."""
    for text in ("old", "new\x1b[31m", "newest"):
        chat.store("Bea", text)
    chat.store("Bea", kind="left")
    process = await start("chat", ROOM, "--last", "2")
    assert await process.line() == "09:19 Bea: new\\x1b[31m"
    assert await process.line() == "09:20 Bea: newest"
    await chat.until(lambda: len(chat.connections) == 1)
    for how in ({"kind": "joined"}, {"message": "two\nlines"}, {"kind": "left"}):
        await chat.happen("Bea", **how)
    assert [await process.line() for _ in range(3)] == [
        "09:23 Bea joined",
        "09:24 Bea: two\\nlines",
        "09:25 Bea left",
    ]
    assert (await process.end()).code == 0


async def test_shows_whole_events(chat: StubChat, start: Start) -> None:
    """With --json each event is the JSON that it came as, one's own coming too."""
    past = chat.store("Bea", "hello")
    process = await start("chat", ROOM, "--json", "--last", "1")
    assert msgspec.json.decode(await process.line()) == past
    joined = msgspec.json.decode(await process.line())
    assert joined == chat.log[1] | {"self": True}
    event = await chat.happen("Bea", "new") | {"from": "a newer version"}
    assert (await process.line()).encode() == msgspec.json.encode(chat.log[2])
    await chat.say(event | {"seq": event["seq"] + 1})
    assert msgspec.json.decode(await process.line())["from"] == "a newer version"
    assert (await process.end()).code == 0


async def test_looks_for_messages_behind_comings_and_goings(chat: StubChat, run: Run) -> None:
    """The newest messages are found across pages, unless there is nothing but comings and goings."""
    chat.store("Bea", "lost")
    for _ in range(1_000):
        chat.store("Bea", kind="joined")
    for n in range(700):
        chat.store("Bea", str(n))
    result = await run("chat", ROOM, "--last", "600")
    assert [line[11:] for line in result.out.splitlines()] == [str(n) for n in range(100, 700)]
    result = await run("chat", ROOM, "--last", "5000")
    assert [line[11:] for line in result.out.splitlines()] == [str(n) for n in range(700)]


async def test_goes_on_where_it_was(chat: StubChat, start: Start) -> None:
    """Events during an interruption come once, like all others."""
    chat.store("Bea", "before")
    process = await start("chat", ROOM)
    await chat.until(lambda: len(chat.connections) == 1)
    assert await process.error_line() == "[clientdemo] you are Coral Otter"
    await chat.happen("Bea", "one")
    await chat.stop()
    url = f"{chat.url}/api/serve/{ROOM}"
    assert await process.error_line() == (f"[clientdemo] {url} has closed the connection: 1006; trying again")
    chat.store("Bea", "two")
    await chat.start()
    await chat.until(lambda: len(chat.connections) == 1)
    await chat.happen("Bea", "three")
    assert [(await process.line())[6:] for _ in range(3)] == ["Bea: one", "Bea: two", "Bea: three"]
    result = await process.end()
    assert (result.code, result.out) == (0, "")
    assert "[clientdemo] connected" in result.err.splitlines()
    assert chat.entered == [(GUEST, 1), (GUEST, 5)]


# What ends it.


@pytest.mark.parametrize(
    ("close", "code", "problem"),
    [
        ((4004, "the room has been deleted"), 1, "the room has been deleted"),
        ((1008, ""), 1, "has closed the connection: 1008"),
        ((4001, "logged out"), 2, "logged out"),
        ((4001, ""), 2, "the login is over"),
    ],
)
async def test_a_room_that_is_closed_for_good(
    chat: StubChat, start: Start, idle: int, close: tuple[int, str], code: int, problem: str
) -> None:
    """A deleted room and a logout end it with one sentence, also while nothing is typed."""
    process = await start("chat", ROOM, stdin=idle)
    await process.error_line()
    await chat.until(lambda: len(chat.connections) == 1)
    await chat.close(*close)
    result = await process.end()
    assert result.code == code
    count, last = result.err.splitlines()
    assert count.startswith("[clientdemo] 0 messages stored")
    assert last.startswith(f"[clientdemo] {chat.url}/api/serve/{ROOM}")
    assert last.endswith(problem)


async def test_a_room_deleted_during_an_interruption(chat: StubChat, start: Start, idle: int) -> None:
    """A room that is not there any more after a reconnect is as one that is deleted."""
    process = await start("chat", ROOM, stdin=idle)
    await process.error_line()
    await chat.until(lambda: len(chat.connections) == 1)
    chat.problem = "/api/serve", HTTPStatus.NOT_FOUND, "there is no such room"
    chat.drop()
    result = await process.end()
    assert result.code == 1
    assert result.err.endswith(f"/api/serve/{ROOM}: the room has been deleted\n")


@pytest.mark.parametrize(
    ("path", "status", "problem"),
    [
        ("/guest", HTTPStatus.FORBIDDEN, "{url} refuses the login: as scripted"),
        ("/guest", HTTPStatus.NOT_FOUND, "{url}: as scripted"),
        ("/api/room", HTTPStatus.NOT_FOUND, "{url}: as scripted"),
        ("/api/serve", HTTPStatus.NOT_FOUND, "{url}/api/serve/den: as scripted"),
        ("/api/serve", HTTPStatus.UNAUTHORIZED, "{url}/api/serve/den refuses the login: as scripted"),
    ],
)
async def test_one_who_is_not_let_in(
    chat: StubChat, run: Run, path: str, status: HTTPStatus, problem: str
) -> None:
    """No such room, no guests, no login: one sentence, and exit code 2."""
    chat.problem = path, status, "as scripted"
    result = await run("chat", ROOM, stdin=b"x\n")
    assert (result.code, result.out) == (2, "")
    assert result.err.splitlines()[-1] == f"[clientdemo] {problem.format(url=chat.url)}"


async def test_what_is_no_chat_service(chat: StubChat, run: Run) -> None:
    """A service that speaks something else is named as such; exit code 2."""
    chat.speaks_v1 = False
    result = await run("chat", ROOM, stdin=b"x\n")
    assert result.code == 2
    assert result.err.endswith("does not speak fanline.chat.v1\n")
    chat.problem = "/guest", HTTPStatus.OK, "hello"
    result = await run("chat", ROOM, stdin=b"x\n")
    assert (result.code, result.err) == (
        2,
        f"[clientdemo] {chat.url}: is not a chat service; check the URL\n",
    )


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["chat"], "Missing argument"),
        (["chat", ROOM, "--last", "-1"], "'--last'"),
        (["--chat", "ws://localhost", "chat", ROOM], "has no TLS; expected wss://"),
        (["--chat", "wss://a:b@localhost", "chat", ROOM], "a user and password in it: give them apart"),
        (["--chat", "wss://localhost:x", "chat", ROOM], "wss://localhost:x: "),
        (["--cafile", "/etc/ssl/certs/ca-certificates.crt", "chat", ROOM], "certificate cannot be trusted"),
    ],
)
async def test_wrong_arguments(chat: StubChat, run: Run, arguments: list[str], problem: str) -> None:
    """A wrong argument is reported; exit code 2."""
    result = await run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert problem in result.err
