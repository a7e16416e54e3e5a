"""Pages of chat outside a room: login, and earlier messages."""

import ssl
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar
from urllib.parse import quote

import msgspec

from fanline.client.chat.room import RoomEvent, read_event
from fanline.client.transport.https import HttpsClient
from fanline.client.transport.translate import refused
from fanline.errors import ConfigurationError
from fanline.protocol import encode

# Events asked for at a time: as many as the service gives.
_PAGE: Final = 500

# As for a room: the service itself waits for its pipeline.
_TIMEOUT: Final = 15.0

T = TypeVar("T")


class EarlierMessages(NamedTuple):
    """The newest messages of a room, and where new events begin.

    Attributes:
        messages: Oldest first.
        position: Everything after it is new.
    """

    messages: Sequence[RoomEvent]
    position: int


class _Login(msgspec.Struct):
    token: str


_decode_login: Final = msgspec.json.Decoder(_Login)
_decode_page: Final = msgspec.json.Decoder(list[msgspec.Raw])


class ChatPages:
    """Asks a chat service over HTTP, during an ``async with`` block.

    Nothing is tried again. Every method raises LoginRefused if the service refuses the login,
    ConfigurationError if there is no such room or service, or it cannot be trusted, and Disconnected if
    trying again may help.

    Args:
        url: The service, ``wss://HOST:PORT``.
        tls: How to verify it.
    """

    def __init__(self, url: str, *, tls: ssl.SSLContext) -> None:
        self._url = url
        self._client = HttpsClient(url, tls=tls, timeout=_TIMEOUT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    async def log_in(self, name: str, password: str) -> str:
        """Return a token for this display name."""
        login = await self._ask(
            _decode_login, "POST", "/login", body=encode({"password": password, "name": name})
        )
        return login.token

    async def enter_as_guest(self) -> str:
        """Return a token for a display name that the service makes up."""
        return (await self._ask(_decode_login, "POST", "/guest")).token

    async def newest(self, token: str, room: str, count: int) -> EarlierMessages:
        """Return the newest messages of a room, at most ``count``.

        Members who came or left are left out; after a page with no messages, the search ends.

        Args:
            token: The login.
            room: The id of the room.
            count: How many, or 0 for the position alone.
        """
        page = await self._page(token, room, {})
        position = page[-1].seq if page else 0
        messages = found = _messages(page)
        while found and len(messages) < count:
            page = await self._page(token, room, {"before": page[0].seq})
            found = _messages(page)
            messages = [*found, *messages]
        return EarlierMessages(messages[-count:] if count else [], position)

    async def _page(self, token: str, room: str, where: dict[str, int]) -> list[RoomEvent]:
        bodies = await self._ask(
            _decode_page,
            "GET",
            f"/api/room/{quote(room, safe='')}/messages",
            {"limit": _PAGE, **where},
            headers={"Authorization": f"Bearer {token}"},
        )
        return [read_event(bytes(body)) for body in bodies]

    async def _ask(
        self,
        decoder: msgspec.json.Decoder[T],
        method: str,
        path: str,
        parameters: Mapping[str, int] | None = None,
        **more: Any,
    ) -> T:
        response = await self._client.request(method, path, parameters, **more)
        if not 200 <= response.status < 300:
            raise refused(self._url, response.status, response.body, login="the login")
        try:
            return decoder.decode(response.body)
        except msgspec.DecodeError:
            raise ConfigurationError(f"{self._url}: is not a chat service; check the URL") from None


def _messages(events: Sequence[RoomEvent]) -> list[RoomEvent]:
    return [event for event in events if event.type == "chat"]
