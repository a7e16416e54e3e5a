"""The hostile client as a process, with attacks by standard input.

The first line has the target as JSON, each other one the name of an attack, which goes on until the next
line. Each line is answered with one when that is begun.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import msgspec
import uvloop

from fanline.security.client_tls import client_context
from fanline.tasks import start_task
from fanline.verify.hostile.attacks import ATTACKS
from fanline.verify.hostile.target import Target

# It must not take from the services and the well-behaved client what on another machine it could not take.
NICENESS: Final = 10

CANCEL_SECONDS: Final = 0.5


class Order(msgspec.Struct):
    """The first line: the fields of :class:`Target`, and the certificates' folder."""

    publisher: int
    subscriber: int
    user: str
    password: str
    cert_dir: str


async def attack(read_line: Callable[[], Awaitable[bytes]], answer: Callable[[], None]) -> None:
    """Attack as lines say, until there are no more.

    Args:
        read_line: Returns the next line; an empty one at the end.
        answer: Called when what a line says is begun.
    """
    order = msgspec.json.decode(await read_line(), type=Order)
    tls = client_context(Path(order.cert_dir))
    target = Target(order.publisher, order.subscriber, order.user, order.password, tls)
    answer()
    running: asyncio.Task[None] | None = None
    while line := await read_line():
        if running is not None:
            await _end(running)
        name = line.decode().strip()
        running = start_task(ATTACKS[name](target)) if name else None
        answer()
    if running is not None:
        await _end(running)


async def _end(attack: asyncio.Task[None]) -> None:
    """End an attack, cancelling it until it has ended.

    An attack that learns at that moment that it was cut takes the cancellation for that.
    """
    while not attack.done():
        attack.cancel()
        await asyncio.wait([attack], timeout=CANCEL_SECONDS)


async def _main() -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    await attack(lines.readline, lambda: print(flush=True))  # noqa: T201 - the protocol of this program


if __name__ == "__main__":
    os.nice(NICENESS)
    logging.disable()  # its connections are refused, cut and torn
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(_main())
