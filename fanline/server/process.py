"""A service as a program: its command line, log, signals, memory, processes, and exit code."""

import asyncio
import gc
import logging
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NoReturn, Protocol

import uvloop

from fanline import settings as settings_module
from fanline.errors import EXIT_CONFIGURATION, CannotListen, ConfigurationError
from fanline.server import log
from fanline.server.service import App, Service
from fanline.server.workers import Workers, find_port
from fanline.settings import Settings


class Runnable(Protocol):
    """What a program runs: a service, from its start to its end."""

    async def start(self) -> None:
        """Begin to serve.

        Raises:
            ConfigurationError: If it cannot start as configured.
        """
        ...

    async def stop(self) -> None:
        """Finish what is in flight, and release everything."""
        ...


Make = Callable[[Settings], Runnable]

logger = logging.getLogger(__name__)

# New objects between two looks of the garbage collector. A service keeps tens of thousands of messages, and
# looking at them every 700 costs a fifth of its time; what a connection leaves behind needs no collector.
COLLECT_EVERY: Final = 50_000


def main(app_class: type[App], argv: Sequence[str] | None = None) -> None:
    """Run an app of the kernel as a program: the whole body of its ``__main__.py``.

    Exits as :func:`run_program` does.
    """
    run_program(
        app_class.name,
        (app_class.__doc__ or "").splitlines()[0],
        lambda settings: Service(app_class(settings)),
        argv,
        is_scalable=app_class.is_scalable,
    )


def run_program(
    name: str, description: str, make: Make, argv: Sequence[str] | None = None, *, is_scalable: bool = False
) -> None:
    """Run a service as a program.

    Exits with 0 after a signal, and with 2 and one sentence if it cannot start as configured.

    Args:
        name: The service.
        description: What it does, for ``--help``.
        make: Makes it; it is started, and stopped at SIGTERM or SIGINT.
        argv: The command line without the program's name; None for that of this process.
        is_scalable: Whether to run as many processes of it as the setting ``workers`` says.
    """
    try:
        settings = settings_module.load(
            sys.argv[1:] if argv is None else argv, program=f"python -m {name}", description=description
        )
        log.configure(name, settings.log_level)
        raise_file_limit()
        if is_scalable and settings.workers > 1:
            sys.exit(_run_workers(name, settings, make))
    except ConfigurationError as error:
        _give_up(name, error)
    _run(name, settings, make)


def raise_file_limit() -> None:
    """Allow this process as many open files, and so connections, as the system lets it have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _run(name: str, settings: Settings, make: Make) -> None:
    # What is there by now stays for ever.
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, make))
    except ConfigurationError as error:
        _give_up(name, error)


async def _serve(settings: Settings, make: Make) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    service = make(settings)
    await service.start()
    await stop.wait()
    logger.info("stopping")
    await service.stop()


def _run_workers(name: str, settings: Settings, make: Make) -> int:
    field = f"{name}_port"
    port = getattr(settings, field)
    try:
        shared = settings.model_copy(update={field: find_port(settings.host, port)})
    except OSError as error:
        raise CannotListen(name, settings.host, port, error) from error
    return Workers(settings.workers, partial(_run, name, shared, make)).run()


def _give_up(name: str, error: ConfigurationError) -> NoReturn:
    print(f"{name}: {error}", file=sys.stderr)  # noqa: T201 - before or instead of a log
    raise SystemExit(EXIT_CONFIGURATION) from None
