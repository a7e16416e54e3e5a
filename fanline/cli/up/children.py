"""Processes of an installation: started, announced, restarted, and stopped in order."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.markup import escape

from fanline.errors import ConfigurationError, Disconnected
from fanline.server.child_process import ChildProcess, Supervisor
from fanline.server.healthcheck import check
from fanline.server.process import signaled_to_stop
from fanline.settings import ServiceSettings

READY_POLL_SECONDS: Final = 0.1
SLOW_START_SECONDS: Final = 20.0

# How much longer than its own limit a child may take to stop before it is killed.
STOP_GRACE: Final = 3.0


async def _nothing() -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Child:
    """One process of an installation.

    Attributes:
        name: Shown before the lines of its log.
        color: Of the name.
        command: Starts it.
        environment: All of its environment variables.
        service: Its settings; None for a program that is none of our services.
        prerequisite: Returns when it can be started.
    """

    name: str
    color: str
    command: Sequence[str]
    environment: Mapping[str, str]
    service: ServiceSettings | None = None
    prerequisite: Callable[[], Awaitable[None]] = _nothing


async def run_children(
    children: Sequence[Child], console: Console, welcome: Callable[[], None], *, stop_timeout: float
) -> None:
    """Run processes until SIGINT or SIGTERM, restarting those that die.

    SIGHUP tells all services to reload.

    Args:
        children: The processes, in the order in which to stop them.
        console: Where their logs go.
        welcome: Called once all services are ready.
        stop_timeout: Seconds that each may take to stop.

    Raises:
        ConfigurationError: If a service cannot start as configured; it has said why on standard error.
    """
    stop = signaled_to_stop()
    width = max(len(child.name) for child in children)
    supervisors = [_supervise(child, console, width) for child in children]
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, supervisors)
    services = {child.name: child.service for child in children if child.service is not None}
    listening = [each for each, child in zip(supervisors, children, strict=True) if child.service is not None]
    failure: ConfigurationError | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each.run(stop_timeout)) for each in supervisors]
            announcing = tasks.create_task(_announce(listening, services, console, welcome))
            await stop.wait()
            announcing.cancel()
            for supervisor, task in zip(supervisors, running, strict=True):
                supervisor.stop()
                await asyncio.wait([task])
    except* ConfigurationError as group:
        # Raised only below: raised here, Python 3.11.2 would wrap it in a group again.
        failure = next(error for error in group.exceptions if isinstance(error, ConfigurationError))
    if failure is not None:
        raise failure


def _supervise(child: Child, console: Console, width: int) -> Supervisor:
    is_json = child.service is not None and child.service.log_format == "json"

    def say(text: str) -> None:
        begin = "" if is_json else f"[{child.color}]{child.name:>{width}} │[/] "
        console.print(f"{begin}{escape(text)}")

    async def spawn() -> ChildProcess:
        await child.prerequisite()
        process = await ChildProcess.spawn(
            child.command, child.environment, lambda line: say(line.decode(errors="replace").rstrip())
        )
        say(f"runs as process {process.pid}")
        return process

    return Supervisor(child.name, spawn, say)


async def _announce(
    supervisors: Sequence[Supervisor],
    services: Mapping[str, ServiceSettings],
    console: Console,
    welcome: Callable[[], None],
) -> None:
    """Announce that every service is ready; until then, report others.

    The services that are not ready are reported every 20 seconds.
    """
    for supervisor in supervisors:
        await supervisor.has_listened.wait()  # before that, another installation may answer on its port
    waited = 0.0
    while problems := await asyncio.to_thread(_not_ready, services):
        await asyncio.sleep(READY_POLL_SECONDS)
        waited += READY_POLL_SECONDS
        if waited >= SLOW_START_SECONDS:
            console.print(f"[bold]Still waiting:[/] {escape('; '.join(problems))}")
            waited = 0.0
    welcome()


def _not_ready(services: Mapping[str, ServiceSettings]) -> list[str]:
    problems = []
    for service in services.values():
        try:
            secret = service.link_secret()
            check(service, "/readyz", None if secret is None else (service.link_user, secret))
        except Disconnected as error:
            problems.append(str(error))
    return problems


def _reload(supervisors: Sequence[Supervisor]) -> None:
    """Tell all services to read settings and files again."""
    for supervisor in supervisors:
        supervisor.reload()
