"""A raw reader of server-sent events, like ``curl -N``."""

import asyncio
import json
import ssl
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.stubs import DEADLINE, PASSWORD, USER


class Event(NamedTuple):
    """One block of a stream: what an ``EventSource`` makes of it, and also if it dispatches nothing."""

    name: str = "message"
    data: Any = None
    id: str | None = None
    retry: int | None = None
    is_comment: bool = False


class EventReader:
    """Reads the events of one stream.

    Args:
        reader: The connection.
        writer: The connection.

    Attributes:
        head: The head of the answer.
        transport: The connection below it.
    """

    def __init__(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = head
        self.transport: Any = writer.transport
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(
        cls,
        port: int,
        target: str,
        tls: ssl.SSLContext,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> "EventReader":
        """Ask for a stream, and read the head of the answer."""
        reader, writer = await asyncio.open_connection("localhost", port, ssl=tls, limit=1 << 24)
        login = {"Authorization": f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"}
        lines = [f"{name}: {value}\r\n" for name, value in (login | dict(headers or {})).items()]
        writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{''.join(lines)}\r\n".encode())
        try:
            async with asyncio.timeout(DEADLINE):
                head = await reader.readuntil(b"\r\n\r\n")
        except BaseException:
            writer.transport.abort()
            raise
        return cls(head.decode(), reader, writer)

    @property
    def status(self) -> int:
        """The status of the answer."""
        return int(self.head.split()[1])

    async def block(self) -> Event:
        """Read up to the next empty line.

        Raises:
            EOFError: If the stream has ended.
        """
        async with asyncio.timeout(DEADLINE):
            text = (await self._reader.readuntil(b"\n\n")).decode()
        lines = [line.partition(":") for line in text[:-2].split("\n")]
        fields = {name: value.removeprefix(" ") for name, _, value in lines}
        data = "\n".join(value.removeprefix(" ") for name, _, value in lines if name == "data")
        return Event(
            fields.get("event", "message"),
            json.loads(data) if data else None,
            fields.get("id"),
            int(fields["retry"]) if "retry" in fields else None,
            "" in fields,
        )

    async def next(self) -> Event:
        """Read up to the next event that has data."""
        while True:
            event = await self.block()
            if event.data is not None:
                return event

    async def contents(self, count: int) -> list[Any]:
        """Return what is in the next messages, whose ids must be their positions."""
        found = []
        for _ in range(count):
            event = await self.next()
            assert event.name == "message", event
            assert event.id == str(event.data["seq"])
            found.append(event.data["content"])
        return found

    async def rest(self) -> bytes:
        """Read to the end."""
        async with asyncio.timeout(DEADLINE):
            return await self._reader.read()

    def freeze(self) -> None:
        """Read nothing from the network until :meth:`thaw`."""
        self.transport.pause_reading()

    def thaw(self) -> None:
        """Read again."""
        self.transport.resume_reading()

    def close(self) -> None:
        """Leave."""
        self.transport.abort()
