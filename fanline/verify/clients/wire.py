"""WebSocket connections independent of the public client and its mistakes."""

import asyncio
from abc import ABC, abstractmethod
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from fanline.protocol import basic_authorization
from fanline.verify.clients.load import Load
from fanline.verify.system.installation import Place

OPEN_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 0.3
MAX_RETRY_SECONDS: Final = 5.0


class Stored(msgspec.Struct):
    """A message as it is delivered and stored."""

    topic: str
    content: msgspec.Raw
    seq: int


class ToldGap(msgspec.Struct):
    """Positions, first and last, that a subscriber is told to be gone."""

    first: int = msgspec.field(name="from")
    last: int = msgspec.field(name="to")


class Retry(Exception):
    """The service wants to be asked again, on another connection."""


class RawClient(ABC):
    """Speaks the protocol by hand, on one connection after the other.

    Args:
        load: The run.
        url: The endpoint.
        troubles: Where to note senseless answers of the service.
    """

    def __init__(self, load: Load, url: str, troubles: list[str]) -> None:
        self.troubles = troubles
        self._url = url
        self._place = load.place
        self._on_state = load.count_reconnects()
        self._retry_seconds = RETRY_SECONDS

    @property
    @abstractmethod
    def is_done(self) -> bool:
        """Return whether no other connection is needed."""

    @abstractmethod
    async def speak(self, connection: ClientConnection) -> None:
        """Speak on one connection until it ends."""

    async def keep_speaking(self) -> None:
        """Connect, again whenever the connection is lost, until it is done."""
        while not self.is_done:
            self._retry_seconds = RETRY_SECONDS
            try:
                async with _dial(self._place, self._url) as connection:
                    self._on_state(None)
                    await self.speak(connection)
            except (OSError, WebSocketException, Retry):
                await asyncio.sleep(self._retry_seconds)
            except msgspec.DecodeError as error:
                self.troubles.append(f"what came cannot be read: {error}")
                await asyncio.sleep(self._retry_seconds)

    def obey_drain(self, retry_ms: float) -> None:
        """Wait as long as a draining service has asked for."""
        self._retry_seconds = min(retry_ms / 1_000, MAX_RETRY_SECONDS)


def _dial(place: Place, url: str) -> connect:
    return connect(
        url,
        ssl=place.tls,
        additional_headers={"Authorization": basic_authorization(place.user, place.password)},
        subprotocols=[Subprotocol("fanline.v1")],
        compression=None,
        proxy=None,
        open_timeout=OPEN_SECONDS,
        close_timeout=1,
        ping_interval=2,
        ping_timeout=4,
        max_size=None,
    )
