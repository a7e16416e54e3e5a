"""Services with a mistake built in, and ``fanline verify`` that is to find it.

::

    python -m tests.sabotage MISTAKE verify [OPTIONS]
    python -m tests.sabotage MISTAKE SERVICE
"""

import asyncio
import os
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from threading import Lock, Timer
from typing import Any
from unittest import mock

import fanline.cli.main
from fanline.cli import verify as cli
from fanline.protocol import NewMessage, Record
from fanline.server import Service, run_program
from fanline.server.app import OpenedApp
from fanline.settings import ServiceSettings
from fanline.verify.run import Run
from msgqueue.app import open_msgqueue
from msgqueue.journal import jetstream
from msgqueue.journal.stream import stream_config
from msgqueue.settings import MsgQueueSettings
from msgqueue.store.base import AppendResult
from msgqueue.store.replica.agreement import Agreement
from msgqueue.store.replica.engine import ReplicaStore
from msgqueue.store.sqlite import writer as sqlite_writer
from msgqueue.store.sqlite.writer import Appended, Writer
from publisher.app import open_publisher
from publisher.settings import PublisherSettings
from subscriber.app import open_subscriber
from subscriber.fanout import Fanout
from subscriber.settings import SubscriberSettings

COMMIT_SECONDS = 1.0
DROPPED = 50

PROGRAMS: dict[str, tuple[type[ServiceSettings], Callable[[Any], OpenedApp]]] = {
    "msgqueue": (MsgQueueSettings, open_msgqueue),
    "publisher": (PublisherSettings, open_publisher),
    "subscriber": (SubscriberSettings, open_subscriber),
}


def ack_before_writing() -> None:
    """Make the store acknowledge messages seconds before they are on disk."""
    writing = Lock()

    def commit(writer: Writer) -> None:
        with writing, suppress(sqlite3.ProgrammingError):  # closed
            writer.connection.commit()

    def uncommitted_append(writer: Writer, messages: Sequence[NewMessage], *rest: Any) -> Appended:
        with writing:
            if not writer.connection.in_transaction:
                writer.connection.execute("BEGIN IMMEDIATE")
                Timer(COMMIT_SECONDS, commit, [writer]).start()
            return store_batch(writer, messages, *rest)

    store_batch = Writer.append
    mock.patch.object(Writer, "append", uncommitted_append).start()


def forget_ids() -> None:
    """Make the store treat every message as new."""
    mock.patch.object(sqlite_writer, "_dedupe_key", return_value=None).start()


def drop_one_in_fifty() -> None:
    """Make the fan-out lose messages."""
    deliver = Fanout.deliver

    def leaky_deliver(fanout: Fanout, records: Sequence[Record], now: float) -> float | None:
        return deliver(fanout, [record for record in records if record.seq % DROPPED], now)

    mock.patch.object(Fanout, "deliver", leaky_deliver).start()


# Mistakes of a cluster.


def ack_at_publish() -> None:
    """Make a msgqueue acknowledge messages when their frame is sent, before it has come back."""
    append = ReplicaStore.append
    sending = set()

    async def hasty_append(
        store: ReplicaStore, messages: Sequence[NewMessage], **rest: Any
    ) -> list[AppendResult]:
        head = (await store.bounds()).last
        task = asyncio.ensure_future(append(store, messages, **rest))
        sending.add(task)
        task.add_done_callback(sending.discard)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return [AppendResult(head + number, duplicate=False) for number in range(1, len(messages) + 1)]

    mock.patch.object(ReplicaStore, "append", hasty_append).start()


def one_replica() -> None:
    """Make the journal a stream with one replica, which the msgqueues accept."""

    def small_config(stream: str, max_bytes: int) -> dict[str, Any]:
        return stream_config(stream, max_bytes) | {"num_replicas": 1}

    mock.patch.object(jetstream, "stream_config", small_config).start()
    mock.patch.object(jetstream, "differences", return_value=[]).start()


def own_clock() -> None:
    """Make each msgqueue decide itself when a message came, and compare nothing with the others."""
    append_at = Writer.append_at

    def append_by_own_clock(
        writer: Writer, messages: Sequence[NewMessage], clock: int, window: int
    ) -> Appended:
        return append_at(writer, messages, clock + os.getpid() % 1_000, window)

    mock.patch.object(Writer, "append_at", append_by_own_clock).start()
    mock.patch.object(Agreement, "note").start()


MISTAKES: dict[str, Callable[[], None]] = {
    mistake.__name__: mistake
    for mistake in (
        ack_before_writing,
        forget_ids,
        drop_one_in_fifty,
        ack_at_publish,
        one_replica,
        own_clock,
    )
}


def verify(mistake: str, argv: list[str]) -> None:
    """Run ``fanline verify`` on services that make a mistake."""
    commands = {name: (sys.executable, "-m", "tests.sabotage", mistake, name) for name in PROGRAMS}
    mock.patch.object(cli, "Run", partial(Run, commands=commands)).start()
    sys.argv[1:] = ["verify", *argv]
    fanline.cli.main()


if __name__ == "__main__":
    _, chosen, program, *rest = sys.argv
    if program == "verify":
        verify(chosen, rest)
    else:
        MISTAKES[chosen]()
        section, open_app = PROGRAMS[program]
        run_program(section, "A service with a mistake.", partial(Service.start, open_app), rest)
