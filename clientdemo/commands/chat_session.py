"""``chat``: take part in a room, interactively or from a script."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, NoReturn, TypeVar

from prompt_toolkit.history import InMemoryHistory

from clientdemo.commands.batch import send_lines
from clientdemo.commands.interactive import EXIT_TIMEOUT
from clientdemo.console.escape import escape_controls, on_one_line
from clientdemo.console.output import STDOUT, abandon_output, while_output_is_read
from clientdemo.console.terminal import LineKind, Pipe, Screen, Terminal
from clientdemo.exit_codes import ConnectionNotices, ExitCode, tell, ungrouped
from clientdemo.login import ChatLogin
from fanline import (
    Backoff,
    ChatPages,
    ChatRoom,
    Disconnected,
    EarlierMessages,
    LoginRefused,
    PublishResult,
    Rejected,
    RoomEvent,
)

HINT: Final = "what you type is sent to the room; exit or Ctrl-D leaves it"

T = TypeVar("T")

Render = Callable[[RoomEvent], str | None]
Say = Callable[[str], None]


def event_as_text(event: RoomEvent) -> str | None:
    """Return an event as ``HH:MM name: text``.

    It is None for the user's own joining and leaving.
    """
    who = f"{event.sent.astimezone():%H:%M} {escape_controls(event.member_name)}"
    if event.type == "chat":
        return f"{who}: {escape_controls(event.message)}"
    return None if event.is_own else f"{who} {event.type}"


def event_as_json(event: RoomEvent) -> str:
    """Return a whole event as JSON, as received."""
    return on_one_line(event.json).decode()


async def run_chat(login: ChatLogin, room: str, render: Render, *, last: int) -> ExitCode:
    """Show a room's events and send typed lines.

    This ends with ``exit`` or the end of input.

    Args:
        login: Service and credentials.
        room: Id of the room.
        render: Converts an event to a line, or to None.
        last: Number of newest messages to begin with.

    Raises:
        FanlineError: If the room cannot be entered, was deleted, or not all lines were stored at the end.
        BrokenPipeError: If standard output was closed.
        KeyboardInterrupt: On Ctrl-C.
    """
    is_terminal = os.isatty(STDOUT)
    screen = Terminal(HINT, InMemoryHistory()) if is_terminal else Pipe()
    say: Say = (lambda text: screen.show(LineKind.NOTICE, f"[clientdemo] {text}")) if is_terminal else tell
    view = _View(screen, render, say)
    with screen.open():
        async with while_output_is_read(), _entered(login, room, view, last=last) as entered:
            await _Typist(entered, view, screen).run()
    return ExitCode.DONE


async def send_to_room(
    login: ChatLogin,
    room: str,
    lines: AsyncIterator[bytes | None],
    render: Render,
    *,
    last: int,
    timeout: float,
) -> ExitCode:
    """Send every line to a room, and show the room's events.

    Events are shown as long as standard output is open.

    Args:
        login: Service and credentials.
        room: Id of the room.
        lines: The lines; None stands for one that is too long.
        render: Converts an event to a line, or to None.
        last: Number of newest messages to begin with.
        timeout: Seconds to enter the room, and to wait for the ack of each line, before giving up.

    Raises:
        FanlineError: If the room was not entered or a line not acknowledged in time.
    """
    view = _View(_UnreadPipe(), render, tell)
    async with _entered(login, room, view, last=last, timeout=timeout) as entered:

        async def send(line: str) -> PublishResult | None:
            return await entered.send(line) if line.strip() else None

        with ungrouped():
            async with asyncio.TaskGroup() as tasks:
                showing = tasks.create_task(view.show_all(entered))
                code = await send_lines(
                    lines, send, problem=lambda: entered.problem, timeout=timeout, is_silent=True
                )
                showing.cancel()
    return code


class _UnreadPipe(Pipe):
    """Standard output that may be closed while lines are still being sent."""

    def show(self, kind: LineKind, text: str) -> None:
        try:
            super().show(kind, text)
        except BrokenPipeError:
            abandon_output()


class _View:
    """Shows the events of a room.

    Attributes:
        say: Prints a notice about the program itself.
    """

    def __init__(self, screen: Screen, render: Render, say: Say) -> None:
        self.say = say
        self._screen = screen
        self._render = render
        self._is_in = False

    async def show_all(self, room: ChatRoom) -> NoReturn:
        """Show events until the room raises its final error."""
        while True:
            self.show(await anext(room))

    def show(self, event: RoomEvent) -> None:
        """Show one event."""
        if event.is_own and not self._is_in:
            self._is_in = True
            self.say(f"you are {escape_controls(event.member_name)}")
        line = self._render(event)
        if line is not None:
            self._screen.show(LineKind.SENT if event.is_own else LineKind.ARRIVED, line)


class _Typist:
    """A user at a keyboard.

    Typed lines wait, so that typing works without a connection.
    """

    def __init__(self, room: ChatRoom, view: _View, screen: Screen) -> None:
        self._room = room
        self._view = view
        self._screen = screen
        self._said: asyncio.Queue[tuple[str, PublishResult]] = asyncio.Queue()

    async def run(self) -> None:
        with ungrouped():
            async with asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(each) for each in (self._view.show_all(self._room), self._confirm_all())
                ]
                await self._read()
                await self._finish()
                for task in background:
                    task.cancel()

    async def _read(self) -> None:
        async for line in self._screen.lines():
            if line.strip() == "exit":
                return
            if line.strip():
                await self._send(line)

    async def _send(self, line: str) -> None:
        if self._room.problem:
            self._view.say(f"not connected; will be sent later: {escape_controls(line)}")
        try:
            self._said.put_nowait((line, await self._room.send(line)))
        except Rejected as rejected:
            self._view.say(f"not sent: {rejected.reason}")

    async def _confirm_all(self) -> None:
        while True:
            line, answer = await self._said.get()
            try:
                await answer
            except Rejected as rejected:
                self._view.say(f"not known to be sent: {escape_controls(line)}: {rejected.reason}")
            finally:
                self._said.task_done()

    async def _finish(self) -> None:
        """Wait until all typed lines are stored, at most :data:`EXIT_TIMEOUT`.

        Raises:
            Disconnected: If not all are stored by then.
        """
        try:
            async with asyncio.timeout(EXIT_TIMEOUT):
                await self._said.join()
        except TimeoutError:
            problem = self._room.problem or "the server does not answer"
            raise Disconnected(f"not everything is known to be stored: {problem}") from None


@asynccontextmanager
async def _entered(
    login: ChatLogin, room: str, view: _View, *, last: int, timeout: float | None = None
) -> AsyncIterator[ChatRoom]:
    """Log in, show earlier messages, and enter the room during the block."""
    watch = ConnectionNotices(view.say)
    token, past = await _retry(lambda: _prepare(login, room, last), watch, timeout=timeout)
    for event in past.messages:
        view.show(event)
    entered = ChatRoom(login.url, room, token=token, tls=login.tls, after=past.position, on_state=watch)
    async with entered:
        yield entered


async def _prepare(login: ChatLogin, room: str, last: int) -> tuple[str, EarlierMessages]:
    async with ChatPages(login.url, tls=login.tls) as pages:
        if login.name is None:
            token = await pages.enter_as_guest()
        else:
            token = await pages.log_in(login.name, login.password)
        return token, await pages.newest(token, room, last)


async def _retry(
    attempt: Callable[[], Awaitable[T]], watch: ConnectionNotices, *, timeout: float | None
) -> T:
    """Retry with growing delays, until success or a final error.

    An error is final if retrying cannot help.
    """
    backoff = Backoff()
    problem: str | None = None
    try:
        async with asyncio.timeout(timeout):
            while isinstance(result := await _try(attempt), Disconnected):
                if str(result) != problem:
                    problem = str(result)
                    watch(problem)
                await asyncio.sleep(backoff.next())
    except TimeoutError:
        raise Disconnected(problem or "the server does not answer") from None
    watch(None)
    return result


async def _try(attempt: Callable[[], Awaitable[T]]) -> T | Disconnected:
    """Return one attempt's result, or its error if retrying may help."""
    try:
        return await attempt()
    except LoginRefused:
        raise
    except Disconnected as error:
        return error
