"""``fanline up --cluster``: three NATS servers, two of each service, one machine."""

import os
import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Self

from rich.console import Console

from fanline import files, setting_sources
from fanline.cli.up.children import Child, run_children
from fanline.cli.up.pipeline import (
    COLORS,
    PipelineSettings,
    create_keys,
    make_certificates,
    make_console,
    stop_timeout,
    url_of,
    welcome,
)
from fanline.security.client_tls import client_context
from fanline.server.child_process import module_command
from fanline.setting_sources import Sources
from fanline.settings import ServiceSettings
from fanline.verify.cluster import nats_servers
from msgqueue.settings import MsgQueueSettings

# How far the ports of the second installation are from those of the first.
PORT_STEP: Final = 10


class Cluster:
    """Two of each service, and the NATS servers of the msgqueues.

    :meth:`read` makes it.

    Args:
        halves: The services, twice.
        ports: The ports of the NATS servers.
        folder: Where the NATS servers and the msgqueues keep their data.
    """

    def __init__(
        self, halves: Sequence[PipelineSettings], ports: Sequence[nats_servers.NatsPorts], folder: Path
    ) -> None:
        self._halves = halves
        self._ports = ports
        self._folder = folder

    @classmethod
    def read(cls, sources: Sources, reserved: ExitStack) -> Self:
        """Read the settings; ``reserved`` keeps free ports for the processes.

        Raises:
            ConfigurationError: If a setting is wrong, or there is no free port.
        """
        halves = [PipelineSettings.read(sources, reserved, step=step) for step in (0, PORT_STEP)]
        ports = nats_servers.NatsPorts.reserve(reserved)
        return cls(halves, ports, halves[0].msgqueue.data_dir.with_name("cluster"))

    @property
    def first(self) -> PipelineSettings:
        """The services that have the usual ports."""
        return self._halves[0]

    async def run(self, argv: Sequence[str]) -> None:
        """Run the cluster until SIGINT or SIGTERM.

        Args:
            argv: The flags to pass to every service.

        Raises:
            ConfigurationError: If it cannot start as configured.
        """
        common, console = self.first.chat, make_console()
        nats_servers.find_program()
        await make_certificates(common)
        create_keys(common)
        servers = self._servers()
        await run_children(
            [*self._services(argv), *servers],
            console,
            partial(self._welcome, console),
            stop_timeout=stop_timeout(common),
        )

    @property
    def _password_file(self) -> Path:
        return self._folder / "nats-password"

    def _services(self, argv: Sequence[str]) -> list[Child]:
        """Return the services in the order in which messages pass them."""
        pairs = zip(*(half.services for half in self._halves), strict=True)
        return [self._service(each, index, argv) for pair in pairs for index, each in enumerate(pair)]

    def _service(self, service: ServiceSettings, index: int, argv: Sequence[str]) -> Child:
        half = self._halves[index]
        flags = [*argv, *half.flags()]
        child = Child(
            name=f"{service.service}-{index + 1}",
            color=COLORS[service.service],
            command=module_command(service.service, *flags),
            environment=half.environment() | self._environment(),
            service=service,
        )
        if not isinstance(service, MsgQueueSettings):
            return child
        # It would end with an error while most of the NATS servers cannot be asked.
        wait = partial(nats_servers.wait_for_servers, self._ports, client_context(service.cert_dir))
        folder = str(self._folder / f"q{index + 1}")
        return replace(child, command=[*child.command, "--data-dir", folder], prerequisite=wait)

    def _environment(self) -> dict[str, str]:
        values = {
            "queue_url": ",".join(url_of(half.msgqueue) for half in self._halves),
            "store": "jetstream",
            "nats_urls": ",".join(each.url for each in self._ports),
            "nats_monitor_urls": ",".join(each.monitor_url for each in self._ports),
            "nats_user": nats_servers.USER,
            "nats_password_file": str(self._password_file),
        }
        queue_wait = setting_sources.variable_of("queue_wait")
        return {queue_wait: os.environ.get(queue_wait, f"{nats_servers.QUEUE_WAIT:g}")} | {
            setting_sources.variable_of(name): value for name, value in values.items()
        }

    def _servers(self) -> list[Child]:
        files.create(self._password_file, f"{secrets.token_urlsafe(24)}\n".encode())
        environment = nats_servers.environment_of(os.environ, self._password_file.read_text().strip())
        return [
            Child(
                name=f"nats-{number}",
                color="blue",
                command=nats_servers.command_of(
                    self._folder,
                    nats_servers.write_configuration(
                        self._folder, self.first.chat.cert_dir, self._ports, number
                    ),
                ),
                environment=environment,
            )
            for number in range(nats_servers.SERVER_COUNT)
        ]

    def _welcome(self, console: Console) -> None:
        welcome(self.first, console)
        others = self._halves[1]
        console.print(
            f"""\
The second of each:

  publish to      {url_of(others.publisher)}/publish
  subscribe at    {url_of(others.subscriber)}/subscribe
  chat            [bold]{url_of(others.chat).replace("wss", "https")}/[/]

Now kill any one of the eleven processes (`kill -9`); each has said its number above, and is started again.
"""
        )
