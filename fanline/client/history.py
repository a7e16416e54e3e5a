"""Reading back: the log of a topic, page by page."""

import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import msgspec

from fanline.client.subscription_state import Gap
from fanline.client.transport.https import HttpsClient, Response
from fanline.client.transport.login import Login, Token
from fanline.client.transport.translate import refused, rejected
from fanline.errors import Closed, ConfigurationError, FanlineError
from fanline.protocol import Message
from fanline.protocol.topics import require_pattern

_decode_messages: Final = msgspec.json.Decoder(list[Message]).decode


@dataclass(frozen=True)
class HistoryPage:
    """A part of the log.

    Attributes:
        messages: In the order of the log, whichever way the page was asked for.
        gap: What retention has removed from the page, or that the log is another one than it was asked for;
            None if nothing is missing.
        epoch: Random name of the log; positions of another one mean nothing in it.
    """

    messages: Sequence[Message]
    gap: Gap | None = None
    epoch: str | None = None


class History:
    """Reads pages of the log, while an ``async with`` block runs.

    Nothing is tried again: a page that could not be read may be asked for once more. Any number of tasks may
    do so at once.

    Args:
        url: The subscriber service, ``wss://HOST:PORT``.
        user: Who to log in as.
        password: The password.
        token: Instead of these, a token, or a function that returns one or an awaitable of one; it is called
            again before a token expires.
        tls: How to verify the server; None trusts the CAs of the system. Without user and token its
            client certificate is the login.
        timeout: Seconds to wait for an answer, the connection included. The service itself waits for its
            queue, 10 s by default.

    Raises:
        ConfigurationError: If the URL or the user name cannot be used.
    """

    def __init__(
        self,
        url: str = "wss://localhost:8082",
        *,
        user: str | None = None,
        password: str | None = None,
        token: Token | None = None,
        tls: ssl.SSLContext | None = None,
        timeout: float = 15.0,
    ) -> None:
        self._login = Login.of(user, password, token, tls)
        self._client = HttpsClient(url, tls=tls, timeout=timeout, login=self._login)
        self._is_open = False

    async def __aenter__(self) -> Self:
        self._is_open = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_open = False
        self._client.close()

    async def page(
        self,
        topic: str,
        *,
        after: int | None = None,
        before: int | None = None,
        last: int | None = None,
        limit: int = 100,
        epoch: str | None = None,
    ) -> HistoryPage:
        """Return a page of the log, by default the newest messages.

        An empty page is the end: of what there is after a position so far, or of all that was before it.

        Args:
            topic: A topic, or a pattern.
            after: Begin after this position.
            before: End in front of this position.
            last: The newest so many; as ``limit`` alone. These three exclude each other.
            limit: Messages on the page at most, 1 to 1,000; there are fewer if they are large.
            epoch: Epoch of the log that the position is of. If the log is another one by now, the page is its
                first one, and has a gap with ``is_new_log``.

        Raises:
            Rejected: If the service refuses the request, or msgqueue is out of its reach.
            LoginRefused: If it refuses the user.
            Disconnected: If it cannot be reached, or does not answer in time.
            ConfigurationError: If it is no subscriber service, or cannot prove who it is.
            Closed: Outside of the ``async with`` block.
        """
        if not self._is_open:
            raise Closed("it is not open: enter it with `async with`")
        require_pattern(topic)
        parameters = {"after": after, "before": before, "last": last, "limit": limit}
        page = await self._read(topic, {name: n for name, n in parameters.items() if n is not None})
        if epoch in (None, page.epoch):
            return page
        page = await self._read(topic, {"after": 0, "limit": limit})
        return HistoryPage(page.messages, Gap(topic, is_new_log=True), page.epoch)

    async def _read(self, topic: str, given: dict[str, int]) -> HistoryPage:
        path = f"/topics/{quote(topic, safe='')}/messages"
        response = await self._client.request("GET", path, given)
        if response.status != HTTPStatus.OK:
            raise self._refusal(response)
        try:
            messages = _decode_messages(response.body)
        except msgspec.DecodeError:
            raise ConfigurationError(f"{self._client.url}: does not answer as a subscriber service") from None
        return HistoryPage(messages, _gap(topic, response), response.headers.get("fanline-epoch"))

    def _refusal(self, response: Response) -> FanlineError:
        if response.status == HTTPStatus.UNAUTHORIZED:
            self._login.discard()
        refusal = rejected(response.status, response.body)
        return refusal or refused(self._client.url, response.status, response.body, login=self._login.who)


def _gap(topic: str, response: Response) -> Gap | None:
    found = re.fullmatch(r"(\d+)-(\d+)", response.headers.get("fanline-gap", ""))
    return Gap(topic, int(found[1]), int(found[2])) if found else None
