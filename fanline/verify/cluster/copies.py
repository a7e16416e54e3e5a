"""Compare the logs of the msgqueues and the copies of the journal."""

import asyncio
import sqlite3
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import zip_longest
from pathlib import Path
from typing import Final

import httpx

from fanline.verify.cluster.nats_servers import NatsPorts, ends_at
from fanline.verify.verdict.findings import Breach, Findings

# So long the copies may need until they are equal, with everything healed.
PATIENCE: Final = 60.0

_POLL_SECONDS: Final = 0.5

_HEAD: Final = "SELECT max(log.trimmed, ifnull((SELECT max(seq) FROM messages), 0)) FROM log"

_MESSAGES: Final = (
    "SELECT seq, name, time, body FROM messages JOIN topics ON topics.id = messages.topic"
    " WHERE seq <= ? ORDER BY seq"
)


async def compare_logs(logs: Mapping[str, Path], findings: Findings, *, patience: float = PATIENCE) -> None:
    """Note where the logs differ once they end at one position.

    Args:
        logs: The file of each msgqueue, by its name.
        findings: Where to note it.
        patience: Seconds for which they may lag.
    """

    async def heads() -> list[int]:
        return [await asyncio.to_thread(_head, path) for path in logs.values()]

    found = await _once_equal(heads, patience)
    if len(set(found)) > 1:
        ends = ", ".join(f"that of {name} at {head}" for name, head in zip(logs, found, strict=True))
        findings.add(Breach.COPIES_DIFFER, f"the logs end at different positions: {ends}")
    if problem := await asyncio.to_thread(_difference, logs, min(found)):
        findings.add(Breach.COPIES_DIFFER, problem)


async def compare_journals(
    ports: Sequence[NatsPorts],
    tls: ssl.SSLContext,
    stream: str,
    findings: Findings,
    *,
    patience: float = PATIENCE,
) -> None:
    """Note which NATS servers lack entries of a stream that others have.

    Args:
        ports: The ports of all servers.
        tls: Verifies them.
        stream: The stream.
        findings: Where to note it.
        patience: Seconds for which they may lag.
    """
    async with httpx.AsyncClient(verify=tls, trust_env=False) as client:
        least = max(await ends_at(client, ports, stream))

        async def reached() -> list[int]:
            return [min(last, least) for last in await ends_at(client, ports, stream)]

        found = await _once_equal(reached, patience)
    for number, last in enumerate(found):
        if last < least:
            findings.add(
                Breach.TOO_FEW_COPIES,
                f"nats-{number} has the journal up to entry {last}, and others to {least}",
            )


async def _once_equal(ask: Callable[[], Awaitable[list[int]]], patience: float) -> list[int]:
    """Ask until all answers are equal; return the last ones."""
    deadline = asyncio.get_running_loop().time() + patience
    while True:
        found = await ask()
        if len(set(found)) == 1 or asyncio.get_running_loop().time() > deadline:
            return found
        await asyncio.sleep(_POLL_SECONDS)


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True)


def _head(path: Path) -> int:
    with closing(_open(path)) as connection:
        head: int = connection.execute(_HEAD).fetchone()[0]
    return head


def _messages(connection: sqlite3.Connection, head: int) -> Iterator[tuple[int, str, int, bytes]]:
    return iter(connection.execute(_MESSAGES, (head,)))


def _difference(logs: Mapping[str, Path], head: int) -> str | None:
    """Return the first message that differs up to a position, in words."""
    with ExitStack() as opened:
        connections = [opened.enter_context(closing(_open(path))) for path in logs.values()]
        for rows in zip_longest(*(_messages(each, head) for each in connections)):
            if any(row != rows[0] for row in rows):
                seq = min(row[0] for row in rows if row is not None)
                return f"at position {seq} the logs of {' and '.join(logs)} have different messages"
    return None
