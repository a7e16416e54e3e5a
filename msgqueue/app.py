"""The msgqueue service: the one ordered, durable log behind ``/pushmsg`` and ``/popmsg``."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import (
    ACCESS_TOPIC,
    Ack,
    ConsumerList,
    DrainNotice,
    Forgotten,
    GapNotice,
    Message,
    NewMessage,
    PageAnswer,
    PopCommand,
    Popping,
    Refusal,
)
from fanline.queue.local import LocalQueue
from fanline.server import (
    App,
    Endpoint,
    MakeHandler,
    answer,
    metrics,
    open_tracer,
    refusals,
    trace_commits,
)
from fanline.tasks import running_task
from msgqueue.clock import LogClock
from msgqueue.consumers.registry import Consumers
from msgqueue.gate import Gate
from msgqueue.log import Log
from msgqueue.metrics import (
    CommitMetrics,
    facts_of,
    show_clock,
    show_cluster,
    show_consumers,
    show_log,
    show_size,
)
from msgqueue.pop import PopEndpoint
from msgqueue.push import PushEndpoint
from msgqueue.retention import Retention
from msgqueue.settings import MsgQueueSettings
from msgqueue.store.base import Store
from msgqueue.store.choice import EngineChoice
from msgqueue.store.sqlite.file import FolderInUse

logger = logging.getLogger(__name__)

# For so long the event loop may keep the interpreter from the threads of the store, which want it back after
# every statement, and within them. With Python's usual 5 ms they, and all acks, often wait for nothing.
SWITCH_SECONDS: Final = 0.0005


# How often it is tried to open a log that another msgqueue has open.
LOCK_RETRY_SECONDS: Final = 0.1

# Frames of /popmsg in fanline.v1, besides arrays of messages.
POP_FRAMES: Final = (Message, Popping, PageAnswer, GapNotice, ConsumerList, Forgotten, Refusal, DrainNotice)

CLOCK: Final = {
    "post": {
        "summary": "Say that the clock is right.",
        "security": [{"basic": []}],
        "responses": {"200": answer("Done.", "text/plain", {"type": "string"}), **refusals(401, 403)},
    }
}


class OpenStore(Protocol):
    """Opens the log in a folder."""

    async def __call__(
        self, folder: Path, *, dedupe_window: float, disk_reserve: int, clock: Callable[[], float]
    ) -> Store:
        """Open it.

        Args:
            folder: Where it is.
            dedupe_window: Seconds for which an id counts.
            disk_reserve: Bytes to be left free on the disk for trims.
            clock: Tells the time, in Unix seconds; for any thread.
        """
        ...


class OpenedLog(NamedTuple):
    """The log, and what works on it.

    Attributes:
        log: The log.
        consumers: Its durable consumers.
        retention: What removes old messages from it.
        clock: What messages get their time from.
        commits: Measures the commits.
    """

    log: Log
    consumers: Consumers
    retention: Retention
    clock: LogClock
    commits: CommitMetrics


@asynccontextmanager
async def open_msgqueue(
    settings: MsgQueueSettings,
    open_store: OpenStore | None = None,
    make_clock: Callable[[], LogClock] = LogClock,
) -> AsyncIterator[App]:
    """Open the log, and serve it; otherwise like :func:`open_log`."""
    async with open_log(settings, open_store, make_clock) as opened:
        gate = Gate(lambda: opened.log.problem)
        async with running_task(gate.run()):
            yield msgqueue_app(settings, opened, gate.guard)


@asynccontextmanager
async def open_log(
    settings: MsgQueueSettings,
    open_store: OpenStore | None = None,
    make_clock: Callable[[], LogClock] = LogClock,
) -> AsyncIterator[OpenedLog]:
    """Open the log.

    Args:
        settings: Of msgqueue.
        open_store: Opens the engine in a folder; None for the engine of the settings.
        make_clock: Makes the clock that messages get their time from.

    Raises:
        ConfigurationError: If another process has it open, or it is damaged.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    clock = make_clock()
    async with AsyncExitStack() as stack:
        store = await _open_when_free(settings, open_store or EngineChoice(settings).open, clock)
        await _resume(clock, store)
        tracer = await stack.enter_async_context(open_tracer(settings))
        commits = CommitMetrics()
        log = Log(
            store,
            cache_bytes=settings.recent_bytes,
            buffer_bytes=settings.queue_buffer,
            # Less than a publisher's, which then gets the reason before its own time is over.
            timeout=settings.queue_wait / 2,
            on_commit=commits.observe,
            append=trace_commits(tracer, store.append),
        )
        stack.push_async_callback(_close_in_time, log.close, settings.drain_timeout)
        await log.start()
        consumers = Consumers(log, max_deliveries=settings.max_deliveries)
        stack.push_async_callback(_close_in_time, consumers.close, settings.drain_timeout)
        await consumers.start()
        retention = Retention(store, settings.retention, clock=lambda: clock.oldest_time)
        stack.push_async_callback(retention.close)
        retention.start()
        yield OpenedLog(log, consumers, retention, clock, commits)


def msgqueue_app(
    settings: MsgQueueSettings,
    opened: OpenedLog,
    guard: Callable[[MakeHandler], MakeHandler] = lambda make_handler: make_handler,
) -> App:
    """Return the app that serves an opened log.

    Args:
        settings: Of msgqueue.
        opened: The log.
        guard: Returns what makes the handlers of the connections, from what would make them.
    """
    log, consumers, retention, clock, commits = opened

    def reload(changed: MsgQueueSettings) -> tuple[str, ...]:
        retention.replace(changed.retention)
        return ("retention",)

    registry = metrics.new_registry()
    commits.register(registry)
    show_consumers(registry, consumers)
    show_size(registry, settings.data_dir)
    push = PushEndpoint(log, max_content=settings.max_content, registry=registry)
    pop = PopEndpoint(log, consumers)
    queue = LocalQueue(log, consumers, buffer_bytes=settings.queue_buffer)
    show_log(registry, log, retention)
    show_clock(registry, clock)
    show_cluster(registry, lambda: log.cluster)
    return App(
        max_frame=settings.max_frame,
        metrics=registry,
        endpoints={
            "/pushmsg": Endpoint(
                make_handler=guard(push.open),
                services_only=True,
                is_one_way=True,
                receives=(NewMessage,),
                sends=(Ack, Refusal, DrainNotice),
            ),
            "/popmsg": Endpoint(
                make_handler=guard(pop.open), services_only=True, receives=(PopCommand,), sends=POP_FRAMES
            ),
        },
        posts={"/clock": partial(_accept_clock, clock)},
        descriptions={"/clock": CLOCK},
        notices=lambda: [clock.problem] if clock.problem else [],
        facts=partial(facts_of, settings, log, retention),
        readiness_problem=partial(_problem, log),
        drain=log.flush,
        reload=reload,
        follow_access=partial(queue.follow_topic, ACCESS_TOPIC),
    )


def _problem(log: Log) -> str | None:
    """Return why this msgqueue is not ready, or None."""
    return log.problem or (log.write_error and f"the log cannot be written: {log.write_error}")


async def _open_when_free(settings: MsgQueueSettings, open_store: OpenStore, clock: LogClock) -> Store:
    """Open the log, as soon as no other msgqueue holds it.

    Another msgqueue may be about to stop; it is waited for as long as the settings say.
    """
    deadline = asyncio.get_running_loop().time() + settings.lock_wait
    is_told = False
    while True:
        try:
            return await open_store(
                settings.data_dir,
                dedupe_window=settings.dedupe_window,
                disk_reserve=settings.disk_reserve,
                clock=clock,
            )
        except FolderInUse as error:
            if asyncio.get_running_loop().time() >= deadline:
                raise
            if not is_told:
                logger.warning("%s; waiting up to %g s for it", error, settings.lock_wait)
                is_told = True
        await asyncio.sleep(LOCK_RETRY_SECONDS)


async def _close_in_time(close: Callable[[], Awaitable[None]], timeout: float) -> None:
    """Close what may wait for the disk, unless that takes too long.

    What is not closed then is left to the next start.
    """
    try:
        async with asyncio.timeout(timeout):
            await close()
    except TimeoutError:
        logger.error("the disk does not answer: stopped without waiting for it")


async def _resume(clock: LogClock, store: Store) -> None:
    """Set the clock by the newest message."""
    newest = await store.headers(max(0, (await store.bounds()).last - 1), limit=1)
    if newest:
        clock.resume(newest[0].time / 1000)


async def _accept_clock(clock: LogClock, request: Request) -> Response:
    """Answer an operator who says that the clock is right."""
    if not request.user.is_service:
        raise Rejected(ErrorCode.FORBIDDEN, "only a user with the role service can confirm the clock")
    clock.accept()
    return PlainTextResponse("the clock is taken for right\n")
