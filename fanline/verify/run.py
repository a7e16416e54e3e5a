"""One run, from the first service to the verdict."""

import asyncio
import secrets
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fanline.client import Publisher, Subscriber
from fanline.errors import ConfigurationError, FanlineError
from fanline.topics import matches
from fanline.verify import publishers
from fanline.verify.checker import Evidence, check
from fanline.verify.findings import Findings
from fanline.verify.history import LogReader, PageReader
from fanline.verify.injector import Injector
from fanline.verify.installation import COMMANDS, Installation, Place
from fanline.verify.load import Load
from fanline.verify.plan import plan
from fanline.verify.records import Received
from fanline.verify.report import Report, violations
from fanline.verify.subscribers import Reader, make_reader
from fanline.verify.waiting import happens, settles
from fanline.verify.workload import Workload

# Longer than any delay between two attempts of a client to connect, and what an attempt may take.
QUIET_SECONDS: Final = 20.0

PROBE_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Options:
    """What a run is to do.

    Attributes:
        seed: What the faults and all other choices follow from.
        duration: How long the load lasts, in seconds.
        publishers: How many there are.
        subscribers: How many there are.
        rate: Messages a second that each publisher publishes at most.
        every: Seconds between two faults, on average.
        faults: Whether there are any.
        keep: Whether to keep the files of the services in any case.
        place: The pipeline to verify; None starts one.
    """

    seed: int
    duration: float = 60.0
    publishers: int = 6
    subscribers: int = 10
    rate: float = 100.0
    every: float = 2.0
    faults: bool = True
    keep: bool = False
    place: Place | None = None

    @property
    def command(self) -> str:
        """How to do the same again."""
        words = [f"fanline verify --seed {self.seed} --duration {self.duration:g}"]
        words.append(f"--publishers {self.publishers} --subscribers {self.subscribers} --rate {self.rate:g}")
        words.append(f"--every {self.every:g}" if self.faults else "--no-faults")
        if self.place is not None:
            words.append(f"--publisher-url {self.place.publisher_url}")
            words.append(f"--subscriber-url {self.place.subscriber_url}")
        return " ".join(words)


class Run:
    """Everything of one run; what is public may be looked at while it is under way.

    Args:
        options: What to do.
        commands: The command lines of our own services.

    Attributes:
        options: As given.
        stop: Set it to end the load before its time.
        phase: What is being done, in words.
        load: The traffic, once there is any.
        injector: The faults, if there are any.
        seconds: How long the load has lasted.
    """

    def __init__(self, options: Options, commands: Mapping[str, Sequence[str]] = COMMANDS) -> None:
        self.options = options
        self.stop = asyncio.Event()
        self.phase = "starting"
        self.load: Load | None = None
        self.injector: Injector | None = None
        self._commands = commands
        self._findings = Findings()
        self._workload = Workload(secrets.token_hex(4), options.publishers)
        self._began: float | None = None
        self._ended: float | None = None

    @property
    def seconds(self) -> float:
        """How long the load has lasted."""
        if self._began is None:
            return 0.0
        return (self._ended or asyncio.get_running_loop().time()) - self._began

    async def perform(self) -> Report:
        """Do it, and return what was found.

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
        rng = random.Random(self.options.seed)  # noqa: S311 - repeatable, guards no secret
        async with Installation(
            folder, commands=self._commands, rng=rng, findings=self._findings
        ) as installation:
            self.injector = Injector(installation)
            events = plan(rng, duration=self.options.duration, every=self.options.every)
            await self._verify(installation.place, events if self.options.faults else [])

    async def _verify(self, place: Place, events: Sequence[Event] = ()) -> None:
        start = await self._probe(place)
        self.load = Load(
            place,
            self._workload,
            seed=self.options.seed,
            publishers=self.options.publishers,
            rate=self.options.rate,
        )
        await self._run_load(self.load, start, events)
        self.phase = "reading the log"
        log, pages = await self._read_log(self.load, start)
        self.phase = "checking"
        evidence = Evidence(self.load.sent, [*self.load.received, *pages], log)
        self._findings.update(await asyncio.to_thread(check, evidence))

    async def _probe(self, place: Place) -> int:
        """Log in to both services, and return the position behind which the run begins."""
        login = {"user": place.user, "password": place.password, "tls": place.tls}
        try:
            async with asyncio.timeout(PROBE_SECONDS), Publisher(place.publisher_url, **login) as publisher:
                ...
        return 0
