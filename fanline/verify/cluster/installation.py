"""The cluster under test: two msgqueues on three NATS servers.

Every connection goes through a :class:`~fanline.verify.system.proxy.Proxy`, also those of each msgqueue to
each NATS server, and of each NATS server to each other one::

    clients ──▶ publisher ──▶ both msgqueues ◀── subscriber ◀── clients
                                    │
                                    ▼
                            three NATS servers

So a partition needs no rights. A full disk does: with those of root, one msgqueue and one NATS server have a
small disk of their own.
"""

import asyncio
import os
import random
import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from typing import Final, Self

from fanline import files
from fanline.errors import ConfigurationError
from fanline.security.client_tls import client_context
from fanline.server.child_process import environment_of
from fanline.verify.cluster import copies, nats_servers, shifted_clock
from fanline.verify.cluster.disk import SmallDisk
from fanline.verify.cluster.nats_servers import QUEUE_WAIT, SERVER_COUNT, NatsPorts
from fanline.verify.cluster.step_down import step_down
from fanline.verify.plan import LEADER, Fault, Targets
from fanline.verify.system.installation import Installation, Place
from fanline.verify.system.processes import ServiceProcess
from fanline.verify.verdict.findings import Findings

QUEUES: Final = ("msgqueue-1", "msgqueue-2")
NATS: Final = tuple(f"nats-{number}" for number in range(SERVER_COUNT))
STREAM: Final = "FANLINE"

ROUTES: Final = tuple(f"{server}-{other}" for server, other in permutations(NATS, 2))

# The processes that have a disk of their own, if this process may mount one.
SMALL_DISKS: Final = (QUEUES[-1], NATS[-1])

# The wrong time of day of a msgqueue, in seconds.
CLOCK_JUMP: Final = 3_600.0

TARGETS: Final = Targets(
    (*NATS, *QUEUES, "publisher", "subscriber"),
    (
        "clients-publisher",
        "clients-subscriber",
        *(f"{edge}-{queue}" for edge, queue in product(("publisher", "subscriber"), QUEUES)),
        *(f"{queue}-{server}" for queue, server in product(QUEUES, NATS)),
    ),
    (
        *product((Fault.KILL, Fault.FREEZE), (LEADER,)),
        *product((Fault.PARTITION,), (*NATS, *QUEUES)),
        *product((Fault.ISOLATE,), NATS),
        *product((Fault.CLOCK,), QUEUES),
        (Fault.STEP_DOWN, "the journal"),
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
        self._own = ExitStack()
        self._disks = self._mount(folder)
        full = tuple(product((Fault.FULL_DISK,), self._disks))
        targets = replace(TARGETS, special=TARGETS.special + full)
        super().__init__(
            folder, commands=commands, rng=rng, findings=findings, targets=targets, inner_links=ROUTES
        )
        self.special = {
            Fault.PARTITION: self._partition,
            Fault.ISOLATE: self._isolate,
            Fault.CLOCK: self._shift_clock,
            Fault.STEP_DOWN: self._step_down,
            Fault.FULL_DISK: self._fill_disk,
        }
        self._rng = rng
        self._ports = NatsPorts.reserve(self._own)
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
        return NATS[await nats_servers.leader_of(self._ports, tls, STREAM)]

    async def hit_by(self, target: str) -> Sequence[str]:
        """See :meth:`Installation.hit_by`."""
        return (await self.leader(),) if target == LEADER else await super().hit_by(target)

    async def compare(self) -> None:
        """See :meth:`Installation.compare`."""
        logs = {name: self._folder / name / "log.sqlite3" for name in QUEUES}
        await copies.compare_logs(logs, self._findings)
        tls = client_context(self._folder / "certs")
        await copies.compare_journals(self._ports, tls, STREAM, self._findings)

    async def __aenter__(self) -> Self:
        try:
            return await super().__aenter__()
        except BaseException:
            self._own.close()
            raise

    async def __aexit__(self, *problem: object) -> None:
        await super().__aexit__(*problem)
        self._own.close()

    def _mount(self, folder: Path) -> dict[str, SmallDisk]:
        """Return the small disks by process; none if they cannot be mounted."""
        disks = {name: SmallDisk.mount(_data_folder(folder, name)) for name in SMALL_DISKS}
        mounted = {name: disk for name, disk in disks.items() if disk is not None}
        for disk in mounted.values():
            self._own.callback(disk.unmount)
        return mounted

    # Faults.

    async def _partition(self, target: str, seconds: float) -> None:
        ends = tuple(
            name for name in self.links if name.startswith(f"{target}-") or name.endswith(f"-{target}")
        )
        await asyncio.gather(*(self.links[name].stall(seconds) for name in ends))

    async def _isolate(self, target: str, seconds: float) -> None:
        pairs = [pair for pair in permutations(NATS, 2) if target in pair]
        await asyncio.gather(*(self.links["-".join(pair)].stall(seconds) for pair in pairs))

    async def _shift_clock(self, target: str, seconds: float) -> None:
        clock = self._clock_file(target)
        shifted_clock.shift(clock, self._rng.choice((-CLOCK_JUMP, CLOCK_JUMP)))
        await asyncio.sleep(seconds)
        shifted_clock.shift(clock, 0.0)

    async def _step_down(self, _: str, __: float) -> None:
        tls = client_context(self._folder / "certs")
        url = self._rng.choice(self._ports).url
        await step_down(url, tls, self._password_file.read_text(), STREAM)

    async def _fill_disk(self, target: str, seconds: float) -> None:
        disk = self._disks[target]
        disk.fill()
        await asyncio.sleep(seconds)
        disk.free()
        if target in NATS:  # it has switched JetStream off, and does not try again
            await self.terminate(target)
            await self.start(target)

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
            return self._queue(name)
        return super()._service(name)

    def _queue(self, name: str) -> ServiceProcess:
        clock = self._clock_file(name)
        shifted_clock.shift(clock, 0.0)
        command = shifted_clock.command_of(clock, self._commands["msgqueue"])
        return self._process(name, command, environment_of(self._queue_settings(name)))

    def _clock_file(self, name: str) -> Path:
        return self._folder / f"{name}.clock"

    def _server(self, number: int) -> ServiceProcess:
        files.create(self._password_file, secrets.token_urlsafe(24).encode())
        name = NATS[number]
        path = nats_servers.write_configuration(
            self._folder,
            self._folder / "certs",
            self._ports,
            number,
            routes=[self.links[f"{name}-{other}"].port for other in NATS if other != name],
        )
        password = self._password_file.read_text()
        return self._process(
            name,
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

    def _point(self, service: str, port: int | None) -> None:
        super()._point(service, port)
        if service in NATS and port is not None:
            for other in NATS:
                if other != service:
                    self.links[f"{other}-{service}"].target = self._ports[NATS.index(service)].route

    def _settings(self, name: str) -> dict[str, object]:
        return super()._settings(name) | {"queue_wait": QUEUE_WAIT}


def _data_folder(folder: Path, name: str) -> Path:
    return folder / (f"n{NATS.index(name)}" if name in NATS else name)
