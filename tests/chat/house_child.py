"""A house in a process of its own, with members in the lobby: to be killed, or frozen.

    python house_child.py MEMBERS INTERVAL    with the settings in the environment

It prints ``joined ID`` for each member, then ``closed CODE`` when one is closed, and ends with its input.
"""

import asyncio
import sys

import pytest
import uvloop

from chat.domain import server_liveness as presence
from chat.domain.errors import MemberClosed
from chat.domain.state import LOBBY
from chat.service.house import House
from chat.service.members import LocalMember
from fanline.settings import build


def say(words: str) -> None:
    print(words, flush=True)  # noqa: T201 - this is how it speaks to the test


async def report(member: LocalMember) -> None:
    try:
        while True:
            await member.take()
    except MemberClosed as closed:
        say(f"closed {closed.code}")


async def main(count: int) -> None:
    async with House(build()) as house:
        while not house.ready:
            await asyncio.sleep(0.01)
        members = [await house.join(LOBBY, "Ada", None) for _ in range(count)]
        for member in members:
            say(f"joined {member.id}")
        await asyncio.gather(*map(report, members))
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


pytest.MonkeyPatch().setattr(presence, "INTERVAL", float(sys.argv[2]))
uvloop.run(main(int(sys.argv[1])))
