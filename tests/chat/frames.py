"""Helpers: what clients of a chat service receive, in a form that tests can compare."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from chat.domain.errors import MemberClosed
from chat.domain.person import Person, Role
from chat.domain.views import RoomEntry
from chat.service.chat_service import ChatService
from chat.service.members import DeliveryQueue, LocalMember
from fanline.security.tokens import Claims
from tests.stubs import DEADLINE

# May make and delete any room.
ADMIN = Person("root", "Root", Role.ADMIN)


def token(name: str = "Ada", token_id: str = "t1") -> Claims:
    """Return the claims of a token."""
    return Claims(name, token_id, 2**31)


def members_of_all(server: ChatService) -> int:
    """Return how many members there are on all servers, as far as one has read."""
    return server.state.presence.state.sessions


async def say_all(server: ChatService, member: LocalMember, texts: list[str]) -> None:
    """Send messages at the same time, and wait until all are stored."""
    await asyncio.gather(*(server.say(member, text) for text in texts))


async def receive(queue: DeliveryQueue, count: int) -> list[dict[str, Any]]:
    """Return the next ``count`` objects for a client."""
    got: list[dict[str, Any]] = []
    async with asyncio.timeout(DEADLINE):
        while len(got) < count:
            got += map(msgspec.json.decode, await queue.take())
    assert len(got) == count
    return got


async def end_of(queue: DeliveryQueue) -> MemberClosed:
    """Return why a client is closed; ignore what it is sent before."""
    async with asyncio.timeout(DEADLINE):
        try:
            while True:
                await queue.take()
        except MemberClosed as closed:
            return closed


def said(entries: Sequence[RoomEntry]) -> list[str]:
    """Return the texts of the messages among some entries."""
    return [entry["message"] for entry in entries if entry["type"] == "chat"]


def brief(frames: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return type, member and text of each entry."""
    return [(frame["type"], frame["memberName"], frame["message"]) for frame in frames]
