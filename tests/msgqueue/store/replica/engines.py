"""Replicas, opened as a test opens an engine: on a journal in memory, or on one in JetStream."""

import asyncio
import atexit
import hashlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import certs
from fanline.protocol import NewMessage, Page, Record
from fanline.security.client_tls import client_context
from msgqueue.journal.jetstream import JetStreamJournal
from msgqueue.journal.session import NatsLogin
from msgqueue.store.base import AppendResult, Bounds, Listener, RecordHeader, Store
from msgqueue.store.replica.engine import ReplicaStore
from msgqueue.store.replica.patience import Patience
from tests.msgqueue.journal.memory_journal import HostileLog, MemoryJournal
from tests.msgqueue.journal.nats_cluster import NatsCluster
from tests.msgqueue.store.store_model import WINDOW, Clock

# Sending again at once costs nothing here, and every lost frame waits for it. Giving up must not happen.
QUICK = Patience(resend=0.005, resend_most=0.05, move=0.05, give_up=60.0, tick=0.5)


class Journals:
    """The journals of one test, which outlive the stores: one for each folder."""

    def __init__(self, *, rate: float = 0.0) -> None:
        self._rate = rate
        self._logs: dict[Path, HostileLog] = {}

    def log(self, folder: Path, clock: Clock) -> HostileLog:
        """Return the journal of a folder."""
        if folder not in self._logs:
            self._logs[folder] = HostileLog(Random(str(folder)), rate=self._rate, time=lambda: clock.ms)
        return self._logs[folder]

    async def open_one(self, folder: Path, clock: Clock) -> ReplicaStore:
        """Open the only replica."""
        [journal] = MemoryJournal.connected(self.log(folder, clock), ["only"])
        return await ReplicaStore.join(folder, journal, dedupe_window=WINDOW, clock=clock, patience=QUICK)

    async def open_three(self, folder: Path, clock: Clock) -> Store:
        """Open three replicas, that a test uses as one."""
        log = self.log(folder, clock)
        stores = [
            await ReplicaStore.join(folder / name, journal, dedupe_window=WINDOW, clock=clock, patience=QUICK)
            for name, journal in zip("abc", MemoryJournal.connected(log, "abc"), strict=True)
        ]
        return Three(stores, Random(str(folder)))


class JetStreamEngine:
    """Opens a replica on three NATS servers, which run until the process ends; a stream for each folder."""

    def __init__(self) -> None:
        self._servers: NatsCluster | None = None

    async def open(self, folder: Path, clock: Clock) -> ReplicaStore:
        """Open the only replica."""
        if self._servers is None:
            self._servers = await self._start()
        stream = hashlib.blake2b(str(folder).encode(), digest_size=8).hexdigest()
        login = NatsLogin(self._servers.tls, "fanline", "secret")
        journal = await JetStreamJournal.open(
            self._servers.urls, stream, login, max_bytes=1 << 30, max_payload=6 << 20, timeout=60
        )
        return await ReplicaStore.join(
            folder, journal, dedupe_window=WINDOW, clock=clock, patience=Patience(give_up=60)
        )

    async def _start(self) -> NatsCluster:
        folder = Path(tempfile.mkdtemp(prefix="nats-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        certs.ensure(folder / "certs")
        servers = NatsCluster(folder, folder / "certs", client_context(folder / "certs"))
        atexit.register(servers.stop)
        await servers.start_all()
        return servers


class Three(Store):
    """Three replicas used as one: each call goes to any of them, and a read first catches up.

    Args:
        stores: The replicas.
        random: Decides which of them is used.
    """

    def __init__(self, stores: Sequence[ReplicaStore], random: Random) -> None:
        self._stores = stores
        self._random = random
        self._listeners: list[Listener] = []
        self._told = 0
        self._appends = 0
        self._in_use = stores[0]
        for store in stores:
            store.follow(self._tell)

    @property
    def epoch(self) -> str:
        [epoch] = {store.epoch for store in self._stores}
        return epoch

    @property
    def damaged(self) -> int:
        return max(store.damaged for store in self._stores)

    @property
    def problem(self) -> str | None:
        return next((store.problem for store in self._stores if store.problem), None)

    async def append(
        self, messages: Sequence[NewMessage], *, cursors: Mapping[str, int] | None = None
    ) -> list[AppendResult]:
        """Append through any of them; concurrent calls through the same, which alone keeps their order."""
        if not self._appends:
            self._in_use = self._random.choice(self._stores)
        self._appends += 1
        try:
            return await self._in_use.append(messages, cursors=cursors)
        finally:
            self._appends -= 1

    def follow(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def _tell(self, records: Sequence[Record]) -> None:
        """Pass on what one of the replicas is the first to tell."""
        if new := [record for record in records if record.seq > self._told]:
            self._told = new[-1].seq
            for listener in self._listeners:
                listener(new)

    async def read(self, after: int, **how: Any) -> Page:
        return await (await self._any()).read(after, **how)

    async def read_back(self, before: int, **how: Any) -> list[Record]:
        return await (await self._any()).read_back(before, **how)

    async def read_newest(self, *args: Any, **how: Any) -> Page:
        return await (await self._any()).read_newest(*args, **how)

    async def headers(self, after: int, **how: Any) -> list[RecordHeader]:
        return await (await self._any()).headers(after, **how)

    async def bounds(self) -> Bounds:
        return await (await self._any()).bounds()

    async def trimmed(self, patterns: Sequence[str] | None = None, *, after: int = 0) -> int:
        return await (await self._any()).trimmed(patterns, after=after)

    async def trim(self, seqs: Sequence[int]) -> None:
        """Trim each of them, as retention does by the same rules."""
        for store in self._stores:
            await store.catch_up()
            await store.trim(seqs)

    async def cursors(self) -> dict[str, int]:
        return await (await self._any()).cursors()

    async def set_cursor(self, name: str, seq: int) -> None:
        await self._random.choice(self._stores).set_cursor(name, seq)

    async def delete_cursor(self, name: str) -> None:
        await self._random.choice(self._stores).delete_cursor(name)

    async def tidy(self) -> None:
        await asyncio.gather(*(store.tidy() for store in self._stores))

    async def close(self) -> None:
        await asyncio.gather(*(store.close() for store in self._stores))

    async def _any(self) -> ReplicaStore:
        store = self._random.choice(self._stores)
        await store.catch_up()
        return store
