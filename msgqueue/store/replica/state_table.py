"""The table that makes a log a replica, with its state."""

import sqlite3

import msgspec

from msgqueue.store.replica.state import ReplicaState
from msgqueue.store.sqlite.file import REPLICA

_decode = msgspec.msgpack.Decoder(ReplicaState).decode


def load_state(connection: sqlite3.Connection) -> ReplicaState | None:
    """Return the state of a replica; None if it has none yet.

    Raises:
        msgspec.DecodeError: If it is damaged.
    """
    found = connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'replica'").fetchone()
    if found == (0,):
        return None
    (state,) = connection.execute("SELECT state FROM replica").fetchone()
    return _decode(state)


def make_replica(connection: sqlite3.Connection, state: ReplicaState) -> None:
    """Make a log a replica; within a transaction."""
    connection.execute(REPLICA)
    connection.execute("INSERT INTO replica VALUES (?)", (msgspec.msgpack.encode(state),))


def save_state(connection: sqlite3.Connection, state: ReplicaState) -> None:
    """Store the state of a replica, within the transaction that applies entries."""
    connection.execute("UPDATE replica SET state = ?", (msgspec.msgpack.encode(state),))


def drop_state(connection: sqlite3.Connection) -> None:
    """Make a replica a log of its own."""
    connection.execute("DROP TABLE replica")
