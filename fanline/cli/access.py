"""``fanline disconnect`` and ``fanline revoke``: close connections, and refuse tokens.

Both write to the log of msgqueue, as the user that services log in as, and end when it is on disk.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from fanline.errors import ConfigurationError, Rejected
from fanline.protocol import (
    ACCESS_TOPIC,
    AccessChange,
    Ack,
    Disconnect,
    NewMessage,
    Refusal,
    RevokeToken,
    RevokeUser,
    encode,
)
from fanline.queue.remote import RemoteQueue
from fanline.setting_sources import read
from fanline.settings import Settings
from fanline.tasks import running_task

UserName = Annotated[str, typer.Argument(metavar="USER", show_default=False)]
TokenId = Annotated[
    str | None, typer.Argument(metavar="JTI", help="The `jti` of a token.", show_default=False)
]
Name = Annotated[
    str | None, typer.Option("--user", metavar="NAME", help="All tokens of this name.", show_default=False)
]
Before = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="With --user: those issued before, as 2026-11-28T12:00:00Z or in Unix seconds.",
        show_default="now",
    ),
]


def disconnect(user: UserName) -> None:
    """Close all connections of a user.

    To keep the user out, remove the user or revoke the token.
    """
    position = asyncio.run(_store(Disconnect(user)))
    typer.echo(f"{user}: disconnected (position {position})")


def revoke(jti: TokenId = None, user: Name = None, before: Before = None) -> None:
    """Revoke a token, or all tokens of a name.

    Services refuse a revoked token, and close its connections.
    """
    if (jti is None) == (user is None):
        raise ConfigurationError("name the token by its JTI, or all tokens of a name with --user NAME")
    if user is None:
        if before is not None:
            raise ConfigurationError("--before goes with --user: one token is revoked at once")
        position = asyncio.run(_store(RevokeToken(str(jti))))
        typer.echo(f"{jti}: revoked (position {position})")
        return
    now = time.time()
    until = now if before is None else _parse_time(before)
    if until > now:
        raise ConfigurationError(f"--before {before}: is in the future")
    position = asyncio.run(_store(RevokeUser(user, until)))
    moment = datetime.fromtimestamp(until, UTC)
    typer.echo(f"{user}: tokens issued before {moment:%Y-%m-%dT%H:%M:%SZ} revoked (position {position})")


def _parse_time(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(f"--before {text}: is not a time such as 2026-11-28T12:00:00Z") from None
    return moment.timestamp()


class _Reply:
    """The outcome of the one message."""

    def __init__(self) -> None:
        self.group: object = self
        self.outcome: asyncio.Future[Ack | Refusal] = asyncio.get_running_loop().create_future()

    def settle(self, outcome: Ack | Refusal) -> None:
        """Take the outcome."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)


async def _store(change: AccessChange) -> int:
    """Write a change to the log; return its position.

    Raises:
        Rejected: If msgqueue cannot be reached, or does not take it.
    """
    queue, reply = RemoteQueue.from_settings(read(Settings)), _Reply()
    async with running_task(queue.run()):
        queue.append(NewMessage(ACCESS_TOPIC, msgspec.Raw(encode(change))), reply)
        outcome = await reply.outcome
        if isinstance(outcome, Refusal):
            raise Rejected(outcome.error, queue.problem or outcome.reason)
    return outcome.seq
