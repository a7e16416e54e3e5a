"""Requests while the store fails, hangs or is in use."""

import asyncio
import threading
from functools import partial
from pathlib import Path

import pytest

from fanline.protocol import NewMessage
from fanline.server import Service
from msgqueue.app import open_msgqueue
from tests.conftest import Dial, StartService, until
from tests.conftest import receive_objects as receive
from tests.msgqueue.conftest import OpenedStores
from tests.msgqueue.service.conftest import pop, push, words
from tests.stubs import DEADLINE


def full_disk(_message: NewMessage) -> bool:
    """Refuse every message."""
    return True


async def test_nothing_is_acked_that_is_not_stored(
    start_service: StartService, dial: Dial, opened_stores: OpenedStores
) -> None:
    """While the log cannot be written, pushes wait and are then refused, and readiness says why; it heals."""
    queue = await start_service(partial(open_msgqueue, open_store=opened_stores.open), queue_wait=0.5)
    [store] = opened_stores
    pusher = await dial(queue, "/pushmsg")
    store.refuses = full_disk
    (refused,) = await push(pusher, {"topic": "t", "content": 1, "id": "a"})
    assert (refused["error"], refused["id"]) == ("queue-unavailable", "a")
    assert "disk is full" in refused["reason"]
    assert "disk is full" in (queue.app.readiness_problem() or "")
    store.refuses = None
    while "error" in refused:  # as long as the next attempt to write has not been made
        (refused,) = await push(pusher, {"topic": "t", "content": 1, "id": "a"})
    assert (refused["ok"], refused["seq"]) == ("a", 1)
    assert queue.app.readiness_problem() is None


async def test_a_defect_does_not_end_the_commits(
    start_service: StartService,
    dial: Dial,
    opened_stores: OpenedStores,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A commit that fails by a defect is refused and logged, readiness tells, and later ones succeed."""
    queue = await start_service(partial(open_msgqueue, open_store=opened_stores.open))
    [store] = opened_stores
    pusher = await dial(queue, "/pushmsg")

    def defect(message: NewMessage) -> bool:
        raise ZeroDivisionError(message.topic)

    store.refuses = defect
    (refused,) = await push(pusher, {"topic": "t", "content": 1, "id": "a"})
    assert (refused["error"], refused["id"]) == ("queue-unavailable", "a")
    assert "ZeroDivisionError" in (queue.app.readiness_problem() or "")
    assert [each for each in caplog.records if each.exc_info and each.exc_info[0] is ZeroDivisionError]
    store.refuses = None
    assert await push(pusher, {"topic": "t", "content": 1, "id": "a"}) == [{"ok": "a", "seq": 1}]
    assert queue.app.readiness_problem() is None


async def test_a_commit_that_hangs_is_an_error(
    start_service: StartService, dial: Dial, opened_stores: OpenedStores
) -> None:
    """A disk that does not answer makes msgqueue not ready, and holds up its stop no longer than allowed."""
    queue = await start_service(
        partial(open_msgqueue, open_store=opened_stores.open), queue_wait=0.2, drain_timeout=0.5
    )
    answers = threading.Event()
    opened_stores[0].hang(answers)
    try:
        pusher = await dial(queue, "/pushmsg")
        await pusher.send('{"topic":"t","content":1}')
        await until(lambda: queue.app.readiness_problem() is not None)
        assert "a commit has not been finished for" in (queue.app.readiness_problem() or "")
        async with asyncio.timeout(DEADLINE):
            await queue.stop()
    finally:
        answers.set()


async def test_short_trouble_of_the_store_is_bridged(
    start_service: StartService, dial: Dial, opened_stores: OpenedStores
) -> None:
    """When the log can be written again soon enough, pushes were only slow; their order is kept."""
    queue = await start_service(partial(open_msgqueue, open_store=opened_stores.open))
    [store] = opened_stores
    pusher = await dial(queue, "/pushmsg")
    store.refuses = full_disk
    pushing = asyncio.create_task(push(pusher, *words("t", 1, 2)))
    await until(lambda: queue.app.readiness_problem() is not None)
    store.refuses = None
    assert [answer["seq"] for answer in await pushing] == [1, 2]


async def test_nothing_overtakes_what_was_refused(
    start_service: StartService, dial: Dial, opened_stores: OpenedStores
) -> None:
    """With what cannot be stored, all that waits behind it is refused, so that it comes again in order."""
    queue = await start_service(partial(open_msgqueue, open_store=opened_stores.open), queue_wait=0.5)
    [store] = opened_stores
    store.refuses = lambda message: bytes(message.content) == b'"first"'
    pusher = await dial(queue, "/pushmsg")
    await pusher.send('{"topic":"t","content":"first"}')
    await until(lambda: queue.app.readiness_problem() is not None)
    await pusher.send('{"topic":"t","content":"second"}')
    refused = await receive(pusher, 2)
    assert [answer.get("error") for answer in refused] == ["queue-unavailable", "queue-unavailable"]


async def test_plain_publisher_waits_for_the_store(
    start_service: StartService, dial: Dial, opened_stores: OpenedStores
) -> None:
    """A plain message that cannot be stored is kept until it can be, and its publisher waits."""
    queue = await start_service(partial(open_msgqueue, open_store=opened_stores.open))
    [store] = opened_stores
    plain, popper = await dial(queue, "/pushmsg", v1=False), await dial(queue, "/popmsg")
    await pop(popper)
    store.refuses = full_disk
    await plain.send('{"Topic":"t","Content":"patience"}')
    await until(lambda: queue.app.readiness_problem() is not None)
    store.refuses = None
    assert (await receive(popper, 1))[0]["content"] == "patience"


async def test_a_long_read_holds_up_no_other(
    start_service: StartService, dial: Dial, opened_stores: OpenedStores
) -> None:
    """Pages of one connection are read side by side; one that is not wanted any more is given up."""
    queue = await start_service(partial(open_msgqueue, open_store=opened_stores.open))
    (store,) = opened_stores
    store.held = asyncio.Event()
    reader = await dial(queue, "/popmsg")
    for ref in (1, 2):
        await reader.send(f'{{"read":{{"ref":{ref},"topics":["t"],"before":9}}}}')
    await reader.send('{"read":{"ref":3,"topics":["t"],"after":0}}')
    assert (await receive(reader, 1))[0]["page"] == 3
    assert store.held_reads == 2
    await reader.send('{"cancel":1}')
    (answer,) = await receive(reader, 1)
    assert (answer["page"], answer["error"]) == (1, "queue-unavailable")
    await until(lambda: store.held_reads == 1)
    await reader.close()
    await until(lambda: store.held_reads == 0)


async def test_unreadable_log_sends_consumers_away(
    start_service: StartService, dial: Dial, opened_stores: OpenedStores
) -> None:
    """When the log cannot be read consumers are told to come back later, not left waiting."""
    queue = await start_service(partial(open_msgqueue, open_store=opened_stores.open), recent_bytes=1024)
    pusher = await dial(queue, "/pushmsg")
    await push(pusher, *words("t", *("x" * 500 for _ in range(10))))

    opened_stores[0].is_unreadable = True
    from_start, share, plain = [await dial(queue, "/popmsg", v1=v1) for v1 in (True, True, False)]
    await from_start.send('{"pop":{"after":0}}')
    await share.send('{"pop":{"consumer":"c"}}')
    for client in (from_start, share, plain):
        await client.wait_closed()
        assert client.close_code == 1013
    reader = await dial(queue, "/popmsg")
    await reader.send('{"read":{"ref":9,"topics":["t"],"after":0}}')
    (answer,) = await receive(reader, 1)
    assert (answer["page"], answer["error"]) == (9, "queue-unavailable")


async def test_second_queue_on_the_same_log(
    queue: Service, start_service: StartService, tmp_path: Path
) -> None:
    """Two processes cannot have one log open: the second one does not start."""
    with pytest.raises(Exception, match=str(tmp_path / "data")):
        await start_service(open_msgqueue, lock_wait=0)


async def test_a_second_queue_waits_for_the_first_to_stop(
    queue: Service, start_service: StartService, dial: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    """One that is started while another drains says so, and goes on with its log."""
    pusher = await dial(queue, "/pushmsg")
    await push(pusher, *words("t", 1))
    await pusher.close()
    starting = asyncio.ensure_future(start_service(open_msgqueue, lock_wait=DEADLINE))
    await until(lambda: "another msgqueue has it open" in caplog.text)
    await queue.stop()
    second = await starting
    popper = await dial(second, "/popmsg")
    await pop(popper, after=0)
    assert [message["content"] for message in await receive(popper, 1)] == [1]
