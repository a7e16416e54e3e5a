"""What members and watchers of a house are given, in a form that tests can compare."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from chat.domain.errors import MemberClosed
from chat.domain.views import Entry
from chat.service.members import Outbox
from tests.stubs import DEADLINE


async def receive(outbox: Outbox, count: int) -> list[dict[str, Any]]:
    """Return the next things that a client is sent, so many of them."""
    got: list[dict[str, Any]] = []
    async with asyncio.timeout(DEADLINE):
        while len(got) < count:
            got += map(msgspec.json.decode, await outbox.take())
    assert len(got) == count
    return got


async def end_of(outbox: Outbox) -> MemberClosed:
    """Return why a client is closed, whatever it is sent before."""
    async with asyncio.timeout(DEADLINE):
        try:
            while True:
                await outbox.take()
        except MemberClosed as closed:
            return closed


def said(entries: Sequence[Entry]) -> list[str]:
    """Return the texts of the messages among what has happened."""
    return [entry.message for entry in entries if entry.type == "chat"]


def brief(frames: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return what has happened, whose doing it was, and what they said."""
    return [(frame["type"], frame["memberName"], frame["message"]) for frame in frames]
