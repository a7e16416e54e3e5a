"""The measurement of a cluster, of something that acknowledges at once."""

import asyncio
import re

from bench.cluster import lone, pipelined


async def test_each_message_is_published_once() -> None:
    """One after the other, and many at a time; what is said has a figure (line 59)."""
    count = 0

    async def publish() -> None:
        nonlocal count
        await asyncio.sleep(0)
        count += 1

    assert re.fullmatch(r"ack of a lone message: [\d.]+ ms p50, [\d.]+ ms p99", await lone(publish, 10))
    assert count == 10
    assert re.fullmatch(r"4,000 at a time: [\d,]+ a second", await pipelined(publish, 100))
    assert count == 110
