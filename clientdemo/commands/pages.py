"""Use the HTTP interface of chat: log in and read earlier messages."""

import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from clientdemo.room import Event, read_event
from fanline.client.translate import refused, unreachable
from fanline.errors import ConfigurationError

# Events per request, the most that the service returns.
PAGE: Final = 500

# Seconds; as for a room, because the service waits for its pipeline.
TIMEOUT: Final = 15.0

T = TypeVar("T")


class Past(NamedTuple):
    """Earlier messages of a room.

    Attributes:
        messages: The messages, oldest first.
        position: Position after which newer events follow.
    """

    messages: Sequence[Event]
    position: int


class _Login(msgspec.Struct):
    token: str


_decode_login: Final = msgspec.json.Decoder(_Login)
_decode_page: Final = msgspec.json.Decoder(list[msgspec.Raw])


class Pages:
    """Client of the HTTP interface of chat, for an ``async with`` block; never retries.

    Every method raises LoginRefused if the service refuses the login, ConfigurationError if there is no such
    room or service or its certificate is not trusted, and Disconnected if retrying may help.

    Args:
        url: URL of the service, ``wss://HOST:PORT``.
        tls: TLS context that verifies the service.
    """

    def __init__(self, url: str, *, tls: ssl.SSLContext) -> None:
        self._url = url
        base = httpx.URL(url).copy_with(scheme="https")
        self._client = httpx.AsyncClient(base_url=base, verify=tls, timeout=TIMEOUT, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def log_in(self, name: str, password: str) -> str:
        """Log in; return a token for a display name."""
        login = await self._ask(_decode_login, "POST", "/login", json={"password": password, "name": name})
        return login.token

    async def enter_as_guest(self) -> str:
        """Log in as a guest; return a token for a name that the service chooses."""
        return (await self._ask(_decode_login, "POST", "/guest")).token

    async def newest(self, token: str, room: str, count: int) -> Past:
        """Return the newest messages of a room, at most ``count``.

        Joins and leaves are skipped; a page with nothing else ends the search.

        Args:
            token: Token of the login.
            room: Id of the room.
            count: Number of messages, or 0 for the position only.
        """
        page = await self._page(token, room, {})
        position = page[-1].seq if page else 0
        messages = said = _messages(page)
        while said and len(messages) < count:
            page = await self._page(token, room, {"before": page[0].seq})
            said = _messages(page)
            messages = [*said, *messages]
        return Past(messages[-count:] if count else [], position)

    async def _page(self, token: str, room: str, where: dict[str, int]) -> list[Event]:
        bodies = await self._ask(
            _decode_page,
            "GET",
            f"/api/room/{quote(room, safe='')}/messages",
            params={"limit": PAGE, **where},
            headers={"Authorization": f"Bearer {token}"},
        )
        return [read_event(bytes(body)) for body in bodies]

    async def _ask(self, decoder: msgspec.json.Decoder[T], method: str, path: str, **more: Any) -> T:
        try:
            response = await self._client.request(method, path, **more)
        except httpx.RequestError as error:
            raise unreachable(self._url, error) from error
        if not response.is_success:
            raise refused(self._url, response.status_code, response.content, login="the login")
        try:
            return decoder.decode(response.content)
        except msgspec.DecodeError:
            raise ConfigurationError(f"{self._url}: is not a chat service; check the URL") from None


def _messages(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event.type == "chat"]
