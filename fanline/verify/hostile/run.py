"""One run: services by default settings, a hostile and a good client."""

import asyncio
import os
import secrets
import shutil
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from fanline.client import Publisher, Subscriber, check_ready
from fanline.errors import Disconnected
from fanline.security.client_tls import client_context
from fanline.security.users import User, UsersFile
from fanline.server.child_process import environment_of
from fanline.setting_sources import section_of
from fanline.tasks import running_task
from fanline.verify.hostile.attacker import Order
from fanline.verify.hostile.attacks import ATTACKS
from fanline.verify.hostile.machine import CpuTimes
from fanline.verify.hostile.report import MAX_GROWTH_MIB, HostileReport, Phase
from fanline.verify.hostile.witness import WITNESS_TOPIC, Waits, Witness, quantile
from fanline.verify.plan import TESTED
from fanline.verify.system.installation import COMMANDS, make_certificates
from fanline.verify.system.processes import ServiceProcess

SERVICE, WITNESS, ATTACKER = "services", "witness", "attacker"

# Messages that are in the log before, for those who read all of it.
OLD_MESSAGES: Final = 20_000

FINISH_SECONDS: Final = 60.0
HEALTH_SECONDS: Final = 10.0
SAMPLE_SECONDS: Final = 0.1

# Of the time of each attack; the rest is without one, to compare with.
ATTACK_SHARE: Final = 0.75

# For so long the services may still do what an attack has left them, and return memory.
SETTLE_SECONDS: Final = 10.0

_ATTACKER: Final = (sys.executable, "-m", "fanline.verify.hostile.attacker")


class HostileRun:
    """Attacks services of its own, one attack after the other.

    Args:
        duration: Seconds of all attacks together.
        keep: Whether to keep the files of the services in any case.
        attacks: The names of the attacks.
        commands: The command lines of the services.
        old_messages: Messages that are in the log before.

    Attributes:
        phase: The present attack, in words.
    """

    def __init__(
        self,
        *,
        duration: float,
        keep: bool = False,
        attacks: Sequence[str] = tuple(ATTACKS),
        commands: Mapping[str, Sequence[str]] = COMMANDS,
        old_messages: int = OLD_MESSAGES,
    ) -> None:
        self.phase = "starting"
        self._attacks = attacks
        self._seconds = duration / (1 + len(attacks))
        self._keep = keep
        self._commands = commands
        self._old_messages = old_messages
        self._troubles: list[str] = []
        self._services: dict[str, ServiceProcess] = {}
        self._ports: dict[str, int] = {}

    async def perform(self) -> HostileReport:
        """Attack, and return what was noticed.

        Raises:
            ConfigurationError: If the services do not start.
        """
        folder = Path(tempfile.mkdtemp(prefix="fanline-hostile-"))
        is_kept = True
        try:
            async with self._running_services(folder):
                report = await self._attack(folder)
            is_kept = self._keep or not report.ok
        finally:
            if not is_kept:
                shutil.rmtree(folder)
        return msgspec.structs.replace(report, folder=str(folder) if is_kept else None)

    @asynccontextmanager
    async def _running_services(self, folder: Path) -> AsyncIterator[None]:
        await make_certificates(folder / "certs")
        users = UsersFile(folder / "users")
        self._passwords = {name: secrets.token_urlsafe(9) for name in (SERVICE, WITNESS, ATTACKER)}
        for name, password in self._passwords.items():
            users.put(User(name, is_service=name == SERVICE), password, cost=4)
        async with AsyncExitStack() as opened:
            for name in TESTED:
                self._services[name] = self._service(name, folder)
                opened.push_async_callback(self._services[name].kill)
                await self._services[name].start()
            yield

    def _service(self, name: str, folder: Path) -> ServiceProcess:
        settings = {
            "cert_dir": folder / "certs",
            "data_dir": folder / "data",
            "users_file": folder / "users",
            "token_key_file": folder / "token.key",
            "link_user": SERVICE,
            "link_password": self._passwords[SERVICE],
            "queue_url": f"wss://localhost:{self._ports.get('msgqueue', 1)}",
            section_of(name).name_of("port"): 0,
        }
        return ServiceProcess(
            name,
            self._commands[name],
            environment_of(settings),
            log=folder / f"{name}.log",
            on_port=lambda port: self._ports.update({name: port or 0}),
            on_death=lambda code: self._troubles.append(f"{name} has ended: exit code {code}"),
        )

    async def _attack(self, folder: Path) -> HostileReport:
        tls = client_context(folder / "certs")
        login: dict[str, Any] = {"user": WITNESS, "password": self._passwords[WITNESS], "tls": tls}
        async with (
            Publisher(self._url("publisher"), **login) as publisher,
            Subscriber(url=self._url("subscriber"), **login) as subscriber,
            _attacking(self._order(folder)) as begin,
        ):
            await self._fill_log(publisher)
            await subscriber.subscribe(WITNESS_TOPIC)
            witness = Witness(publisher, subscriber)
            async with running_task(witness.receive()):
                async with running_task(witness.publish()):
                    rounds = await self._run_rounds(witness, begin, tls)
                self.phase = "waiting for the last messages"
                try:
                    async with asyncio.timeout(FINISH_SECONDS):
                        await witness.finish()
                except TimeoutError:
                    lost = witness.published - witness.received
                    self._troubles.append(f"{lost:,} messages or their acks have not come")
        return self._report(witness, rounds)

    def _report(self, witness: Witness, rounds: Sequence["Round"]) -> HostileReport:
        phases = [each.phase() for each in rounds]
        troubles = [
            *self._troubles,
            *witness.troubles,
            *(trouble for phase in phases[1:] for trouble in phase.find_troubles(phases[0])),
        ]
        return HostileReport(
            ok=not troubles,
            seconds=round(self._seconds * ATTACK_SHARE, 2),
            published=witness.published,
            received=witness.received,
            phases=phases,
            troubles=troubles,
            folder=None,
        )

    async def _fill_log(self, publisher: Publisher) -> None:
        self.phase = "filling the log"
        for number in range(self._old_messages):
            await publisher.send(f"old.flood.{number % 100}", "x" * 100)
        await publisher.flush()

    async def _run_rounds(
        self, witness: Witness, begin: "AttackSwitch", tls: ssl.SSLContext
    ) -> Sequence["Round"]:
        """Attack, and rest after each attack.

        The waits of all rests are those of the first round.
        """
        before = self._sizes()
        self.phase = "no attack"
        calm = witness.waits
        rounds = [Round("", calm, 0.0, await self._watch_sizes(before), await self._settle(before))]
        pids = [os.getpid(), begin.pid, *(service.pid or 0 for service in self._services.values())]
        for attack in self._attacks:
            self.phase = attack
            waits, times = Waits(), CpuTimes.read(pids)
            witness.waits = waits
            await begin(attack)
            peak = await self._watch_sizes(before)
            await self._check_health(attack, tls)
            await begin("")
            others = CpuTimes.read(pids).share_of_others(times)
            rounds.append(Round(attack, waits, others, peak, await self._settle(before)))
            witness.waits = calm
            await asyncio.sleep(self._seconds * (1 - ATTACK_SHARE))
        return rounds

    async def _watch_sizes(self, before: Mapping[str, float]) -> dict[str, float]:
        """Return each service's largest growth in MiB during the present attack."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds * ATTACK_SHARE
        peak = dict.fromkeys(before, 0.0)
        while (now := loop.time()) < end:
            await asyncio.sleep(min(SAMPLE_SECONDS, end - now))
            peak = {name: max(peak[name], mib) for name, mib in self._growth(before).items()}
        return peak

    async def _settle(self, before: Mapping[str, float]) -> dict[str, float]:
        """Return each service's growth in MiB, once it is acceptable.

        After a while it is returned as it is.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + SETTLE_SECONDS
        while True:
            growth = self._growth(before)
            if max(growth.values()) <= MAX_GROWTH_MIB or loop.time() >= end:
                return growth
            await asyncio.sleep(SAMPLE_SECONDS)

    def _growth(self, before: Mapping[str, float]) -> dict[str, float]:
        return {name: mib - before[name] for name, mib in self._sizes().items()}

    async def _check_health(self, attack: str, tls: ssl.SSLContext) -> None:
        for name in TESTED:
            try:
                await check_ready(self._url(name), tls=tls, timeout=HEALTH_SECONDS)
            except Disconnected as error:
                self._troubles.append(f"{attack}: {error}")

    def _sizes(self) -> dict[str, float]:
        """Return the memory that each service has resident, in MiB."""
        return {name: service.resident_bytes / 2**20 for name, service in self._services.items()}

    def _order(self, folder: Path) -> Order:
        return Order(
            self._ports["publisher"],
            self._ports["subscriber"],
            ATTACKER,
            self._passwords[ATTACKER],
            str(folder / "certs"),
        )

    def _url(self, service: str) -> str:
        return f"wss://localhost:{self._ports[service]}"


class Round(NamedTuple):
    """Notes about one attack: waits, others' load, and services' sizes."""

    attack: str
    waits: Waits
    others: float
    peak: Mapping[str, float]
    growth: Mapping[str, float]

    def phase(self) -> Phase:
        """Return its effect, once all of its messages have come."""
        acks, deliveries = self.waits.acks, self.waits.deliveries
        return Phase(
            attack=self.attack,
            ack_p50_ms=_milliseconds(acks, 0.5),
            ack_p99_ms=_milliseconds(acks, 0.99),
            delivery_p50_ms=_milliseconds(deliveries, 0.5),
            delivery_p99_ms=_milliseconds(deliveries, 0.99),
            others_share=round(self.others, 2),
            peak_mib={name: round(mib, 1) for name, mib in self.peak.items()},
            growth_mib={name: round(mib, 1) for name, mib in self.growth.items()},
        )


def _milliseconds(values: Sequence[float], share: float) -> float:
    return round(1_000 * quantile(values, share), 1)


class AttackSwitch:
    """Begins attacks of another process.

    Args:
        process: Runs :mod:`fanline.verify.hostile.attacker`.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The id of that process."""
        return self._process.pid

    async def __call__(self, line: str) -> None:
        """Begin an attack, and end the one before.

        An empty line ends it alone.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdout.readline()


@asynccontextmanager
async def _attacking(order: Order) -> AsyncIterator[AttackSwitch]:
    process = await asyncio.create_subprocess_exec(
        *_ATTACKER, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        begin = AttackSwitch(process)
        await begin(msgspec.json.encode(order).decode())
        yield begin
    finally:
        process.kill()
        await process.communicate()
