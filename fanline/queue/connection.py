"""The link from one service to msgqueue, made from the settings; and single questions to it."""

import asyncio
from typing import Any, Final

import msgspec
from websockets.asyncio.client import ClientConnection

from fanline.client.connection import Login, ReconnectingConnection
from fanline.errors import Disconnected, Rejected
from fanline.protocol import PopCommand, encode
from fanline.security.tls import client_context
from fanline.settings import Settings
from fanline.tasks import running_task

# A refused login can be put right on the other side; until then it is not tried more often than this.
REFUSED_DELAY: Final = 5.0


def link_to_queue(settings: Settings, path: str) -> ReconnectingConnection:
    """Return a link to an endpoint of msgqueue, as the user that the settings name.

    Raises:
        ConfigurationError: If the CA or the password file cannot be read.
    """
    return ReconnectingConnection(
        settings.queue_url + path,
        login=Login.by_password(settings.link_user, settings.link_secret()),
        tls=client_context(settings.cert_dir),
        ping_interval=settings.ping_interval,
        silence_limit=settings.silence_limit,
        refused_delay=REFUSED_DELAY,
    )


async def ask_queue(settings: Settings, command: PopCommand, *, timeout: float) -> dict[str, Any]:
    """Say one thing to msgqueue, and return its answer.

    Args:
        settings: Where it is, and as whom to log in.
        command: What to say.
        timeout: Seconds to wait for the answer.

    Raises:
        Rejected: If it refuses.
        Disconnected: If it does not answer in time.
        ConfigurationError: If the CA or the password file cannot be read.
    """
    link = link_to_queue(settings, "/popmsg")
    answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def ask(connection: ClientConnection) -> None:
        await connection.send(encode(command), text=True)
        answered.set_result(await connection.recv(decode=False))
        await connection.wait_closed()

    try:
        async with running_task(link.run(ask)), asyncio.timeout(timeout):
            answer: dict[str, Any] = msgspec.json.decode(await answered)
    except TimeoutError:
        raise Disconnected(link.problem or "msgqueue does not answer") from None
    if "error" in answer:
        raise Rejected(answer["error"], answer["reason"])
    return answer
