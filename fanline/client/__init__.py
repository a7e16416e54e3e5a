"""The public client: publisher, subscriber, history and chat room.

All of them reconnect and resume by themselves. Publishing, one message at a time or many in flight::

    tls = client_context(Path("var/certs"))
    async with Publisher(user="hello", password="test", tls=tls) as publisher:
        ack = await publisher.publish("orders.eu", {"id": 7})  # on disk, at position ack.seq
        for line in lines:
            await publisher.send("lines", line)
    # here every line is on disk

One message from a script, by HTTP::

    ack = await publish("orders.eu", {"id": 7}, user="hello", password="test", tls=tls)

Subscribing; after a reconnect it goes on where it was::

    async with Subscriber("orders.>", user="hello", password="test", tls=tls) as subscriber:
        async for message in subscriber:
            print(message.topic, message.value())

Both connect by themselves, again whenever the connection is lost, and keep trying until they are closed or
the login is refused; for a limit, use :func:`asyncio.timeout`.

Reading back, one page at a time, each tried once and for a limited time::

    async with History(user="hello", password="test", tls=tls) as history:
        page = await history.page("orders.eu", limit=50)  # the newest
        older = await history.page("orders.eu", before=page.messages[0].seq, limit=50)

Seeing who is present on a topic, and being it::

    await subscriber.subscribe("room.7", present_as="tablet")
    async with Presence("room.7", user="hello", password="test", tls=tls) as presence:
        async for change in presence:
            print(change.kind, change.user, presence.users)

Taking part in a chat room::

    async with ChatPages("wss://localhost:8083", tls=tls) as pages:
        token = await pages.enter_as_guest()
    async with ChatRoom("wss://localhost:8083", "lobby", token=token, tls=tls) as room:
        await (await room.send("Hello"))  # on disk
        async for event in room:
            print(event.member_name, event.message)

All of them belong to the event loop they were entered in, and any number of its tasks may use them at once.
:mod:`fanline.client.sync` has them for code without asyncio.
"""

from fanline.client import sync
from fanline.client.chat.pages import ChatPages, EarlierMessages
from fanline.client.chat.room import ChatRoom, RoomClosed, RoomEvent
from fanline.client.history import History, HistoryPage
from fanline.client.post import publish
from fanline.client.presence import Presence, PresenceChange
from fanline.client.publisher import Publisher
from fanline.client.sending import PublishResult
from fanline.client.subscriber import Subscriber
from fanline.client.subscription_state import Gap
from fanline.client.transport.https import check_ready, require_service_url
from fanline.protocol import Ack, Message

__all__ = [
    "Ack",
    "ChatPages",
    "ChatRoom",
    "EarlierMessages",
    "Gap",
    "History",
    "HistoryPage",
    "Message",
    "Presence",
    "PresenceChange",
    "PublishResult",
    "Publisher",
    "RoomClosed",
    "RoomEvent",
    "Subscriber",
    "check_ready",
    "publish",
    "require_service_url",
    "sync",
]
