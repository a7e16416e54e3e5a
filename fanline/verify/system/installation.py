"""The pipeline under test: a running one, or a temporary one.

In a temporary one every connection goes through a :class:`~fanline.verify.system.proxy.Proxy`, from clients
to the services as from service to service::

    clients ──▶ publisher ──▶ msgqueue ◀── subscriber ◀── clients
"""

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from fanline.errors import ConfigurationError
from fanline.security.client_tls import client_context
from fanline.server.child_process import environment_of, module_command
from fanline.setting_sources import section_of
from fanline.settings import DEMO_PASSWORD, DEMO_USER
from fanline.verify.plan import EVERYTHING, PIPELINE_TARGETS, TESTED, Fault, Targets
from fanline.verify.system.processes import ServiceProcess
from fanline.verify.system.proxy import Proxy
from fanline.verify.verdict.findings import Breach, Findings

COMMANDS: Final[Mapping[str, Sequence[str]]] = {name: module_command(name) for name in TESTED}

_QUEUE_WAIT: Final = 4.0
DRAIN_TIMEOUT: Final = 4.0

# Short enough for the faults to exceed them, and for a short run to see what happens then; and little
# memory, so that those who come back are served from the store as well.
_SETTINGS: Final[Mapping[str, object]] = {
    "ping_interval": 1,
    "event_heartbeat": 1,
    "silence_limit": 3,
    "queue_wait": _QUEUE_WAIT,
    "drain_timeout": DRAIN_TIMEOUT,
    "recent_bytes": 262_144,
}

# How much longer than its own limit a service may take to stop.
_STOP_GRACE: Final = 6.0


@dataclass(frozen=True)
class Place:
    """A pipeline's addresses, and a login.

    Attributes:
        publisher_url: Where to publish, ``wss://HOST:PORT``.
        subscriber_url: Where to subscribe.
        user: Who to log in as.
        password: The password.
        tls: How to verify the services.
        patience: Seconds after which they refuse what has to wait for msgqueue.
    """

    publisher_url: str
    subscriber_url: str
    user: str
    password: str = field(repr=False)
    tls: ssl.SSLContext
    patience: float


class Installation:
    """Three services of our own, while an ``async with`` block runs.

    Args:
        folder: Where they keep everything.
        commands: The command lines that run them.
        rng: Decides where connections are torn.
        findings: Where to note those that end by themselves.
        targets: The names of its services and links.
        inner_links: Those of further links, which only special faults befall.

    Attributes:
        targets: As given.
        links: By name; their other ends are kept up to date.
        special: How to inject the faults that only this kind of installation knows: with what each befalls,
            and for how many seconds.
        services: By name.
        stop_timeout: Seconds within which a service must have stopped.
    """

    def __init__(
        self,
        folder: Path,
        *,
        commands: Mapping[str, Sequence[str]],
        rng: random.Random,
        findings: Findings,
        targets: Targets = PIPELINE_TARGETS,
        inner_links: Iterable[str] = (),
    ) -> None:
        self.targets = targets
        self.links = {name: Proxy(rng) for name in (*targets.links, *inner_links)}
        self.special: Mapping[Fault, Callable[[str, float], Awaitable[None]]] = {}
        self.services: dict[str, ServiceProcess] = {}
        self.stop_timeout = DRAIN_TIMEOUT + _STOP_GRACE
        self._folder = folder
        self._commands = commands
        self._findings = findings
        self._opened = AsyncExitStack()

    @property
    def place(self) -> Place:
        """Addresses and login of the pipeline, for clients."""
        return Place(
            publisher_url=self._url("clients-publisher"),
            subscriber_url=self._url("clients-subscriber"),
            user=DEMO_USER,
            password=DEMO_PASSWORD,
            tls=client_context(self._folder / "certs"),
            patience=_QUEUE_WAIT,
        )

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            await make_certificates(self._folder / "certs")
            for link in self.links.values():
                await link.start()
                opened.push_async_callback(link.close)
            for name in self.targets.services:
                self.services[name] = self._service(name)
                opened.push_async_callback(self.services[name].kill)
            await self._start_all()
            self._opened = opened.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._opened.aclose()

    async def _start_all(self) -> None:
        starting = (self._launch(name) for name in self.targets.services)
        for outcome in await asyncio.gather(*starting, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def hit_by(self, target: str) -> Sequence[str]:
        """Return the services or links that a target stands for."""
        return self.targets.services if target == EVERYTHING else (target,)

    async def terminate(self, name: str) -> None:
        """Stop a service with SIGTERM, noting a late or failed end."""
        limit = self.stop_timeout
        code = await self.services[name].terminate(limit)
        if code is None:
            self._findings.add(Breach.UNCLEAN_STOP, f"{name}: still there after {limit:g} s")
        elif code != 0:
            self._findings.add(Breach.UNCLEAN_STOP, f"{name}: exit code {code}")

    async def start(self, name: str) -> None:
        """Start a service, unless it runs."""
        if not self.services[name].is_running:
            try:
                await self._launch(name)
            except ConfigurationError as error:
                self._findings.add(Breach.DIED, str(error))

    async def compare(self) -> None:
        """Note where copies of the log differ; here there is only one."""

    async def _launch(self, name: str) -> None:
        """Start a service; raise ConfigurationError if it does not start."""
        await self.services[name].start()

    def _service(self, name: str) -> ServiceProcess:
        links = [link for link in self.links if link.startswith(f"{name}-msgqueue")]
        queue = {"queue_url": ",".join(map(self._url, links))} if links else {}
        return self._process(name, self._commands[name], environment_of(self._settings(name) | queue))

    def _settings(self, name: str) -> dict[str, object]:
        return {
            **_SETTINGS,
            "cert_dir": self._folder / "certs",
            "data_dir": self._folder / "data",
            section_of(name).name_of("port"): 0,
        }

    def _process(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], port: int | None = None
    ) -> ServiceProcess:
        return ServiceProcess(
            name,
            command,
            environment,
            log=self._folder / f"{name}.log",
            on_port=lambda port: self._point(name, port),
            on_death=lambda code: self._findings.add(Breach.DIED, f"{name}: exit code {code}"),
            port=port,
        )

    def _point(self, service: str, port: int | None) -> None:
        """Lead the links to a service to where it listens now."""
        for name, link in self.links.items():
            if name.endswith(f"-{service}"):
                link.target = port

    def _url(self, link: str) -> str:
        return f"wss://localhost:{self.links[link].port}"


async def make_certificates(folder: Path) -> None:
    """Make the certificates of an installation.

    Raises:
        ConfigurationError: If none can be made.
    """
    making = await asyncio.create_subprocess_exec(
        *module_command("certs", "make", "--dir", str(folder)), env=environment_of({}),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await making.communicate()
    if making.returncode != 0:
        raise ConfigurationError(f"no certificates could be made: {said.decode().strip()}")
