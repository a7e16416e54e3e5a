"""One run, from the first service to the verdict."""

import asyncio
import random
import secrets
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fanline.client import Publisher, Subscriber
from fanline.errors import ConfigurationError, FanlineError
from fanline.verify.clients import history
from fanline.verify.clients.load import Load
from fanline.verify.clients.traffic import Traffic, read_to_the_end
from fanline.verify.clients.workload import Workload
from fanline.verify.cluster.installation import ClusterInstallation
from fanline.verify.faults import Injector
from fanline.verify.options import Options
from fanline.verify.plan import plan
from fanline.verify.system.installation import COMMANDS, Installation, Place
from fanline.verify.verdict.checker import Evidence, check
from fanline.verify.verdict.findings import Findings
from fanline.verify.verdict.observations import Received
from fanline.verify.verdict.report import Report, violations
from fanline.verify.wait_for import happens

PROBE_SECONDS: Final = 20.0


class Run:
    """Everything of one run, whose public attributes may be read anytime.

    Args:
        options: What to do.
        commands: The command lines of our own services.
        probe_timeout: Seconds in which each service must answer at the start.

    Attributes:
        options: As given.
        stop: Set it to end the load before its time.
        phase: What is being done, in words.
        load: The traffic, once there is any.
        injector: The faults, if the services are our own.
        seconds: How long the load has lasted.
    """

    def __init__(
        self,
        options: Options,
        commands: Mapping[str, Sequence[str]] = COMMANDS,
        *,
        probe_timeout: float = PROBE_SECONDS,
    ) -> None:
        self.options = options
        self.stop = asyncio.Event()
        self.phase = "starting"
        self.load: Load | None = None
        self.injector: Injector | None = None
        self.seconds = 0.0
        self._commands = commands
        self._probe_timeout = probe_timeout
        self._rng = random.Random(options.seed)  # noqa: S311 - repeatable, guards no secret
        self._workload = Workload(secrets.token_hex(4), options.publishers)
        self._findings = Findings()

    async def perform(self) -> Report:
        """Perform the run, and return the findings.

        Raises:
            ConfigurationError: If the pipeline cannot be started, reached, or logged in to.
        """
        if self.options.place is not None:
            await self._verify(self.options.place)
            return self._report(None)
        folder = Path(tempfile.mkdtemp(prefix="fanline-verify-"))
        try:
            await self._verify_our_own(folder)
        finally:
            is_kept = self.options.keep or bool(self._findings)
            if not is_kept:
                shutil.rmtree(folder)
        return self._report(folder if is_kept else None)

    async def _verify_our_own(self, folder: Path) -> None:
        options = self.options
        make = ClusterInstallation if options.is_cluster else Installation
        async with make(
            folder, commands=self._commands, rng=self._rng, findings=self._findings
        ) as installation:
            targets, duration = installation.targets, options.duration
            faults = plan(self._rng, duration=duration, every=options.every, targets=targets)
            self.injector = Injector(installation, faults if options.faults else [])
            await self._verify(installation.place)
            self.phase = "comparing the copies"
            await installation.compare()

    async def _verify(self, place: Place) -> None:
        start = await _probe(place, self._workload, self._probe_timeout)
        options = self.options
        self.load = Load(
            place, self._workload, seed=options.seed, publishers=options.publishers, rate=options.rate
        )
        await self._run_load(self.load, start)
        self.phase = "reading the log"
        log, pages = await _read_log(self.load, start)
        self.phase = "checking"
        evidence = Evidence(self.load.sent, [*self.load.received, *pages], log)
        self._findings.update(await asyncio.to_thread(check, evidence))

    async def _run_load(self, load: Load, start: int) -> None:
        async with Traffic(load, subscribers=self.options.subscribers, start=start) as traffic:
            self.phase = "running"
            await asyncio.gather(self._count_seconds(), self._inject_faults())
            load.is_healed.set()
            self.phase = "waiting for the last acks"
            await traffic.finish_sending()
            self.phase = "waiting for the last deliveries"
            await traffic.finish_reading()

    async def _count_seconds(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        while self.seconds < self.options.duration and not self.stop.is_set():
            await happens(self.stop, min(self.options.duration - self.seconds, 0.1))
            self.seconds = loop.time() - began

    async def _inject_faults(self) -> None:
        if self.injector is not None:
            await self.injector.run(self.stop)
            await self.injector.heal()

    def _report(self, folder: Path | None) -> Report:
        load = self.load
        assert load is not None
        faults: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for (fault, target), count in self.injector.counts.items() if self.injector else ():
            faults[fault][target] = count
        return Report(
            ok=not self._findings,
            seed=self.options.seed,
            command=self.options.command,
            seconds=round(self.seconds, 1),
            published=load.published,
            acked=load.acked,
            repeats=sum(sent.repeats for sent in load.sent),
            delivered=load.delivered,
            rate=round(load.published / max(self.seconds, 0.1), 1),
            faults=faults,
            reconnects=load.reconnects,
            longest_ack_wait=round(max(sent.longest_wait for sent in load.sent), 2),
            longest_delivery_wait=round(load.longest_delivery, 2),
            violations=violations(self._findings),
            folder=str(folder) if folder else None,
        )


async def _probe(place: Place, workload: Workload, timeout: float) -> int:
    """Log in to both services, and return the run's first position.

    The run begins after it.
    """
    login: dict[str, Any] = {"user": place.user, "password": place.password, "tls": place.tls}
    try:
        async with Publisher(place.publisher_url, **login) as publisher:
            start = (await publisher.publish(workload.root, None, timeout=timeout)).seq
        async with Subscriber(url=place.subscriber_url, **login) as subscriber:
            async with asyncio.timeout(timeout):
                await subscriber.subscribe(workload.everything, after=start)
    except TimeoutError:
        problem = subscriber.problem or "no subscription is answered"
        raise ConfigurationError(f"the pipeline cannot be used: {problem}") from None
    except FanlineError as error:
        raise ConfigurationError(f"the pipeline cannot be used: {error}") from error
    return start


async def _read_log(load: Load, start: int) -> tuple[Received, list[Received]]:
    """Return the log by subscription, and each topic by HTTP."""
    log = history.LogReader(load, "the log", [load.workload.everything], start)
    await read_to_the_end(log)
    readers = [
        history.PageReader(load, topic, start, backwards=bool(number % 2))
        for number, topic in enumerate(load.workload.topics(0))
    ]
    for reader in readers:
        await reader.run()
    return log.received, [reader.received for reader in readers]
