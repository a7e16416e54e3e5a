"""What reads the log: pages forwards and backwards, its ends, what was trimmed, and cursors.

A page is found in two steps, so that no body is read that is not returned. The rows of the page are found by
one of three ways:

* every topic: the next rows in the order of the log;
* a few topics (patterns are looked up in the table of topics): their rows merged, straight from the index;
* patterns that stand for many topics: rows in the order of the log, in windows that grow, keeping what matches.

Then the bodies of those rows are loaded. Like the writer, each statement gives all its rows in one step.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any, Final, NamedTuple

import msgspec

from fanline.message import Record, encode
from fanline.topics import PatternIndex, has_wildcard, matches
from msgqueue.store.base import Bounds
from msgqueue.store.sqlite_file import Damage

# Topics whose rows are merged from the index; SQLite merges them in a chain, so that cost grows with this.
FEW_TOPICS: Final = 64
# Names of topics looked at to learn whether patterns stand for few.
NAMES_LOOKED_AT: Final = 512
# Rows looked at by one call: some 10 ms of work.
EXAMINED: Final = 16_384
# Names looked at by one step of `trimmed`.
NAMES_STEP: Final = 4096
