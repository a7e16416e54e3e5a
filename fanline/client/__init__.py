"""The public client: publish to the pipeline, and subscribe to it.

Publishing, one message at a time or many in flight::

    tls = client_context(Path("var/certs"))
    async with Publisher(user="hello", password="test", tls=tls) as publisher:
        ack = await publisher.publish("orders.eu", {"id": 7})  # on disk, at position ack.seq
        for line in lines:
            await publisher.send("lines", line)
    # here every line is on disk

Subscribing; after a reconnect it goes on where it was::

    async with Subscriber("orders.>", user="hello", password="test", tls=tls) as subscriber:
        async for message in subscriber:
            print(message.topic, message.value())

Both connect by themselves, again whenever the connection is lost, and keep trying until they are closed or
the login is refused; for a limit, use :func:`asyncio.timeout`. Both belong to the event loop they were
entered in, and any number of its tasks may use them at once.
"""

from fanline.client.ledger import Gap
from fanline.client.publisher import Publisher, Receipt
from fanline.client.subscriber import Subscriber
from fanline.message import Ack, Message

__all__ = ["Ack", "Gap", "Message", "Publisher", "Receipt", "Subscriber"]
