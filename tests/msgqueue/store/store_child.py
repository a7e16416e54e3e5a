"""A process that appends until it is killed, and prints what has been acknowledged."""

import asyncio
import sys
import time
from itertools import count
from pathlib import Path

from msgqueue.store.sqlite.engine import SqliteStore, open_files
from tests.msgqueue.store.store_model import new


async def main(folder: Path, run: str) -> None:
    files = await open_files(folder, dedupe_window=600, disk_reserve=0, clock=time.time)
    # Many checkpoints: a kill should hit one now and then.
    files.writer.connection.execute("PRAGMA wal_autocheckpoint = 20")
    store = SqliteStore(*files)
    for batch in count():
        ids = [f"{run}.{batch}.{n}" for n in range(1 + batch % 40)]
        results = await store.append([new(f"t.{batch % 7}", "x" * 200, id=key) for key in ids])
        lines = [f"{result.seq} {key}\n" for key, result in zip(ids, results, strict=True)]
        sys.stdout.write("".join(lines))
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
