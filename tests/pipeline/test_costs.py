"""Guards against slipping back: what a message costs, in counts that no machine's mood changes.

Calls of functions, Python's and C's, stand for instructions; system calls are counted by the kernel. The
limits are a third above what was counted when they were written. Speed itself is measured by ``make bench``.
"""

import asyncio
import ssl
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import pytest

from fanline.client import Publisher, Subscriber
from fanline.protocol import (
    Dialect,
    Message,
    NewMessage,
    Record,
    check_message,
    decode_record,
    encode,
    join_array,
    split_array,
)
from msgqueue.store.sqlite.file import LogFile
from msgqueue.store.sqlite.writer import Writer
from subscriber.fanout import Fanout
from subscriber.frame_codec import FRAME_CODECS
from tests.processes import Pipeline
from tests.stubs import DEADLINE, PASSWORD, USER

MESSAGES = 500
SUBSCRIBERS = 100


class Member:
    """A subscriber whose write costs one call."""

    codec = FRAME_CODECS[Dialect.V1]

    def __init__(self) -> None:
        self.write = deque[bytes](maxlen=1).append


def calls(work: Callable[[], object]) -> int:
    """Return how many functions are called by ``work``, after it has been done once to fill caches."""
    work()
    count = 0

    def note(_frame: FrameType, event: str, _arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def new_messages(ids: str = "id") -> list[NewMessage]:
    content = msgspec.Raw(b'"' + b"x" * 100 + b'"')
    return [NewMessage(f"t.{n % 10}", content, f"{ids}-{n}", USER) for n in range(MESSAGES)]


def bodies() -> list[bytes]:
    content = msgspec.Raw(b'"' + b"x" * 100 + b'"')
    return [encode(Message("t", content, seq, time=seq)) for seq in range(1, MESSAGES + 1)]


def test_fan_out_calls_nothing_per_delivery() -> None:
    """A message costs what its routing costs, a subscriber one write for all; nothing is done for both."""
    fanout = Fanout(window=0)
    for _ in range(SUBSCRIBERS):
        fanout.join(Member(), ["t"])
    records = [Record(seq, "t", body) for seq, body in enumerate(bodies(), 1)]
    deliveries = MESSAGES * SUBSCRIBERS
    assert calls(lambda: fanout.deliver(records, now=0)) < 0.15 * deliveries
    assert fanout.delivered == 2 * deliveries


def test_a_message_that_comes_in_is_looked_at_briefly() -> None:
    """Decode and check a message, as publisher and msgqueue do."""
    frame = join_array([encode(message) for message in new_messages()])

    def take_in() -> None:
        for entry in Dialect.V1.codec.decode_published(frame):
            assert isinstance(entry, NewMessage)
            assert check_message(entry, max_content=1_000) is None

    assert calls(take_in) < 14 * MESSAGES


def test_a_message_that_goes_out_is_hardly_looked_at() -> None:
    """The subscriber service reads position and topic of each, and leaves the rest as it is."""
    frame = join_array(bodies())
    assert calls(lambda: [decode_record(body) for body in split_array(frame)]) < 6 * MESSAGES


def test_storing_calls_little_per_message(tmp_path: Path) -> None:
    """However many messages a batch has, the number of statements is the same."""
    file = LogFile(tmp_path)
    file.prepare()
    with closing(file), closing(Writer(file, dedupe_window=600, clock=time.time)) as writer:
        batches = [new_messages("first"), new_messages("second")]
        assert calls(lambda: writer.append(batches.pop())) < 20 * MESSAGES


@pytest.fixture
def writes_of() -> Callable[[int], int]:
    """Return how often a process has written, to files and sockets, as its kernel has counted."""

    def count(pid: int) -> int:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("syscw:")).split()[1])

    return count


async def test_deliveries_share_their_system_calls(
    tmp_path: Path, cert_dir: Path, tls: ssl.SSLContext, writes_of: Callable[[int], int]
) -> None:
    """A burst of messages to many subscribers is written to each in a few steps, not one by one."""
    login: dict[str, Any] = {"user": USER, "password": PASSWORD, "tls": tls}
    async with asyncio.timeout(DEADLINE), Pipeline(tmp_path, cert_dir) as pipeline:
        subscribers = [Subscriber(url=pipeline.subscriber.url, **login) for _ in range(SUBSCRIBERS)]
        async with Publisher(pipeline.publisher.url, **login) as publisher, asyncio.TaskGroup() as tasks:
            await asyncio.gather(*(each.__aenter__() for each in subscribers))
            await asyncio.gather(*(each.subscribe("t") for each in subscribers))
            before = [writes_of(service.pid) for service in pipeline.services]
            for subscriber in subscribers:
                tasks.create_task(take(subscriber, MESSAGES))
            for number in range(MESSAGES):
                await publisher.send("t", number)
        spent = [
            writes_of(service.pid) - start for service, start in zip(pipeline.services, before, strict=True)
        ]
        await asyncio.gather(*(each.__aexit__(None, None, None) for each in subscribers))
    msgqueue, publisher_spent, subscriber_spent = spent
    assert 0 < subscriber_spent < 0.1 * MESSAGES * SUBSCRIBERS
    assert 0 < publisher_spent < MESSAGES
    assert 0 < msgqueue < MESSAGES


async def take(subscriber: Subscriber, count: int) -> None:
    for number in range(count):
        assert (await anext(subscriber)).value() == number
