"""Fan-out of events within one process to users' sessions, usable alone.

A session and its events::

    hub = Hub("lobby", history=100)
    stream = hub.add("ada", "laptop")
    hub.message("ada", "hello")
    async for event in stream:  # join, message …
        match event:
            case Event(type=EventType.MESSAGE):
                print(event.user, event.message)
            case Missed(count):
                print("too slow for", count)

Listeners are called with every event, and :meth:`Hub.close` waits until they have taken them::

    hub.attach_listener(JsonLinesFile("events.jsonl"))
    ...
    await hub.close()

No session waits for another: putting an event never blocks, and a session that falls too far behind is told
how many events it missed.
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
