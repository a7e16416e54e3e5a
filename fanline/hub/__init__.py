"""An in-process message hub: users with any number of sessions, which all hear the same events in one order.

It knows no protocol and no socket, and stands by itself. A session, and what it hears::

    hub = Hub("lobby", history=100)
    stream = hub.add("ada", "laptop")
    hub.message("ada", "hello")
    async for event in stream:  # join, message …
        match event:
            case Event(type=EventType.MESSAGE):
                print(event.user, event.message)
            case Missed(count):
                print("too slow for", count)

Listeners have every event handed to them, and :meth:`Hub.close` waits until they have taken it::

    hub.attach_listener(JsonLinesFile("events.jsonl"))
    ...
    await hub.close()

Nobody waits for anybody: putting an event never blocks, and who falls too far behind is told what it missed.
"""

from fanline.hub.errors import BadLimit, DuplicateSession, HubClosed, HubError, UnknownSession
from fanline.hub.event import Event, EventType
from fanline.hub.hub import Hub
from fanline.hub.json_lines import JsonLinesFile
from fanline.hub.listener import Attachment, Listener
from fanline.hub.stream import Missed, Stream

__all__ = [
    "Attachment",
    "BadLimit",
    "DuplicateSession",
    "Event",
    "EventType",
    "Hub",
    "HubClosed",
    "HubError",
    "JsonLinesFile",
    "Listener",
    "Missed",
    "Stream",
    "UnknownSession",
]
