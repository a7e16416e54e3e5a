"""The interactive client: execute typed lines and show incoming messages."""

import asyncio
import os
from typing import Final

from clientdemo.commands.subscribe import explain_gap
from clientdemo.console.escape import content_of, escape_controls
from clientdemo.console.grammar import HELP, Leave, Mistake, Send, Sub, Unsub, parse
from clientdemo.console.lines import STDIN
from clientdemo.console.output import STDOUT
from clientdemo.console.terminal import LineKind, Pipe, Screen, Terminal, Topics, kept_history
from clientdemo.exit_codes import ConnectionNotices, ExitCode, ungrouped
from clientdemo.login import PipelineLogin
from fanline import Disconnected, ErrorCode, Gap, Publisher, PublishResult, Rejected, Subscriber

# Seconds that the last commands may take when the program ends.
EXIT_TIMEOUT: Final = 5.0


async def interact(login: PipelineLogin) -> ExitCode:
    """Read and execute lines until ``exit`` or the end of input.

    Raises:
        FanlineError: If the services cannot be used, or not all messages were acknowledged at the end.
        BrokenPipeError: If standard output was closed.
        KeyboardInterrupt: On Ctrl-C.
    """
    topics = Topics()
    is_terminal = os.isatty(STDIN) and os.isatty(STDOUT)
    screen = Terminal(HELP, kept_history(), topics) if is_terminal else Pipe()
    with screen.open():
        await _Client(login, screen, topics).run()
    return ExitCode.DONE


class _Client:
    """One publisher, one subscriber and one screen.

    Commands wait in a queue, so that typing works without a connection.
    """

    def __init__(self, login: PipelineLogin, screen: Screen, topics: Topics) -> None:
        self._screen = screen
        self._topics = topics
        self._commands: asyncio.Queue[Sub | Unsub | Send] = asyncio.Queue(1_000)
        self._results: asyncio.Queue[PublishResult] = asyncio.Queue()
        self._publisher = Publisher(
            login.publisher_url,
            user=login.user,
            password=login.password,
            tls=login.tls,
            allow_plain=True,
            on_state=ConnectionNotices(self._say, recovered="connected to the publisher"),
        )
        self._subscriber = Subscriber(
            url=login.subscriber_url,
            user=login.user,
            password=login.password,
            tls=login.tls,
            on_gap=self._show_gap,
            on_state=ConnectionNotices(
                self._say, recovered="connected to the subscriber; subscriptions resume where they were"
            ),
        )

    async def run(self) -> None:
        with ungrouped():
            async with self._publisher, self._subscriber, asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(each)
                    for each in (self._execute_all(), self._confirm_all(), self._receive())
                ]
                await self._read()
                await self._finish()
                for task in background:
                    task.cancel()

    async def _read(self) -> None:
        async for text in self._screen.lines():
            line = parse(text)
            if isinstance(line, Leave):
                return
            if isinstance(line, Mistake):
                self._say(escape_controls(line.reason), LineKind.PROBLEM)
            elif line is not None:
                await self._commands.put(line)

    async def _finish(self) -> None:
        """Wait until all typed commands are done, at most :data:`EXIT_TIMEOUT`.

        Raises:
            Disconnected: If not all are done by then.
        """
        try:
            async with asyncio.timeout(EXIT_TIMEOUT):
                await self._commands.join()
                await self._results.join()
        except TimeoutError:
            problem = self._publisher.problem or self._subscriber.problem or "there is no answer"
            raise Disconnected(f"not everything was done: {problem}") from None

    async def _execute_all(self) -> None:
        while True:
            command = await self._commands.get()
            try:
                await self._execute(command)
            except Rejected as rejected:
                self._say(rejected.reason, LineKind.PROBLEM)
            finally:
                self._commands.task_done()

    async def _execute(self, command: Sub | Unsub | Send) -> None:
        match command:
            case Sub(pattern, after, last, latest):
                seq = await self._subscriber.subscribe(pattern, after=after, last=last, latest=latest)
                self._topics.add(pattern)
                self._say(f"subscribed to {pattern}, after {seq}", LineKind.DETAIL)
            case Unsub(pattern):
                await self._subscriber.unsubscribe(pattern)
                self._say(f"unsubscribed from {pattern}", LineKind.DETAIL)
            case Send(topic, content):
                self._screen.show(LineKind.SENT, f">[{topic}] {escape_controls(content)}")
                self._topics.add(topic)
                self._results.put_nowait(await self._publisher.send(topic, content))

    async def _confirm_all(self) -> None:
        while True:
            result = await self._results.get()
            try:
                ack = await result
                self._say(f"stored at {ack.seq}", LineKind.DETAIL)
            except Rejected as rejected:
                outcome = "not acknowledged" if rejected.code == ErrorCode.ACK_UNAVAILABLE else "not stored"
                self._say(f"{outcome}: {rejected.reason}", LineKind.PROBLEM)
            finally:
                self._results.task_done()

    async def _receive(self) -> None:
        while True:
            try:
                async for message in self._subscriber:
                    self._topics.add(message.topic)
                    self._screen.show(LineKind.ARRIVED, f"<[{message.topic}] {content_of(message)}")
            except Rejected as rejected:
                self._say(rejected.reason, LineKind.PROBLEM)

    def _show_gap(self, gap: Gap) -> None:
        self._say(explain_gap(gap), LineKind.PROBLEM)

    def _say(self, text: str, kind: LineKind = LineKind.NOTICE) -> None:
        self._screen.show(kind, f"[clientdemo] {text}")
