"""Many rows to and from SQLite in one step.

The engine works on threads next to the event loop, and Python's SQLite module releases the interpreter lock,
and waits for it again, at every row. With a busy event loop each of these waits can be 5 ms
long, and a thousand rows take seconds. So a statement takes all its rows as one JSON value, with their bodies
as one blob, and gives all its rows in the same way.
"""

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from fanline.protocol import encode

T = TypeVar("T")


def to_json(value: Any) -> str:
    """Return what a statement can take apart with ``json_each``."""
    return encode(value).decode()


def fetch(connection: sqlite3.Connection, decode: Callable[[str], T], sql: str, **values: Any) -> T:
    """Return what a statement gives as one JSON value.

    Args:
        connection: Where to run it.
        decode: Reads the value, and refuses what is not of the expected type.
        sql: The statement.
        values: Its parameters, by name.
    """
    (found,) = connection.execute(sql, values).fetchone()
    return decode(found)
