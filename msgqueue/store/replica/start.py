"""Start of a replica: where it continues, or a new journal."""

import asyncio
from contextlib import aclosing
from typing import Final

from fanline.errors import ConfigurationError
from fanline.files import typed
from msgqueue.journal.base import Ends, Entry, Journal, JournalDamage, JournalError
from msgqueue.journal.frame import FRAME_VERSION, Frame, Genesis, encode_frame
from msgqueue.store.replica.state import ReplicaState, first_state
from msgqueue.store.replica.state_table import load_state, make_replica
from msgqueue.store.sqlite.engine import LogFiles
from msgqueue.store.sqlite.file import translated

# How long a new journal may take until it has its first entry, and the pause between attempts.
_BEGIN_SECONDS: Final = 30.0
_RETRY_SECONDS: Final = 0.25

_NEEDS_BACKUP: Final = (
    f"make a back-up with `{typed('fanline')} backup` on a msgqueue of this cluster, and put it into an empty"
    " data_dir"
)


async def begin(files: LogFiles, journal: Journal, *, window: int, origin: str) -> ReplicaState:
    """Return the state of a log that fits the journal.

    A log that is no replica yet becomes one. An empty journal begins with it.

    Args:
        files: The log.
        journal: The journal.
        window: Milliseconds for which an id counts, if the journal is new.
        origin: Name of this process.

    Raises:
        ConfigurationError: If the log does not fit the journal.
        JournalDamage: If the journal is none.
        JournalError: If it cannot be reached.
    """
    with translated(files.file.path):
        state = load_state(files.writer.connection)
    ends = await journal.ends()
    if state is not None:
        _require_fit(state, ends)
        return state
    head = files.reader.bounds().last
    if ends.last == 0:
        await _begin_journal(journal, files.file.epoch, head, window, origin)
    elif ends.first > 1:
        raise ConfigurationError(f"the journal has its first entries no more: {_NEEDS_BACKUP}")
    first = await _first_entry(journal)
    state, genesis = first_state(first)
    if genesis.after != head or (head and state.log != files.file.epoch):
        raise ConfigurationError(
            f"the journal is that of another log, {state.log}, which begins after position {genesis.after},"
            f" and data_dir has a log that ends at {head}: {_NEEDS_BACKUP}"
        )
    with translated(files.file.path), files.writer.transaction():
        make_replica(files.writer.connection, state)
    return state


def _require_fit(state: ReplicaState, ends: Ends) -> None:
    if ends.last < state.index:
        raise JournalDamage(
            f"the journal ends at entry {ends.last}, and this msgqueue has applied {state.index}: it has lost"
            " entries, or was made again"
        )
    if ends.first > state.index + 1:
        raise ConfigurationError(
            f"the journal begins at entry {ends.first}, and this log has got to {state.index}:"
            f" {_NEEDS_BACKUP}"
        )


async def _begin_journal(journal: Journal, log: str, head: int, window: int, origin: str) -> None:
    """Store the first entry, unless another msgqueue does so.

    A new stream may have no leader yet, so that an entry is refused, or lost without an answer.
    """
    frame = encode_frame(Frame(FRAME_VERSION, log, origin, 0, 0, 0, b"", [Genesis(head, window)]))
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _BEGIN_SECONDS
    failure = JournalError("the journal does not take its first entry")
    while loop.time() < deadline:
        try:
            await journal.append(frame, is_first=True)
        except JournalError as error:
            failure = error
        if await _has_begun(journal):
            return
        await asyncio.sleep(_RETRY_SECONDS)
    raise failure


async def _has_begun(journal: Journal) -> bool:
    try:
        return (await journal.ends()).last > 0
    except JournalError:
        return False


async def _first_entry(journal: Journal) -> Entry:
    async with aclosing(journal.follow(0)) as following:
        async for entries in following:
            return entries[0]
    raise asyncio.CancelledError
