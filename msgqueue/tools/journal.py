"""Care for replicas: ``fanline journal status DATA``, ``fanline journal rebuild DATA``.

``status`` may be asked while msgqueue runs. ``rebuild`` makes the log of one msgqueue, which must be stopped,
the beginning of a new journal; with ``store = "sqlite"`` it is a log of one machine again. The exit code is
0, or 2 if that is not possible.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from fanline.errors import ConfigurationError, StoreError
from fanline.files import typed
from msgqueue.store.replica.state import ReplicaState
from msgqueue.store.replica.state_table import drop_state, load_state
from msgqueue.store.sqlite.check import connect_read_only
from msgqueue.store.sqlite.file import LogFile, translated
from msgqueue.tools.backup import DONE, REFUSED
from msgqueue.tools.fsck import find_log

_HEAD: Final = "SELECT max(log.trimmed, ifnull((SELECT max(seq) FROM messages), 0)) FROM log"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command of the arguments, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="fanline journal", description="Look after a replica of a cluster's log."
    )
    parser.add_argument("command", choices=("status", "rebuild"))
    parser.add_argument("folder", metavar="DATA", type=Path, help="the data folder")
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "status":
            sys.stdout.write(describe(arguments.folder))
        else:
            sys.stdout.write(rebuild(arguments.folder))
    except (ConfigurationError, StoreError) as error:
        sys.stderr.write(f"fanline journal: {error}\n")
        return REFUSED
    return DONE


def describe(folder: Path) -> str:
    """Return how far a replica has got, in words.

    Raises:
        ConfigurationError: If there is no replica.
        StoreError: If it cannot be read.
    """
    log = find_log(folder)
    with translated(log), closing(connect_read_only(log)) as connection:
        state = _require_state(load_state(connection), log)
        (head,) = connection.execute(_HEAD).fetchone()
    return (
        f"{log}: log {state.log}, at entry {state.index:,} of its journal; the newest position is {head:,}\n"
    )


def rebuild(folder: Path) -> str:
    """Turn a replica into a separate log, and return the next steps.

    Raises:
        ConfigurationError: If there is no replica, or msgqueue has it open.
        StoreError: If it cannot be written.
    """
    log = find_log(folder)
    with closing(LogFile(folder, is_replica=True)) as file, translated(log):
        file.prepare()
        with closing(file.connect()) as connection:
            state = _require_state(load_state(connection), log)
            drop_state(connection)
            file.adopt(connection, state.log)
    return (
        f"{log}: log {state.log} is no replica any more; it ends at entry {state.index:,} of its journal.\n"
        "To go on as a cluster: set another nats_stream on all msgqueues, start this one first, and give\n"
        f"each other one a back-up of it (`{typed('fanline')} backup`) in an empty data_dir.\n"
        'To go on alone: set store = "sqlite".\n'
    )


def _require_state(state: ReplicaState | None, log: Path) -> ReplicaState:
    if state is None:
        raise ConfigurationError(f"{log}: it is no replica in a cluster")
    return state


if __name__ == "__main__":
    sys.exit(main())
