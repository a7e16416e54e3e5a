"""Chat after retention has removed part of the log."""

import asyncio

from chat.domain.rooms import LOBBY
from chat.service.chat_service import ChatService
from msgqueue.app import open_msgqueue
from msgqueue.settings import RetentionRule
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.chat.conftest import MakeSettings
from tests.chat.frames import ADMIN, said
from tests.conftest import StartService, until
from tests.stubs import DEADLINE

KEPT = 30


async def messages_left(server: ChatService, count: int) -> None:
    """Wait until so much is left of the lobby."""
    async with asyncio.timeout(DEADLINE):
        while len(await server.messages(LOBBY, after=0, limit=500)) > count:
            await asyncio.sleep(0.01)


async def test_rooms_outlive_removed_messages(
    start_service: StartService, make_chat_settings: MakeSettings
) -> None:
    """Rooms stay when what was said is removed; pages show what is left, and later servers count that."""
    rule = RetentionRule(topics="chat.room.*", max_age=None, max_count=KEPT, max_bytes=None)
    queue = await start_service(open_msgqueue, retention=(rule,), recent_bytes=1_024)
    url = f"wss://localhost:{queue.port}"
    publisher = await start_service(open_publisher, queue_url=url)
    subscriber = await start_service(open_subscriber, queue_url=url, recent_bytes=1_024)
    settings = make_chat_settings(
        publisher_url=f"wss://localhost:{publisher.port}", subscriber_url=f"wss://localhost:{subscriber.port}"
    )
    server, later = ChatService.from_settings(settings), ChatService.from_settings(settings)
    async with server.running():
        await until(lambda: server.lifecycle.is_ready)
        await server.make_room("a", "A", ADMIN)
        ada = await server.join(LOBBY, "Ada", None)
        await asyncio.gather(*(server.say(ada, str(n)) for n in range(250)))
        await messages_left(server, KEPT)
        assert [len((await server.page(LOBBY, page))["messages"]) for page in (1, 2, 3)] == [0, 0, KEPT]
        assert said(await server.messages(LOBBY, limit=100)) == [str(n) for n in range(220, 250)]
        async with later.running():
            await until(lambda: later.lifecycle.is_ready)
            assert [*later.rooms.by_id] == [LOBBY, "a"]
            assert later.rooms.by_id[LOBBY].count == KEPT
            page = await later.page(LOBBY, None)
            assert (page["page"], page["pages"], len(page["messages"])) == (1, 1, KEPT)
