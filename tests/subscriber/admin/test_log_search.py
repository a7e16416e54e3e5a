"""Searching the log, within a bounded effort."""

import msgspec

from fanline.protocol import Message, PageAnswer, Read, encode
from subscriber.admin.log_search import Query, list_topics, message_at, search


class Log:
    """A log in memory, and how many records were read from it."""

    def __init__(self, count: int) -> None:
        self.read_records = 0
        self.messages = [
            Message("a.b", msgspec.Raw(b"1"), seq, 0, id=f"i{seq}", sender="bob" if seq == 3 else "alice")
            for seq in range(1, count + 1)
        ]

    async def read(self, read: Read) -> PageAnswer:
        if read.latest is not None:
            newest = [each for each in self.messages[-1:] if each.seq > (read.after or 0)]
            return PageAnswer(0, [msgspec.Raw(encode(each)) for each in newest], read.latest)
        before = read.before or len(self.messages) + 1
        page = [each for each in self.messages if each.seq < before][-read.limit :]
        self.read_records += len(page)
        return PageAnswer(0, [msgspec.Raw(encode(each)) for each in page], last=len(self.messages))


async def test_newest_come_first_page_by_page() -> None:
    """Without further conditions a page costs no more than it shows, and the next one goes on before it."""
    log = Log(5)
    page = await search(log.read, Query(pattern=">", limit=2))
    assert [each.seq for each in page.messages] == [5, 4]
    assert (page.next, page.last, log.read_records) == (4, 5, 2)
    rest = await search(log.read, Query(pattern=">", before=page.next, limit=10))
    assert [each.seq for each in rest.messages] == [3, 2, 1]
    assert rest.next is None


async def test_search_ends_with_its_budget() -> None:
    """A search that finds nothing looks at so many records, and says where to go on."""
    log = Log(2_000)
    page = await search(log.read, Query(pattern=">", user="bob"), budget=1_000)
    assert (page.messages, page.looked_at, page.next, log.read_records) == ([], 1_000, 1_001, 1_000)
    page = await search(log.read, Query(pattern=">", user="bob", before=page.next), budget=1_000)
    assert [each.seq for each in page.messages] == [3]
    found = await search(log.read, Query(pattern=">", id="i1999"))
    assert [each.seq for each in found.messages] == [1_999]


async def test_large_contents_are_shown_by_their_beginning() -> None:
    """Only the message asked for by its position has all of a large content."""
    log = Log(1)
    content = msgspec.Raw(encode("é" * 5_000))
    log.messages = [Message("a.b", content, 1, 0)]
    (shown,) = (await search(log.read, Query(pattern=">"))).messages
    assert (shown.content, shown.size) == (None, len(content))
    assert shown.preview is not None
    assert shown.preview.startswith('"é')
    (whole,) = (await message_at(log.read, 1, ">")).messages
    assert whole.content == content
    assert not (await message_at(log.read, 2, ">")).messages


async def test_topics_end() -> None:
    """The last page of topics says that it is the last."""
    log = Log(3)
    page = await list_topics(log.read, ">", after=0, until=3, limit=10)
    assert ([each.topic for each in page.topics], page.next) == (["a.b"], None)
