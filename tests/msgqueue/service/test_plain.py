"""The plain dialect (line 9)."""

import asyncio

import msgspec
import pytest

from fanline.server import Service
from msgqueue.app import open_msgqueue
from tests.conftest import Dial, StartService, until
from tests.msgqueue.service.conftest import push, words


async def test_plain_consumer_dies_before_it_has_read(queue: Service, dial: Dial) -> None:
    """Messages that a plain subscriber did not read go to the next one (lines 4 and 8)."""
    pusher = await dial(queue, "/pushmsg")
    dying = await dial(queue, "/popmsg", v1=False)
    dying.transport.pause_reading()
    await push(pusher, *words("t", 1, 2))
    await until(lambda: len(queue.connections) == 2)
    dying.transport.abort()
    heir = await dial(queue, "/popmsg", v1=False)
    got = [msgspec.json.decode(await heir.recv()) for _ in range(2)]
    assert [frame["Content"] for frame in got] == ["1", "2"]


async def test_plain_consumer_resumes_where_the_last_one_stopped(queue: Service, dial: Dial) -> None:
    """Messages that a plain subscriber has read do not come again (line 9)."""
    pusher, first = await dial(queue, "/pushmsg"), await dial(queue, "/popmsg", v1=False)
    await push(pusher, *words("t", "one"))
    assert '"one"' in str(await first.recv())
    await (await first.ping())
    await first.close()
    await push(pusher, *words("t", "two"))
    second = await dial(queue, "/popmsg", v1=False)
    assert '"two"' in str(await second.recv())


async def test_plain_publisher(queue: Service, dial: Dial) -> None:
    """A Go publisher's frames are stored as they come, nothing is answered, nonsense is skipped (line 9)."""
    plain, popper = await dial(queue, "/pushmsg", v1=False), await dial(queue, "/popmsg", v1=False)
    for frame in ('{"Topic":"t","Content":"one"}', "nonsense", "", '{"Topic":"t","Content":"two"}'):
        await plain.send(frame)
    got = [msgspec.json.decode(await popper.recv()) for _ in range(2)]
    assert [(frame["Topic"], frame["Content"]) for frame in got] == [("t", "one"), ("t", "two")]
    await (await plain.ping())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(plain.recv(), 0.05)


async def test_plain_publisher_need_not_read(start_service: StartService, dial: Dial) -> None:
    """A Go publisher, which never reads and so answers no ping, is not cut for it (line 9)."""
    queue = await start_service(open_msgqueue, ping_interval=0.2, silence_limit=0.2)
    plain, v1 = await dial(queue, "/pushmsg", v1=False), await dial(queue, "/pushmsg")
    for client in (plain, v1):
        client.transport.pause_reading()
    await until(lambda: len(queue.connections) == 1)
    await plain.send('{"Topic":"t","Content":"late"}')
    popper = await dial(queue, "/popmsg", v1=False)
    assert '"late"' in str(await popper.recv())


async def test_plain_publisher_passes_on_something_enormous(start_service: StartService, dial: Dial) -> None:
    """An invalid message through a Go publisher does not close its connection (lines 6 and 9)."""
    queue = await start_service(open_msgqueue, max_content=1024)
    plain, popper = await dial(queue, "/pushmsg", v1=False), await dial(queue, "/popmsg", v1=False)
    await plain.send(["x" * 100] * 5_000)
    await plain.send('{"Topic":"t","Content":"good"}')
    assert '"good"' in str(await popper.recv())
