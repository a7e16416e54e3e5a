"""Pages of a log in this process, with limits and gaps."""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from fanline.protocol import MAX_POSITION, GapRange, Page, PageAnswer, Read, Record
from fanline.protocol.topics import require_pattern

MAX_PAGE_RECORDS: Final = 1_000


class ReadableLog(Protocol):
    """Source of pages."""

    @property
    def head(self) -> int:
        """Position of the newest record."""
        ...

    @property
    def epoch(self) -> str:
        """Random name of the log."""
        ...

    async def reach(self, position: int) -> None:
        """Catch up with other msgqueues, if a position is after the head."""
        ...

    async def read(self, after: int, patterns: Sequence[str] | None = None, limit: int = ...) -> Page:
        """Return what comes after a position."""
        ...

    async def read_back(self, before: int, patterns: Sequence[str], limit: int) -> Sequence[Record]:
        """Return the newest matching records before a position, oldest first."""
        ...

    async def read_newest(self, until: int, after: int, patterns: Sequence[str], limit: int) -> Page:
        """Return the newest record of each matching topic, page by page.

        Only records after ``after`` and up to ``until`` count.
        """
        ...

    def covers(self, after: int) -> bool:
        """Return whether everything after a position is there, whatever retention removes."""
        ...

    async def trimmed(self, patterns: Sequence[str] | None, after: int) -> int:
        """Return the highest position that retention removed from matching topics.

        Only positions after ``after`` count.
        """
        ...


class Pages:
    """Reads pages of a log.

    Args:
        log: The log.
    """

    def __init__(self, log: ReadableLog) -> None:
        self._log = log

    async def read(self, read: Read) -> PageAnswer:
        """Return a page.

        Raises:
            Rejected: If a topic is not one.
            StoreError: If the log cannot be read.
        """
        for pattern in read.topics:
            require_pattern(pattern)
        limit = max(1, min(read.limit, MAX_PAGE_RECORDS))
        await self._log.reach(max(map(_position, (read.after, read.latest, read.before))))
        if read.after is None:
            return await self._read_back(read, limit)
        return await (self._read(read, limit) if read.latest is None else self._read_newest(read, limit))

    async def gap(self, position: int, topics: Sequence[str] | None, told: int = 0) -> GapRange | None:
        """Return the gap that retention made after a position.

        Only what is after ``told`` counts.
        """
        if self._log.covers(position):
            return None
        known = max(position, told)
        trimmed = await self._log.trimmed(topics, known)
        return GapRange(known + 1, trimmed) if trimmed > known else None

    async def _read(self, read: Read, limit: int) -> PageAnswer:
        after = _position(read.after)
        page = await self._log.read(after, read.topics, limit)
        gap = _joined(await self.gap(after, read.topics), page.gap)
        return self._answer(read, page, gap)

    async def _read_newest(self, read: Read, limit: int) -> PageAnswer:
        until, after = _position(read.latest), _position(read.after)
        page = await self._log.read_newest(until, after, read.topics, limit)
        return self._answer(read, page, page.gap)

    def _answer(self, read: Read, page: Page, gap: GapRange | None) -> PageAnswer:
        return PageAnswer(read.ref, _raws(page.records), page.position, self._log.head, gap, self._log.epoch)

    async def _read_back(self, read: Read, limit: int) -> PageAnswer:
        end = self._log.head + 1
        before = end if read.before is None else min(max(read.before, 0), end)
        records = await self._log.read_back(before, read.topics, limit)
        position = records[0].seq if records else before
        return PageAnswer(read.ref, _raws(records), position, self._log.head, epoch=self._log.epoch)


def _position(given: int | None) -> int:
    return min(max(given or 0, 0), MAX_POSITION)


def _raws(records: Sequence[Record]) -> list[msgspec.Raw]:
    return [msgspec.Raw(record.body) for record in records]


def _joined(removed: GapRange | None, damaged: GapRange | None) -> GapRange | None:
    if removed is None or damaged is None:
        return removed or damaged
    return GapRange(min(removed.first, damaged.first), max(removed.last, damaged.last))
