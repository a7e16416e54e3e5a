"""The cluster under test: two msgqueues on three NATS servers.

Every connection goes through a :class:`~fanline.verify.system.proxy.Proxy`, also those of each msgqueue to
each NATS server; the NATS servers reach each other directly::

    clients ──▶ publisher ──▶ both msgqueues ◀── subscriber ◀── clients
                                    │
                                    ▼
                            three NATS servers
"""

import os
import random
import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Final

from fanline import files
from fanline.errors import ConfigurationError
from fanline.security.client_tls import client_context
from fanline.server.child_process import environment_of
from fanline.verify.cluster import nats_servers
from fanline.verify.cluster.nats_servers import QUEUE_WAIT, SERVER_COUNT, NatsPorts
from fanline.verify.plan import Targets
from fanline.verify.system.installation import Installation, Place
from fanline.verify.system.processes import ServiceProcess
from fanline.verify.verdict.findings import Findings

QUEUES: Final = ("msgqueue-1", "msgqueue-2")
NATS: Final = tuple(f"nats-{number}" for number in range(SERVER_COUNT))

TARGETS: Final = Targets(
    (*NATS, *QUEUES, "publisher", "subscriber"),
    (
        "clients-publisher",
        "clients-subscriber",
        *(f"{edge}-{queue}" for edge, queue in product(("publisher", "subscriber"), QUEUES)),
        *(f"{queue}-{server}" for queue, server in product(QUEUES, NATS)),
    ),
)

# A msgqueue does not start while most NATS servers are away, which may happen just after it was started.
ATTEMPTS: Final = 5


class ClusterInstallation(Installation):
    """A cluster to be tested, during an ``async with`` block.

    The arguments are those of a pipeline.
    """

    def __init__(
        self, folder: Path, *, commands: Mapping[str, Sequence[str]], rng: random.Random, findings: Findings
    ) -> None:
        super().__init__(folder, commands=commands, rng=rng, findings=findings, targets=TARGETS)
        self._reserved = ExitStack()
        self._ports = NatsPorts.reserve(self._reserved)
        self._password_file = folder / "nats-password"

    @property
    def place(self) -> Place:
        """Addresses and login of the cluster, for clients."""
        return replace(super().place, patience=QUEUE_WAIT)

    async def leader(self) -> str:
        """Return the name of the journal's leading NATS server.

        This waits until there is one.
        """
        tls = client_context(self._folder / "certs")
        return NATS[await nats_servers.leader_of(self._ports, tls, "FANLINE")]

    async def __aexit__(self, *problem: object) -> None:
        await super().__aexit__(*problem)
        self._reserved.close()

    async def _launch(self, name: str) -> None:
        if name not in QUEUES:
            await super()._launch(name)
            return
        tls = client_context(self._folder / "certs")
        for attempt in range(1, ATTEMPTS + 1):
            await nats_servers.wait_for_servers(self._ports, tls)
            try:
                await super()._launch(name)
            except ConfigurationError:
                if attempt == ATTEMPTS:
                    raise
            else:
                return

    def _service(self, name: str) -> ServiceProcess:
        if name in NATS:
            return self._server(NATS.index(name))
        if name in QUEUES:
            return self._process(name, self._commands["msgqueue"], environment_of(self._queue_settings(name)))
        return super()._service(name)

    def _server(self, number: int) -> ServiceProcess:
        files.create(self._password_file, secrets.token_urlsafe(24).encode())
        path = nats_servers.write_configuration(self._folder, self._folder / "certs", self._ports, number)
        password = self._password_file.read_text()
        return self._process(
            NATS[number],
            nats_servers.command_of(self._folder, path),
            nats_servers.environment_of(os.environ, password),
            port=self._ports[number].client,
        )

    def _queue_settings(self, name: str) -> dict[str, object]:
        links = [self._url(f"{name}-{server}").replace("wss", "tls") for server in NATS]
        return self._settings("msgqueue") | {
            "data_dir": self._folder / name,
            "store": "jetstream",
            "nats_urls": ",".join(links),
            "nats_monitor_urls": ",".join(each.monitor_url for each in self._ports),
            "nats_user": nats_servers.USER,
            "nats_password_file": self._password_file,
        }

    def _settings(self, name: str) -> dict[str, object]:
        return super()._settings(name) | {"queue_wait": QUEUE_WAIT}
