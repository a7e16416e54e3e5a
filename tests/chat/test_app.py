"""The chat server: how it starts, whom it cuts off, what it logs, how it stops."""

import asyncio
import json
import socket
import ssl
import sys
from pathlib import Path

import pytest

from chat.app import open_chat
from chat.domain import sentences
from fanline.errors import ConfigurationError
from fanline.server import Service
from tests.chat.client import ChatClient
from tests.chat.conftest import MakeSettings, Services, StartChat, StartChatProcess
from tests.stubs import DEADLINE, PASSWORD

# Starting.


async def test_a_missing_file_is_named(make_chat_settings: MakeSettings, tmp_path: Path) -> None:
    """Without what it needs the server does not start, and says which file or setting it is (line 3)."""
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "short.key").write_text("short")
    (tmp_path / "short.key").chmod(0o600)
    mistakes: list[tuple[dict[str, object], str]] = [
        ({"cert_dir": empty}, r"empty/server\.crt: there is no such file"),
        ({"host": "0.0.0.0"}, "FANLINE_USERS_FILE"),
        ({"users_file": tmp_path / "nobody"}, "nobody"),
        ({"chat_password_file": tmp_path / "nothing"}, "chat_password_file"),
        ({"link_password_file": tmp_path / "nothing"}, "link_password_file"),
        ({"chat_token_key_file": tmp_path / "short.key"}, "chat_token_key_file"),
        ({"chat_user": "chat"}, "chat_user chat: there is no password"),
    ]
    for changes, said in mistakes:
        with pytest.raises(ConfigurationError, match=said):
            await Service.start(open_chat, make_chat_settings(**changes))


async def test_a_port_that_is_taken_is_named(chat: ChatClient, make_chat_settings: MakeSettings) -> None:
    """A port that another program listens on is said to be taken."""
    settings = make_chat_settings(chat_port=chat.server.port)
    with pytest.raises(
        ConfigurationError, match=f"cannot listen on 127.0.0.1:{chat.server.port}: address already"
    ):
        await Service.start(open_chat, settings)


async def test_a_mistake_ends_the_program_with_2(tmp_path: Path) -> None:
    """Started as a program with a wrong setting, it ends with 2 and one sentence (line 3)."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chat", "--cert-dir", str(tmp_path),
        "--chat-token-key-file", str(tmp_path / "key"),
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(DEADLINE):
        _, said = await program.communicate()
    assert program.returncode == 2
    assert said.decode().startswith(f"chat: {tmp_path}/server.crt: there is no such file")
    assert said.count(b"\n") == 1


# Those who hold a connection and do not use it.


async def closed(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the server closes, or cuts off, a connection."""
    try:
        async with asyncio.timeout(DEADLINE):
            return await reader.read()
    except ConnectionError:
        return b""


async def test_a_slow_request_is_dropped(start_chat: StartChat, tls: ssl.SSLContext) -> None:
    """A request whose head does not come in time is cut off, a first one and a later one; a member stays."""
    chat = await start_chat(handshake_timeout=2)
    member = await chat.enter()
    whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

    async def dawdle(sent: bytes) -> None:
        reader, writer = await asyncio.open_connection("localhost", chat.server.port, ssl=tls)
        writer.write(sent)
        answer = await closed(reader)
        assert answer.count(b"HTTP/1.1 200 ") == sent.count(b"\r\n\r\n")
        writer.close()

    await asyncio.gather(
        *map(dawdle, (b"", b"GET /healthz HTTP/1.1\r\nHost:", whole + b"GET /hea", whole + whole, whole))
    )
    await member.say("still here")
    assert await member.hear_chat(1) == ["still here"]


async def test_a_connection_without_tls_is_dropped(start_chat: StartChat) -> None:
    """A connection that begins no TLS handshake is cut off."""
    chat = await start_chat(handshake_timeout=2)
    reader, writer = await asyncio.open_connection("localhost", chat.server.port)
    assert await closed(reader) == b""
    writer.close()


async def test_a_dead_connection_leaves(start_chat: StartChat) -> None:
    """A member whose connection is dead, without a word, has left after the pings (line 8)."""
    chat = await start_chat(ping_interval=0.1, silence_limit=0.2)
    dead = await chat.enter()
    dead.connection.transport.pause_reading()  # answers no ping
    async with asyncio.timeout(DEADLINE):
        while (await chat.http.get("/api/room/lobby")).json()["members"]:
            await asyncio.sleep(0.01)


# Stopping.


async def test_a_stop_is_clean(services: Services, start_chat_process: StartChatProcess) -> None:
    """On SIGTERM all are closed with 1001, and members have left, before the program ends with 0."""
    chat = await start_chat_process()
    member, watcher = await chat.enter(), await chat.open("/api/feed")
    assert await chat.server.stop() == 0
    assert [await each.end() for each in (member, watcher)] == [sentences.SERVER_STOPS] * 2
    again = await start_chat_process()
    assert (await again.http.get("/api/room/lobby")).json()["members"] == []
    types = [each["type"] for each in (await again.http.get("/api/room/lobby/messages")).json()]
    assert types == ["joined", "left"]


async def test_no_client_delays_a_stop(start_chat: StartChat, tls: ssl.SSLContext) -> None:
    """A stop is not held up by those who do not answer, nor by half a request."""
    chat = await start_chat(drain_timeout=0.5)
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", chat.server.port))
    deaf, talker = await chat.enter(sock=narrow, max_queue=1), await chat.enter(v1=True)
    deaf.connection.transport.pause_reading()
    while not any(connection.write_buffer_size for connection in chat.server.connections):
        await talker.connection.send(json.dumps([{"message": "x" * 16_000}] * 4))
        await talker.hear_chat(4)
    _, writer = await asyncio.open_connection("localhost", chat.server.port, ssl=tls)
    writer.write(b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    async with asyncio.timeout(DEADLINE):
        await chat.server.stop()
    deaf.connection.transport.resume_reading()
    assert (await deaf.end())[0] == 1006  # cut off, with what was waiting for it
    writer.close()


# The log.


async def test_no_secret_is_logged(start_chat_process: StartChatProcess, tls: ssl.SSLContext) -> None:
    """Whatever is done with tokens and passwords, none of them is in the log, at whatever level."""
    chat = await start_chat_process(log_level="debug", chat_password="open-sesame")
    token = await chat.log_in(password="open-sesame")
    member = await chat.enter(token=token, v1=True)
    await chat.open("/api/feed", additional_headers={"Authorization": f"Bearer {token}"})
    await member.say("a-confession", id="1")
    await member.hear_of(ok="1")
    await chat.http.post("/login", json={"password": "a-wrong-guess", "name": "Ada"})
    await chat.http.get("/history", params={"token": token, "page": "x"})
    for path in ("/api/serve/nowhere", "/nowhere", "/api/serve/lobby?after=x"):
        await chat.refused(path, token=token)
    assert (await chat.refused("/join", token=f"{token}x"))[0] == 401
    for request in (
        f"GET /join?token={token} HTTP/9\r\n\r\n",
        f"GET /join?token={token}\r\n\r\n",
        token * 500,
    ):
        reader, writer = await asyncio.open_connection("localhost", chat.server.port, ssl=tls)
        writer.write(request.encode())
        await closed(reader)
        writer.close()
    member.connection.transport.write(b"\x81\x82\x00\x00\x00\x00\xff\xff")  # a text frame that is no text
    await member.end()
    await chat.http.post("/logout", params={"token": token})
    assert await chat.server.stop() == 0
    log = b"".join(chat.server.log).decode()
    assert "listening on https://127.0.0.1:" in log
    for secret in (
        token,
        token.rpartition(".")[2],
        "open-sesame",
        "a-wrong-guess",
        "a-confession",
        PASSWORD + '"',
    ):
        assert secret not in log
    assert "Traceback" not in log
