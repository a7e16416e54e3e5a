"""The inbound side of a WebSocket: no peer keeps the others waiting, however much it sends."""

import asyncio
import socket
from collections.abc import Coroutine, Hashable
from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from fanline.security.logins import VerifiedLogin
from fanline.server.accepting.cuts import Cut
from fanline.server.accepting.peer import Peer
from fanline.server.channels.channel import Channel
from fanline.server.channels.limits import Limits
from fanline.server.websocket.inbound import InboundChannel
from tests.conftest import until

LIMITS = Limits(
    max_frame=1_000, write_buffer=65_536, close_timeout=1, ping_interval=20, silence_limit=30,
    max_unfinished=65_536,
    max_unread=65_536,
)  # fmt: skip

COUNT = 5_000


class Idle:
    """The set that a channel belongs to, and what counts its peer: neither does anything."""

    def end_handshake(self, network: Hashable) -> None:
        pass

    def forget(self) -> None:
        pass

    def remove(self, channel: Channel) -> None:
        pass

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.create_task(work)

    def count_cut(self, channel: Channel, cut: Cut) -> None:
        pass

    async def renew(self, channel: Channel, login: VerifiedLogin, token: str) -> None:
        pass


class Reading(asyncio.Transport):
    """A transport of which is known whether it is read from."""

    is_read = True

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


class Inbox(InboundChannel):
    """A channel that notes what it is sent."""

    def __init__(self, transport: Reading, peer: Peer, idle: Idle) -> None:
        super().__init__(transport, peer, LIMITS, idle, login=None, expires=0)
        self.reading = transport
        self.messages: list[bytes] = []
        self.answers = 0

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._parse_rest()
        while self._waiting:
            self._deliver(self._waiting.popleft())

    def check_life(self, now: float) -> int:
        raise NotImplementedError

    def stop_listening(self) -> None:
        raise NotImplementedError

    def dismiss(self, retry_ms: int) -> None:
        raise NotImplementedError

    def cut(self, code: int, reason: str) -> None:
        raise NotImplementedError

    def _deliver(self, payload: bytes) -> None:
        self.messages.append(payload)

    def _flush(self) -> None:
        self.answers += sum(1 for data in self._protocol.data_to_send() if data)


@pytest.fixture
async def inbox() -> Inbox:
    """An inbound channel without a socket."""
    with socket.socket() as closed:
        idle = Idle()
        return Inbox(Reading(), Peer(closed, ("192.0.2.1", 4711), None, idle), idle)


async def test_many_pings_are_answered_in_turns(inbox: Inbox) -> None:
    """Thousands of pings at once held up all connections for seconds: others have their turn in between."""
    inbox.data_received(Frame(Opcode.PING, b"").serialize(mask=True) * COUNT)
    assert 0 < inbox.answers < COUNT
    assert not inbox.reading.is_read
    inbox.data_received(Frame(Opcode.PING, b"").serialize(mask=True))
    await until(lambda: inbox.answers == COUNT + 1)
    await until(lambda: inbox.reading.is_read)


async def test_many_messages_are_handed_over_in_order(inbox: Inbox) -> None:
    """Messages that come at once are handed over in turns, all of them, in order."""
    sent = [b"%d" % number for number in range(COUNT)]
    inbox.data_received(b"".join(Frame(Opcode.BINARY, each).serialize(mask=True) for each in sent))
    assert 0 < len(inbox.messages) < COUNT
    await until(lambda: len(inbox.messages) == COUNT)
    assert inbox.messages == sent
    assert inbox.reading.is_read


async def test_what_arrived_before_the_end_counts(inbox: Inbox) -> None:
    """Messages that were received and not parsed when the connection is lost are handed over."""
    inbox.data_received(Frame(Opcode.BINARY, b"x").serialize(mask=True) * COUNT)
    inbox.connection_lost(None)
    assert len(inbox.messages) == COUNT


async def test_a_paused_handler_gets_nothing_and_loses_nothing(inbox: Inbox) -> None:
    """While the handler is paused little is read; then everything comes."""
    inbox.pause_reading()
    inbox.data_received(Frame(Opcode.BINARY, b"x").serialize(mask=True) * COUNT)
    await asyncio.sleep(0)
    assert not inbox.messages
    assert not inbox.reading.is_read
    inbox.resume_reading()
    await until(lambda: len(inbox.messages) == COUNT)


async def test_a_peer_that_reads_nothing_is_not_answered(inbox: Inbox) -> None:
    """While the peer does not read, its pings wait."""
    inbox.pause_writing()
    inbox.data_received(Frame(Opcode.PING, b"").serialize(mask=True) * COUNT)
    before = inbox.answers
    await asyncio.sleep(0)
    assert inbox.answers == before < COUNT
    inbox.resume_writing()
    await until(lambda: inbox.answers == COUNT)
