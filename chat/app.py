"""The chat service behind the server kit: rooms, logins and page."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from chat.domain.names import MAX_LENGTH
from chat.domain.rooms import RESTORABLE_SECONDS
from chat.http import api, description, pages, room_api
from chat.http.rates import ChatRates
from chat.http.routing import Services, bind
from chat.http.schema import About, ClientLimits
from chat.http.sockets import Sockets
from chat.service.chat_service import ChatService
from chat.service.login import ChatLogins
from chat.settings import ChatSettings
from fanline.server import App, gauge, new_registry

# The limit of a frame, in multiples of the limit of a message: JSON may spell a message longer than its text.
FRAME_PER_MESSAGE: Final = 4


@asynccontextmanager
async def open_chat(settings: ChatSettings) -> AsyncIterator[App]:
    """Run chat on the pipeline.

    Until the log has been read, requests are refused with 503.

    Raises:
        ConfigurationError: If a certificate, password or key cannot be used.
    """
    chat = ChatService.from_settings(settings)
    app = chat_app(chat, settings)
    async with chat.running():
        yield app


def chat_app(chat: ChatService, settings: ChatSettings) -> App:
    """Return the app of a chat service."""
    logins, rates = ChatLogins(settings, chat.rooms), ChatRates(settings)
    limits = ClientLimits(message=settings.chat_max_message, name=MAX_LENGTH, roomId=MAX_LENGTH)
    about = About(
        name=settings.chat_name,
        guests=settings.guests_allowed,
        limits=limits,
        restoreSeconds=RESTORABLE_SECONDS,
    )
    presence, registry = chat.state.presence.state, new_registry()
    gauge(registry, "fanline_chat_rooms", "Rooms.", lambda: len(chat.rooms.by_id))
    gauge(
        registry,
        "fanline_chat_members",
        "Members who are connected to this server.",
        lambda: presence.own,
    )
    return App(
        max_frame=FRAME_PER_MESSAGE * settings.chat_max_message,
        metrics=registry,
        endpoints=Sockets(chat, logins, rates).endpoints(),
        routes=[
            *bind((api.router, room_api.router), Services(chat, logins, rates, about)),
            *description.routes(guests_allowed=logins.guests_allowed),
            *pages.routes(),
        ],
        readiness_problem=lambda: chat.lifecycle.connection_problem,
        drain=chat.lifecycle.drain,
    )
