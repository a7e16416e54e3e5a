"""Many users, a message of each at the same moment, and all deliveries counted one by one."""

import asyncio
import os
import ssl
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import bcrypt
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection

from tests.conftest import open_websocket
from tests.processes import Pipeline
from tests.stubs import DEADLINE

USERS = int(os.environ.get("USERS_AT_ONCE", "200"))
PASSWORD = "all the same"

# Handshakes under way at a time: what is tested is the messages, not a storm of logins.
AT_A_TIME = 20


class Content(msgspec.Struct):
    """The fields of a message that are read."""

    content: int


def write_users(folder: Path) -> Path:
    """Write a users file with a user for each number, and the service that links the services."""
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    names = [*(f"user{number}" for number in range(USERS)), "link"]
    users = folder / "users"
    users.write_text("".join(f"{name}:{hashed}\n" for name in names))
    tables = "".join(f"[{name}]\n" for name in names)
    users.with_name("users.toml").write_text(f'{tables}role = "service"\n')
    (folder / "link-password").write_text(PASSWORD)
    return users


async def dial_all(url: str, tls: ssl.SSLContext) -> list[ClientConnection]:
    """Connect as every user."""
    slots = asyncio.Semaphore(AT_A_TIME)

    async def dial(number: int) -> ClientConnection:
        async with slots:
            return await open_websocket(
                url,
                tls,
                user=f"user{number}",
                password=PASSWORD,
                compression=None,
                open_timeout=DEADLINE,
                ping_interval=None,
                max_queue=None,
            )

    return await asyncio.gather(*(dial(number) for number in range(USERS)))


async def all_of(steps: list[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Run everything at the same moment."""
    return list(await asyncio.gather(*steps))


async def receive(client: ClientConnection) -> list[int]:
    """Receive as many messages as there are users, and return what is in them, in their order."""
    decode = msgspec.json.Decoder(Content).decode
    return [decode(await client.recv(decode=False)).content for _ in range(USERS)]


@pytest.mark.timeout(240)
async def test_everyone_receives_everything_once(tmp_path: Path, cert_dir: Path, tls: ssl.SSLContext) -> None:
    """Each of 1,000 users gets exactly one copy of each of 1,000 messages, all in one order (line 17)."""
    settings = {
        "users_file": write_users(tmp_path),
        "link_user": "link",
        "link_password_file": tmp_path / "link-password",
    }
    async with Pipeline(tmp_path, cert_dir, **settings) as pipeline:
        subscribers = await dial_all(f"{pipeline.subscriber.url}/subscribe", tls)
        await all_of([client.send("sub room") for client in subscribers])
        await all_of([client.recv() for client in subscribers])
        publishers = await dial_all(f"{pipeline.publisher.url}/publish", tls)

        receiving = [asyncio.create_task(receive(client)) for client in subscribers]
        await all_of(
            [
                client.send(f'{{"topic":"room","content":{number}}}')
                for number, client in enumerate(publishers)
            ]
        )
        orders = await asyncio.gather(*receiving)

        assert sum(len(order) for order in orders) == USERS * USERS
        assert sorted(orders[0]) == list(range(USERS))
        assert all(order == orders[0] for order in orders)
        for client in (*subscribers, *publishers):
            client.transport.abort()
