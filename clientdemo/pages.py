"""The pages of chat that one needs before one is in a room: logging in, and what was said before."""

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

# Events asked for at a time: as many as the service gives.
PAGE: Final = 500

# As for a room: the service itself waits for its pipeline.
TIMEOUT: Final = 15.0

T = TypeVar("T")


class Past(NamedTuple):
    """What was said before.

    Attributes:
        messages: Oldest first.
        position: Where what is new begins.
    """

    messages: Sequence[Event]
    position: int


class _Login(msgspec.Struct):
    token: str


_decode_login: Final = msgspec.json.Decoder(_Login)
_decode_page: Final = msgspec.json.Decoder(list[msgspec.Raw])


class Pages:
    """Asks a chat service over HTTP, while an ``async with`` block runs. Nothing is tried again.

    Every method raises LoginRefused if the service does not let one in, ConfigurationError if there is no
    such room or service, or it cannot be trusted, and Disconnected if trying again may help.

    Args:
        url: The service, ``wss://HOST:PORT``.
        tls: How to verify it.
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
        """Return a token for this display name."""
        login = await self._ask(_decode_login, "POST", "/login", json={"password": password, "name": name})
        return login.token

    async def enter_as_guest(self) -> str:
        """Return a token for a display name that the service makes up."""
        return (await self._ask(_decode_login, "POST", "/guest")).token

    async def newest(self, token: str, room: str, count: int) -> Past:
        """Return the newest messages of a room, as many as that or fewer.

        Comings and goings are left out; beyond a page of nothing else, no more is looked for.

        Args:
            token: Who asks.
            room: The id of the room.
            count: How many, or 0 for the position alone.
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
            raise ConfigurationError(f"{self._url}: does not answer as a chat service") from None


def _messages(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if event.type == "chat"]
