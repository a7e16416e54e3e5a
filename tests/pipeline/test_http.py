"""Publishing by POST and reading server-sent events while services are killed."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.processes import Pipeline
from tests.stubs import DEADLINE, PASSWORD, USER
from tests.subscriber.event_reader import EventReader


@pytest.fixture
async def pipeline(tmp_path: Path, cert_dir: Path) -> AsyncIterator[Pipeline]:
    """Three services, each a process."""
    async with Pipeline(tmp_path, cert_dir) as pipeline:
        yield pipeline


class Poster:
    """Publishes numbers one after the other, each until it is acknowledged.

    Attributes:
        acked: How many are.
    """

    def __init__(self, pipeline: Pipeline, tls: ssl.SSLContext) -> None:
        self.acked = 0
        self._url = f"https://localhost:{pipeline.publisher.port}/topics/t/messages"
        self._tls = tls

    async def run(self, count: int) -> None:
        """Publish the numbers from 0 on."""
        login = (USER, PASSWORD)
        async with httpx.AsyncClient(verify=self._tls, auth=login, trust_env=False, timeout=DEADLINE) as http:
            while self.acked < count:
                headers = {"Idempotency-Key": f"n{self.acked}"}
                try:
                    answer = await http.post(self._url, json=self.acked, headers=headers)
                except httpx.TransportError:
                    await asyncio.sleep(0.01)
                else:
                    assert answer.status_code in (200, 201, 503), answer.text
                    self.acked += answer.status_code != 503


async def follow(pipeline: Pipeline, tls: ssl.SSLContext, count: int) -> list[Any]:
    """Return the contents of all messages on ``t``; a stream that is lost is resumed as browsers do it."""
    contents: list[Any] = []
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "0"}
    while len(contents) < count:
        try:
            stream = await EventReader.open(
                pipeline.subscriber.port, "/topics/t/events", tls, headers=headers
            )
            try:
                while len(contents) < count:
                    event = await stream.block()
                    headers["Last-Event-ID"] = event.id or headers["Last-Event-ID"]
                    if event.data is not None:
                        contents.append(event.data["content"])
            finally:
                stream.close()
        except (OSError, EOFError):
            await asyncio.sleep(0.01)
    return contents


async def test_kills_lose_and_double_nothing(pipeline: Pipeline, tls: ssl.SSLContext) -> None:
    """All three killed: what is posted until it is acked is streamed once, in order.

    Lines 42 and 43: the client repeats with the same key, and resumes by Last-Event-ID alone.
    """
    count = 100
    poster = Poster(pipeline, tls)
    posting = asyncio.create_task(poster.run(count))
    following = asyncio.create_task(follow(pipeline, tls, count))
    async with asyncio.timeout(DEADLINE):
        while poster.acked < count / 2:
            await asyncio.sleep(0.01)
    await asyncio.gather(*(service.kill() for service in pipeline.services))
    await asyncio.gather(*(service.start() for service in reversed(pipeline.services)))
    async with asyncio.timeout(3 * DEADLINE):
        await posting
        assert await following == list(range(count))


async def test_stream_is_told_of_a_replaced_log(
    pipeline: Pipeline, tls: ssl.SSLContext, tmp_path: Path
) -> None:
    """One that resumes in another log gets all of that log, its name, and a gap (line 51).

    Before that, a stream begins with the newest message of each topic (line 49).
    """
    await Poster(pipeline, tls).run(3)
    stream = await EventReader.open(pipeline.subscriber.port, "/topics/%2A/events?latest=true", tls)
    assert (await stream.next()).data["content"] == 2
    stream.close()
    stream = await EventReader.open(pipeline.subscriber.port, "/topics/t/events?after=0", tls)
    events = [await stream.next() for _ in range(3)]
    stream.close()
    last_id = str(events[-1].id)
    position, _, epoch = last_id.partition("-")
    assert (position, json.dumps(events[-1].data["seq"])) == ("3", "3")
    await pipeline.msgqueue.stop()
    (tmp_path / "data" / "log.sqlite3").rename(tmp_path / "old")
    await pipeline.msgqueue.start()
    await Poster(pipeline, tls).run(5)
    assert await _resume(pipeline, tls, last_id, epoch) == [0, 1, 2, 3, 4]


async def _resume(pipeline: Pipeline, tls: ssl.SSLContext, last_id: str, epoch: str) -> list[Any]:
    """Resume until the service has noticed the new log, and return what is in that."""
    headers = {"Last-Event-ID": last_id}
    while True:
        stream = await EventReader.open(pipeline.subscriber.port, "/topics/t/events", tls, headers=headers)
        opening = await stream.block()
        assert opening.id is not None
        if epoch not in opening.id:
            break
        assert (await stream.next()).name == "end"
        stream.close()
    assert opening.id.startswith("0-")
    assert (await stream.next()).name == "gap"
    contents = [(await stream.next()).data["content"] for _ in range(5)]
    stream.close()
    return contents
