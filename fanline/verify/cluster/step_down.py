"""Ask the leader of a stream to hand over."""

import asyncio
import ssl
from contextlib import suppress
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError

from fanline.verify.cluster.nats_servers import USER

SECONDS: Final = 5


async def step_down(url: str, tls: ssl.SSLContext, password: str, stream: str) -> None:
    """Ask for another leader; ignore that there is none or no answer.

    Args:
        url: A NATS server, ``tls://HOST:PORT``.
        tls: Verifies it.
        password: Password of the user.
        stream: The stream.
    """
    client = Client()
    with suppress(NatsError, OSError, TimeoutError):
        async with asyncio.timeout(SECONDS):
            await client.connect(
                [url],
                allow_reconnect=False,
                tls=tls,
                tls_handshake_first=True,
                user=USER,
                password=password,
            )
            await client.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}", timeout=SECONDS)
            await client.close()
