"""A thousand members of one room, a thousand messages at the same moment, a million deliveries counted."""

import asyncio
import ssl
from pathlib import Path

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from fanline.protocol import CHAT_SUBPROTOCOL
from fanline.security.tokens import CHAT, Claims, TokenKey
from tests.processes import Pipeline, ServiceProcess
from tests.stubs import DEADLINE

MEMBERS = 1_000

# Handshakes under way at a time: what is tested is the messages, not a storm of logins.
AT_A_TIME = 250


class Entry(msgspec.Struct):
    """The decoded part of an entry, join or acknowledgement."""

    type: str = ""
    message: str = ""


decode = msgspec.json.Decoder(Entry | list[Entry]).decode


async def enter_all(url: str, tls: ssl.SSLContext, key: TokenKey) -> list[ClientConnection]:
    """Join the lobby with all members."""
    slots = asyncio.Semaphore(AT_A_TIME)

    async def enter(number: int) -> ClientConnection:
        token = key.issue(Claims.new(f"user{number}", lifetime=600), CHAT)
        async with slots:
            return await connect(
                f"{url}/join?token={token}",
                ssl=tls,
                subprotocols=[Subprotocol(CHAT_SUBPROTOCOL)],
                compression=None,
                open_timeout=DEADLINE,
                ping_interval=None,
                max_queue=None,
                max_size=None,
                proxy=None,
            )

    return await asyncio.gather(*(enter(number) for number in range(MEMBERS)))


async def receive(member: ClientConnection) -> list[str]:
    """Receive as many messages as there are members, and return them in their order."""
    heard: list[str] = []
    while len(heard) < MEMBERS:
        entries = decode(await member.recv(decode=False))
        batch = entries if isinstance(entries, list) else [entries]
        heard += [entry.message for entry in batch if entry.type == "chat"]
    return heard


@pytest.mark.timeout(240)
async def test_a_million_deliveries(tmp_path: Path, cert_dir: Path, tls: ssl.SSLContext) -> None:
    """Each of 1,000 members gets exactly one copy of each of 1,000 messages, all in one order (line 17)."""
    key = TokenKey(tmp_path / "token.key")
    key.create_if_missing()
    async with Pipeline(tmp_path, cert_dir) as pipeline:
        chat = ServiceProcess(
            "chat",
            cert_dir=cert_dir,
            publisher_url=pipeline.publisher.url,
            subscriber_url=pipeline.subscriber.url,
            chat_token_key_file=key.path,
        )
        await chat.start()
        try:
            members = await enter_all(chat.url, tls, key)
            receiving = [asyncio.create_task(receive(member)) for member in members]
            await asyncio.gather(
                *(member.send(f'{{"message":"{number}"}}') for number, member in enumerate(members))
            )
            orders = await asyncio.gather(*receiving)

            assert sum(len(order) for order in orders) == MEMBERS * MEMBERS
            assert sorted(orders[0], key=int) == [str(number) for number in range(MEMBERS)]
            assert all(order == orders[0] for order in orders)
            for member in members:
                member.transport.abort()
        finally:
            await chat.kill()
