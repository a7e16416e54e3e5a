"""Reconnecting connections, for services and clients.

:class:`ReconnectingConnection` connects, logs in and hands the open connection to a *session*, a function
that speaks on it until it ends. What happens then depends on why it ended:

* The peer cannot be reached, goes away, is overloaded, or the session raises
  :class:`~fanline.errors.Disconnected`: connect again, after a delay that grows from one failed attempt to
  the next and starts over once a connection has held. A peer that is about to go away may say itself when
  to come back: :meth:`ReconnectingConnection.retry_after`.
* The peer will not take this connection, however often it is tried: it refuses the login (401, 403), does not
  know the path (404), cannot prove who it is (TLS), or closes with 1008. A client gives up; a service
  goes on trying, but slowly, because the mistake may be on the other side and be put right there.
* The session raises anything else: that ends the link.
"""

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, NoReturn

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.protocol import State
from websockets.typing import Subprotocol

from fanline import keepalive
from fanline.addresses import split_url
from fanline.backoff import Backoff
from fanline.change_notifier import ChangeNotifier
from fanline.client.transport.dial import make_transport, open_socket
from fanline.client.transport.login import Login
from fanline.client.transport.translate import refused, unreachable
from fanline.errors import CloseCode, ConfigurationError, Disconnected, FanlineError, LoginRefused
from fanline.protocol import SUBPROTOCOL, Dialect, encode
from fanline.tasks import running_task, sleep_and_read

logger = logging.getLogger(__name__)

# The library's own log would, at debug level, show the Authorization header.
_wire_logger = logging.getLogger(f"{__name__}.wire")
_wire_logger.setLevel(logging.WARNING)

Session = Callable[[ClientConnection], Awaitable[None]]

_STEADY_SECONDS: Final = 5.0
CLOSE_TIMEOUT: Final = 2.0

# Seconds between attempts to fetch a token, while the one in use is still valid.
RENEWAL_PAUSE: Final = 5.0

# The longest that a peer can ask for before it is tried again.
MAX_RETRY_AFTER: Final = 60.0


class ReconnectingConnection:
    """A connection to one WebSocket endpoint, kept up by :meth:`run`.

    Args:
        urls: The endpoint, ``wss://HOST:PORT/PATH``; or several that serve the same, of which the next one is
            tried whenever a connection is lost or cannot be made.
        login: As whom to log in.
        tls: How to verify the peer; None trusts the CAs of the system.
        subprotocol: What to ask the peer to speak.
        query: Called for each connection; what is to follow the URL.
        open_timeout: Seconds that the peer may take to open a connection.
        ping_interval: Seconds between pings.
        silence_limit: Seconds after a ping within which something must come from the peer, or else the
            connection counts as lost.
        refused_delay: Seconds between attempts while the peer will not take this connection; None gives up.
        backoff: The delays between attempts otherwise.
        steady_seconds: How long a connection must have held for the next loss to count as a first one.
        close_timeout: Seconds that the peer may take to close a connection.
        on_state: Called with :attr:`problem` whenever it has changed, except by the end of :meth:`run`.

    Attributes:
        url: The endpoint in use.
        problem: Why there is no connection, in one sentence without secrets; None while there is one.
        dialect: What the peer speaks on the connection; it can be another one after a reconnect.
        opened: How often there was a connection.
        changed: Fires when the connection is made, and when it is lost or cannot be made.

    Raises:
        ConfigurationError: If the URL cannot be used.
    """

    def __init__(  # noqa: PLR0913 - each is one fact about a connection
        self,
        urls: str | Sequence[str],
        *,
        login: Login,
        tls: ssl.SSLContext | None,
        subprotocol: str = SUBPROTOCOL,
        query: Callable[[], str] = str,
        open_timeout: float = 10.0,
        ping_interval: float = 20.0,
        silence_limit: float = 30.0,
        refused_delay: float | None = None,
        backoff: Backoff | None = None,
        steady_seconds: float = _STEADY_SECONDS,
        close_timeout: float = CLOSE_TIMEOUT,
        on_state: Callable[[str | None], None] | None = None,
    ) -> None:
        self._urls = deque([urls] if isinstance(urls, str) else urls)
        for each in self._urls:
            _require_url(each)
        self.url = self._urls[0]
        self.problem: str | None = f"{self.url} is not connected yet"
        self.dialect = Dialect.V1
        self.opened = 0
        self.changed = ChangeNotifier()
        self._login = login
        self._tls = tls
        self._subprotocol = Subprotocol(subprotocol)
        self._query = query
        self._open_timeout = open_timeout
        self._ping_interval = ping_interval
        self._silence_limit = silence_limit
        self._refused_delay = refused_delay
        self._backoff = backoff or Backoff()
        self._steady_seconds = steady_seconds
        self._close_timeout = close_timeout
        self._retry_after: float | None = None
        self._is_fresh = False  # whether the token was fetched because the one before was refused
        self._on_state = on_state

    @property
    def connected(self) -> bool:
        """Return whether a session is under way."""
        return self.problem is None

    def retry_after(self, seconds: float) -> None:
        """Wait this long, at most 60 s, before the next connection.

        It takes the place of the usual delay.
        """
        self._retry_after = min(max(seconds, 0.0), MAX_RETRY_AFTER)

    async def run(self, session: Session) -> NoReturn:
        """Keep the connection up until cancelled, and run ``session`` on it.

        A session ends by returning, by :exc:`~websockets.exceptions.ConnectionClosed` or by
        :class:`~fanline.errors.Disconnected`, and is followed by the next one. Raising
        :class:`~fanline.errors.LoginRefused` is as if the peer had refused the login. One call at a time.

        Args:
            session: Speaks on one open connection; it need not close it.

        Raises:
            LoginRefused: If the peer refuses the user, and ``refused_delay`` is None.
            ConfigurationError: Likewise, if the URL, or the CA to verify it by, is wrong.
            Disconnected: Likewise, if the peer closes with 1008.
            Exception: Whatever else the session raises.
        """
        while True:
            loss = await self._hold_once(session)
            if loss.is_final and self._refused_delay is None:
                self.problem = str(loss.error)
                raise loss.error
            self._report(str(loss.error))
            delay = self._next_delay(is_final=loss.is_final)
            self._urls.rotate(-1)
            self.url = self._urls[0]
            level = logging.WARNING if loss.is_final else logging.INFO
            logger.log(level, "%s; next attempt in %.1f s", loss.error, delay)
            await asyncio.sleep(delay)

    async def _hold_once(self, session: Session) -> "_Loss":
        """Connect, run one session, and return why the connection ended."""
        try:
            connection = await self._open()
        except (OSError, InvalidHandshake, ConnectionClosed) as error:
            return self._not_opened(error)
        except Disconnected as error:  # there is no token
            return _Loss(error, is_final=isinstance(error, LoginRefused))
        try:
            self._welcome(connection)
            await self._hold(connection, session)
        except ConnectionClosed:
            pass
        except Disconnected as error:
            return _Loss(error, is_final=isinstance(error, LoginRefused))
        finally:
            self.problem = f"{self.url} is not connected any more"
            await close(connection, self._close_timeout)
        return self._lost(connection)

    async def _open(self) -> "_Connection":
        connection = await _Connect(
            self.url + self._query(),
            ssl=self._tls or True,
            additional_headers=await self._login.headers(),
            subprotocols=[self._subprotocol],
            compression=None,
            proxy=None,
            open_timeout=self._open_timeout,
            close_timeout=self._close_timeout,
            ping_interval=self._ping_interval,
            ping_timeout=self._silence_limit,
            # The peer is one that the operator trusts, and its own limits bound what it sends.
            max_size=None,
            logger=_wire_logger,
            create_connection=_Connection,
        )
        assert isinstance(connection, _Connection)
        return connection

    def _welcome(self, connection: ClientConnection) -> None:
        self.opened += 1
        self.dialect = Dialect.V1 if connection.subprotocol else Dialect.PLAIN
        if self.dialect is Dialect.PLAIN:
            # No bound on delivery: a queue of the original that is full takes nothing for any time.
            keepalive.probe(
                connection.transport, ping_interval=self._ping_interval, silence_limit=self._silence_limit
            )
        else:
            sock = connection.transport.get_extra_info("socket")
            keepalive.bound_delivery(sock, self._ping_interval + self._silence_limit)
        logger.info("connected to %s", self.url)
        self._report(None)

    async def _hold(self, connection: ClientConnection, session: Session) -> None:
        loop = asyncio.get_running_loop()
        opened = loop.time()
        self._is_fresh = False
        try:
            async with running_task(self._renew_token(connection)):
                await session(connection)
        finally:
            if loop.time() - opened >= self._steady_seconds:
                self._backoff.reset()

    async def _renew_token(self, connection: ClientConnection) -> None:
        """Send new tokens in time, as long as their expiry is known."""
        while self._login.is_renewable and self.dialect is Dialect.V1:
            delay = self._login.seconds_left()
            if delay is None:
                return
            await asyncio.sleep(delay)
            try:
                token = await self._login.renew()
            except FanlineError as error:
                logger.warning("%s; trying again in %g s", error, RENEWAL_PAUSE)
                await asyncio.sleep(RENEWAL_PAUSE)
            else:
                await connection.send(encode({"token": token}), text=True)

    def _next_delay(self, *, is_final: bool) -> float:
        asked_for, self._retry_after = self._retry_after, None
        if asked_for is not None and len(self._urls) == 1:
            return asked_for
        delay = self._backoff.next()
        return max(delay, self._refused_delay or 0.0) if is_final else delay

    def _report(self, problem: str | None) -> None:
        has_changed, self.problem = problem != self.problem, problem
        self.changed.fire()
        if has_changed and self._on_state is not None:
            self._on_state(problem)

    def _not_opened(self, error: OSError | InvalidHandshake | ConnectionClosed) -> "_Loss":
        reason = self._translated(error)
        reason.__cause__ = error
        if isinstance(reason, LoginRefused) and self._login.is_renewable and not self._is_fresh:
            self._login.discard()  # it may have expired or been revoked: the next one decides
            self._is_fresh = True
            return _Loss(reason)
        return _Loss(reason, is_final=isinstance(reason, LoginRefused | ConfigurationError))

    def _translated(self, error: OSError | InvalidHandshake | ConnectionClosed) -> FanlineError:
        if isinstance(error, ConnectionClosed):  # after TLS, before the library has sent its handshake
            error = ConnectionResetError("connection reset by peer")
        if isinstance(error, InvalidStatus):
            response = error.response
            return refused(self.url, response.status_code, bytes(response.body or b""), login=self._login.who)
        if isinstance(error, InvalidHandshake):
            return Disconnected(
                f"{self.url} does not answer as a WebSocket server: {error}{self._login.hint}"
            )
        return unreachable(self.url, error, self._login.hint)

    def _lost(self, connection: "_Connection") -> "_Loss":
        code, reason = connection.close_code, connection.close_reason
        if connection.is_silent:
            silence = self._ping_interval + self._silence_limit
            return _Loss(Disconnected(f"{self.url} has been silent for more than {silence:g} s"))
        words = f"{code}, {reason}" if reason else str(code)
        if code == CloseCode.LOGGED_OUT:
            self._login.discard()
        if code == CloseCode.POLICY:
            refusal = Disconnected(f"{self.url} has closed the connection permanently: {words}")
            return _Loss(refusal, is_final=True)
        return _Loss(Disconnected(f"{self.url} has closed the connection: {words}"))


class _Connection(ClientConnection):
    """Pings its peer, and drops a connection that stays silent.

    The library's own keepalive waits to write its ping for as long as the write buffer is full, and so never
    finds that the host of a busy connection has vanished.

    Only a peer that speaks v1 is pinged. The original msgqueue reads nothing on a connection that pops, and
    nothing on one that pushes while it is full. It would not answer a ping, and what it has yet to deliver,
    or to read, would be lost with the connection.

    Attributes:
        is_silent: Whether it was dropped because nothing came.
    """

    is_silent = False
    _heard_at = 0.0

    def start_keepalive(self) -> None:
        if self.subprotocol:
            self._heard_at = self.loop.time()
            super().start_keepalive()

    def data_received(self, data: bytes) -> None:
        self._heard_at = self.loop.time()
        super().data_received(data)

    async def keepalive(self) -> None:
        assert self.ping_interval is not None
        assert self.ping_timeout is not None
        limit = self.ping_interval + self.ping_timeout
        remaining = limit
        while self.state is State.OPEN:
            await sleep_and_read(min(self.ping_interval, remaining))
            if not self.transport.is_reading():  # what has come waits for the session
                self._heard_at = self.loop.time()
            remaining = self._heard_at + limit - self.loop.time()
            if remaining <= 0:
                self.is_silent = True
                self.transport.abort()
                return
            if not self.paused:
                self.protocol.send_ping(b"")
                self.send_data()


class _Connect(connect):
    """Connects to the first address of the host that answers."""

    async def open_tcp_connection(self) -> ClientConnection:
        sock = await open_socket(self.ws_uri.host, self.ws_uri.port)
        self.create_connection_kwargs["sock"] = sock
        return await make_transport(sock, super().open_tcp_connection(), lambda made: made.transport.abort())

    def process_redirect(self, exc: Exception) -> Exception:
        """Follow none: logins and messages are for the server that was named."""
        return exc


class _Loss(NamedTuple):
    """Reason for the loss of a connection, and whether it is final.

    It is final if another attempt would end the same way.
    """

    error: FanlineError
    is_final: bool = False


async def run_until_first(*sides: Awaitable[None]) -> None:
    """Run the sides of a session together until the first ends.

    Args:
        sides: Coroutines; each is cancelled, and waited for, when another has returned or raised.

    Raises:
        Exception: What the first to end has raised.
    """
    tasks = [asyncio.ensure_future(side) for side in sides]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()


async def close(connection: ClientConnection, timeout: float) -> None:
    """Close within a number of seconds: politely, if the peer plays along."""
    try:
        async with asyncio.timeout(timeout):
            await connection.close()
    except TimeoutError:
        pass
    finally:
        connection.transport.abort()


def _require_url(url: str) -> None:
    try:
        split_url(url)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
