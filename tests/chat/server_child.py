"""A chat service in a process of its own, with members in the lobby, to be killed or frozen.

    python server_child.py MEMBERS INTERVAL    with the settings in the environment

It prints ``joined ID`` for each member and ``closed CODE`` for each that is closed, and ends with its input.
"""

import asyncio
import sys

import uvloop

from chat.domain.errors import MemberClosed
from chat.domain.rooms import LOBBY
from chat.service.chat_service import ChatService, Tuning
from chat.service.members import LocalMember
from chat.settings import ChatSettings
from fanline.setting_sources import read


def say(words: str) -> None:
    print(words, flush=True)  # noqa: T201 - this is how it speaks to the test


async def report(member: LocalMember) -> None:
    try:
        while True:
            await member.take()
    except MemberClosed as closed:
        say(f"closed {closed.code}")


async def main(count: int, interval: float) -> None:
    server = ChatService.from_settings(read(ChatSettings), Tuning(beat_interval=interval))
    async with server.running():
        while not server.lifecycle.is_ready:
            await asyncio.sleep(0.01)
        members = [await server.join(LOBBY, "Ada", None) for _ in range(count)]
        for member in members:
            say(f"joined {member.id}")
        await asyncio.gather(*map(report, members))
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


uvloop.run(main(int(sys.argv[1]), float(sys.argv[2])))
