"""A service as a program: command line, signals, workers, readiness, exit code."""

import asyncio
import contextlib
import ctypes
import faulthandler
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, NoReturn, Protocol, TypeVar

import uvloop

from fanline import setting_sources
from fanline.errors import EXIT_CONFIGURATION, CannotListen, ConfigurationError
from fanline.server import log
from fanline.server.front.reloader import ReadSettings
from fanline.server.workers import IGNORED_SIGNALS, Workers, find_port
from fanline.settings import READY_FD_VARIABLE, ServiceSettings
from fanline.tasks import running_task


class Running(Protocol):
    """A service that has started."""

    @property
    def port(self) -> int:
        """Port that it listens on."""
        ...

    def reload(self, read: ReadSettings) -> None:
        """Read settings and files again.

        Args:
            read: Reads the settings of a kind; raises ConfigurationError if any is wrong.
        """
        ...

    async def retire(self) -> None:
        """Announce the stop, for as long as the settings say."""
        ...

    async def stop(self) -> None:
        """Finish what is in progress, and release everything."""
        ...


SomeSettings = TypeVar("SomeSettings", bound=ServiceSettings)

logger = logging.getLogger(__name__)

# New objects between two runs of the garbage collector. A service keeps tens of thousands of messages, and
# scanning them after every 700 costs a fifth of its time; a closed connection leaves no cycles to collect.
COLLECT_EVERY: Final = 50_000

# Signs of life within the time after which systemd takes a process for dead.
WATCHDOG_SIGNS: Final = 4

# How often freed memory is returned to the system, and by how much a process must have grown for that.
TRIM_SECONDS: Final = 5.0
TRIM_BYTES: Final = 16 << 20


def run_program(
    section: type[SomeSettings],
    description: str,
    start: Callable[[SomeSettings], Awaitable[Running]],
    argv: Sequence[str] | None = None,
    *,
    is_scalable: bool = False,
) -> None:
    """Run a service as a program.

    Exits with 0 after SIGTERM or SIGINT, and with 2 and one sentence if it cannot start as configured.

    Args:
        section: The settings of the service.
        description: What it does, for ``--help``.
        start: Starts it; it is stopped at the signal.
        argv: The command line without the program's name; None for that of this process.
        is_scalable: Whether to run as many processes of it as the setting ``workers`` says.
    """
    name = section.service
    read = partial(
        setting_sources.load,
        argv=sys.argv[1:] if argv is None else argv,
        program=f"python -m {name}",
        description=description,
    )
    try:
        settings = read(section)
        log.configure(name, settings.log_level, settings.log_format)
        setting_sources.log_injected_variables()
        raise_file_limit()
        if is_scalable and settings.workers > 1:
            sys.exit(_run_workers(settings, start, read))
    except ConfigurationError as error:
        _give_up(name, error)
    run(name, partial(start, settings), read)


def signaled_to_stop() -> asyncio.Event:
    """Return what SIGTERM or SIGINT sets from now on."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def raise_file_limit() -> None:
    """Raise this process's limit of open files as far as allowed.

    Each connection needs one.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def report_ready(port: int) -> None:
    """Tell the parent process and systemd that this service listens.

    The parent gets one line with the port on the descriptor that FANLINE_READY_FD names, if any.

    Raises:
        ConfigurationError: If there is no such descriptor.
    """
    if descriptor := os.environ.pop(READY_FD_VARIABLE, None):
        try:
            with open(int(descriptor), "w") as pipe:
                pipe.write(f"{port}\n")
        except (ValueError, OSError) as error:
            raise ConfigurationError(f"{READY_FD_VARIABLE}: {error}") from error
    notify_systemd("READY=1")


def notify_systemd(state: str) -> None:
    """Send a state to systemd, if it started this process.

    As sd_notify(3) does, for ``Type=notify``.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    # A name that begins with @ is in the abstract namespace, which the kernel marks by a null byte.
    address = f"\0{address[1:]}" if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifying, contextlib.suppress(OSError):
        notifying.sendto(state.encode(), address)


class SignsOfLife(NamedTuple):
    """Signs that the event loop of a process runs.

    Attributes:
        interval: Seconds between two signs.
        give: Gives one.
    """

    interval: float
    give: Callable[[], object]


def watchdog() -> SignsOfLife | None:
    """Return the signs of life that systemd's ``WatchdogSec`` requires, if any."""
    microseconds, pid = (os.environ.get(name, "") for name in ("WATCHDOG_USEC", "WATCHDOG_PID"))
    if not microseconds.isdigit() or pid not in ("", str(os.getpid())):
        return None
    # Within the time of one, so that one may be late.
    interval = int(microseconds) / 1e6 / WATCHDOG_SIGNS
    return SignsOfLife(interval, partial(notify_systemd, "WATCHDOG=1"))


def read_resident() -> int:
    """Return this process's resident bytes; 0 if the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


def trim_heap() -> None:
    """Return freed memory to the system, if the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class FreedMemory:
    """Returns freed memory to the system, after a process has grown.

    The C library keeps what is freed between things that are in use: without this a service stays as large as
    the largest burst of messages, or of connections, has made it.

    Args:
        read_resident: Returns the memory that the process has, in bytes.
        trim: Returns what is free.
    """

    def __init__(
        self, read_resident: Callable[[], int] = read_resident, trim: Callable[[], None] = trim_heap
    ) -> None:
        self._read_resident = read_resident
        self._trim = trim
        self._least = read_resident()

    def look(self) -> None:
        """Return freed memory if the process has grown.

        The cost depends on how much is returned.
        """
        if self._read_resident() > self._least + TRIM_BYTES:
            self._trim()
        self._least = min(self._least, self._read_resident())


async def _return_freed_memory() -> None:
    freed = FreedMemory()
    while True:
        await asyncio.sleep(TRIM_SECONDS)
        freed.look()


def run(
    name: str,
    start: Callable[[], Awaitable[Running]],
    read: ReadSettings,
    on_ready: Callable[[int], None] = report_ready,
    signs: SignsOfLife | None = None,
) -> None:
    """Run a service until SIGTERM or SIGINT, in a new event loop.

    Exits with 2 and one sentence if it cannot start as configured.

    Args:
        name: What stands before that sentence.
        start: Starts the service; it is stopped at the signal.
        read: Reads the settings of a kind again, at SIGHUP.
        on_ready: Called with its port when it listens.
        signs: What it gives from then on; None for what systemd awaits.
    """
    signs = signs or watchdog()
    if signs is not None:
        faulthandler.enable()  # systemd aborts a process that hangs: the log then has where
    # What exists now lives as long as the process.
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)
    try:
        with log.background(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(start, read, on_ready, signs))
    except ConfigurationError as error:
        _give_up(name, error)


async def _serve(
    start: Callable[[], Awaitable[Running]],
    read: ReadSettings,
    on_ready: Callable[[int], None],
    signs: SignsOfLife | None,
) -> None:
    stop = signaled_to_stop()
    loop = asyncio.get_running_loop()
    for number in IGNORED_SIGNALS:
        loop.add_signal_handler(number, logger.info, "%s: ignored", number.name)
    service = await start()
    loop.add_signal_handler(signal.SIGHUP, service.reload, read)
    on_ready(service.port)
    async with contextlib.AsyncExitStack() as tasks:
        await tasks.enter_async_context(running_task(_return_freed_memory()))
        if signs is not None:
            await tasks.enter_async_context(running_task(_give(signs)))
        await stop.wait()
        logger.info("stopping")
        notify_systemd("STOPPING=1")
        await service.retire()
        await service.stop()


async def _give(signs: SignsOfLife) -> None:
    while True:
        signs.give()
        await asyncio.sleep(signs.interval)


def _run_workers(
    settings: SomeSettings, start: Callable[[SomeSettings], Awaitable[Running]], read: ReadSettings
) -> int:
    try:
        port = find_port(settings.host, settings.port)
    except OSError as error:
        raise CannotListen(settings.name_of("port"), settings.host, settings.port, error) from error

    signs = watchdog()

    def work(number: int, on_ready: Callable[[int], None], give_sign: Callable[[], object]) -> None:
        run(
            settings.service,
            partial(start, worker_settings(settings, port, number)),
            lambda section: worker_settings(read(section), port, number),
            on_ready,
            signs and SignsOfLife(signs.interval, give_sign),
        )

    workers = Workers(
        settings.workers,
        work,
        on_ready=lambda: report_ready(port),
        on_alive=signs.give if signs is not None else lambda: None,
    )
    return workers.run()


def worker_settings(settings: SomeSettings, port: int, number: int) -> SomeSettings:
    """Return one worker's settings: a shared port, its own metrics port.

    Args:
        settings: Of the service.
        port: The port that the workers share.
        number: Of the worker, from 0 on.
    """
    metrics_port = settings.metrics_port and settings.metrics_port + number
    return settings.model_copy(update={"port": port, "metrics_port": metrics_port})


def _give_up(name: str, error: ConfigurationError) -> NoReturn:
    print(f"{name}: {error}", file=sys.stderr)  # noqa: T201 - before or instead of a log
    raise SystemExit(EXIT_CONFIGURATION) from None
