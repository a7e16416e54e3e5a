"""Pages of the log in which ``latest`` tells who is present.

Of other topics it gives the newest message of each. Of those of presence it gives the join of each session
that is present.
"""

from bisect import bisect_right
from typing import Final

import msgspec

from fanline.presence.events import encode_present
from fanline.protocol import MAX_POSITION, PageAnswer, Read
from fanline.protocol.topics import watched_pattern
from fanline.queue.base import QueueClient
from subscriber.presence.presence import LivePresence

# Joins in one page: those of a topic are sorted for each of its pages.
MAX_JOINS: Final = 2_000


class PresencePages:
    """Reads pages, with the present sessions as presence's newest records.

    This is for ``latest``. A session that ends, or begins, after the position ``latest`` is told by the
    messages that follow it.

    Args:
        queue: The log.
        presence: Who is present.
    """

    def __init__(self, queue: QueueClient, presence: LivePresence) -> None:
        self._queue = queue
        self._presence = presence

    async def read(self, read: Read) -> PageAnswer:
        """Return a page."""
        watched = [pattern for topic in read.topics if (pattern := watched_pattern(topic)) is not None]
        if read.latest is None or not watched:
            return await self._queue.read(read)
        await self._presence.wait_until_ready()
        page = PageAnswer(read.ref, position=read.latest, last=MAX_POSITION)
        if rest := [topic for topic in read.topics if watched_pattern(topic) is None]:
            page = await self._queue.read(Read(rest, read.after, limit=read.limit, latest=read.latest))
        return self._add_joins(read, watched, page)

    def _add_joins(self, read: Read, watched: list[str], page: PageAnswer) -> PageAnswer:
        """Add the joins within a page, which many joins shorten."""
        after, limit = read.after or 0, MAX_JOINS if read.limit > 1 else 1
        joins = {
            present.seq: (present, server)
            for pattern in watched
            for present, server in self._presence.state.present(pattern)
            if after < present.seq <= page.position
        }
        seqs = sorted(joins)
        if len(seqs) > limit:
            page.position = seqs[limit - 1]
        found = {record.seq: record.body for record in page.records().records if record.seq <= page.position}
        for seq in seqs[: bisect_right(seqs, page.position)]:
            found[seq] = encode_present(*joins[seq])
        page.messages = [msgspec.Raw(found[seq]) for seq in sorted(found)]
        return page
