"""A client of chat: its pages over HTTP, its rooms over WebSockets, all over real TLS."""

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any, Protocol, Self

import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from fanline.protocol import CHAT_SUBPROTOCOL
from tests.stubs import DEADLINE, PASSWORD

# Runs a test in both protocols.
BOTH = pytest.mark.parametrize("v1", [False, True], ids=["plain", "v1"])


def bearer(token: str) -> dict[str, str]:
    """Return the header with a token."""
    return {"Authorization": f"Bearer {token}"}


def problem(response: httpx.Response) -> tuple[int, str]:
    """Return the status of a refusal, and its code; it has a sentence, too."""
    body = response.json()
    assert body.keys() - {"field"} == {"type", "title", "status", "detail", "code"}
    assert body["detail"]
    return response.status_code, body["code"]


class Listening(Protocol):
    """A chat server, in this process or another."""

    @property
    def port(self) -> int:
        """Where it listens."""
        ...


class Member:
    """A member of a room, or a subscriber of the feed: one WebSocket, whose frames are taken apart.

    Args:
        connection: The WebSocket.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._heard: deque[dict[str, Any]] = deque()

    async def hear(self) -> dict[str, Any]:
        """Return the next object."""
        async with asyncio.timeout(DEADLINE):
            while not self._heard:
                frame = msgspec.json.decode(await self.connection.recv())
                self._heard.extend(frame if isinstance(frame, list) else [frame])
        return self._heard.popleft()

    async def hear_of(self, **wanted: object) -> dict[str, Any]:
        """Return the next object with such values; those before it are passed over."""
        while True:
            heard = await self.hear()
            if wanted.items() <= heard.items():
                return heard

    async def hear_chat(self, count: int) -> list[str]:
        """Return the next messages; joins and leaves between them are passed over."""
        return [(await self.hear_of(type="chat"))["message"] for _ in range(count)]

    async def say(self, message: Any, **more: object) -> None:
        """Say something, in the protocol that the connection has."""
        if self.connection.subprotocol is None:
            await self.connection.send(message)
        else:
            await self.connection.send(msgspec.json.encode({"message": message, **more}).decode())

    async def say_all(self, messages: Sequence[str]) -> None:
        """Say all in ``fanline.chat.v1``, and wait until the last is stored."""
        for start in range(0, len(messages), 50):
            said = [{"message": each, "id": each} for each in messages[start : start + 50]]
            await self.connection.send(msgspec.json.encode(said).decode())
            await self.hear_of(ok=messages[start : start + 50][-1])

    async def end(self) -> tuple[int, str]:
        """Wait until the connection is closed, whatever comes before; return its close code and reason."""
        with suppress(ConnectionClosed):
            async with asyncio.timeout(DEADLINE):
                while True:
                    await self.connection.recv()
        return self.connection.close_code or 0, self.connection.close_reason or ""


class ChatClient:
    """Talks to one chat server; what it has opened is closed with it.

    Args:
        server: The server.
        tls: What it is verified by.

    Attributes:
        server: As given.
        http: For its pages.
    """

    def __init__(self, server: Listening, tls: ssl.SSLContext) -> None:
        self.server: Any = server
        self.http = httpx.AsyncClient(
            base_url=f"https://localhost:{server.port}", verify=tls, trust_env=False, timeout=DEADLINE
        )
        self._tls = tls
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._opened.aclose()
        await self.http.aclose()

    async def ready(self) -> None:
        """Wait until the server is of use."""
        async with asyncio.timeout(DEADLINE):
            while (await self.http.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.02)

    async def log_in(self, name: str = "Ada", password: str = PASSWORD) -> str:
        """Log in, and return the token."""
        response = await self.http.post("/login", json={"password": password, "name": name})
        assert response.status_code == 200, response.text
        return str(response.json()["token"])

    async def make_room(self, room: str) -> None:
        """Make a room with this id."""
        assert (await self.http.post("/api/room", params={"id": room})).status_code == 201

    async def enter(self, room: str = "lobby", *, self_first: bool = True, **how: Any) -> Member:
        """Join a room, and pass over one's own ``joined``, unless told otherwise."""
        member = await self.open(f"/api/serve/{room}", **how)
        if self_first:
            assert (await member.hear())["self"] is True
        return member

    async def open(self, path: str, **how: Any) -> Member:
        """Open a WebSocket."""
        return Member(await self._opened.enter_async_context(self._connect(path, **how)))

    async def refused(self, path: str, **how: Any) -> tuple[int, dict[str, Any]]:
        """Try to open a WebSocket; return status and problem that it is answered with."""
        with pytest.raises(InvalidStatus) as caught:
            await self._connect(path, **how)
        response = caught.value.response
        assert response.headers["Content-Type"] == "application/problem+json"
        return response.status_code, msgspec.json.decode(response.body or b"")

    def _connect(
        self, path: str, *, v1: bool = False, token: str | None = None, after: int | None = None, **how: Any
    ) -> connect:
        given = {"token": token, "after": after}
        query = "&".join(f"{name}={value}" for name, value in given.items() if value is not None)
        return connect(
            f"wss://localhost:{self.server.port}{path}{'?' if query else ''}{query}",
            ssl=self._tls,
            proxy=None,
            **(
                {
                    "subprotocols": [Subprotocol(CHAT_SUBPROTOCOL)] if v1 else None,
                    "open_timeout": DEADLINE,
                    "close_timeout": 1,
                    "max_size": None,
                }
                | how
            ),
        )
