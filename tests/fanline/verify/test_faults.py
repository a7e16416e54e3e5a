"""The faults of ``fanline verify``, done to services that are played by small programs."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from fanline.errors import ConfigurationError
from fanline.verify.faults import Injector
from fanline.verify.plan import EVERYTHING, LINKS, PIPELINE_TARGETS, TESTED, Event, Fault
from fanline.verify.system import installation as installation_module
from fanline.verify.system.installation import Installation
from fanline.verify.verdict.findings import Breach, Findings
from tests.conftest import until
from tests.stubs import DEADLINE

# Listens under its own process id, which makes a port that tells one start from another.
LISTEN = (
    "os.write(int(os.environ['FANLINE_READY_FD']), str(os.getpid()).encode() + bytes([10])); time.sleep(60)"
)
IMPORTS = "import os, signal, sys, time"
POLITE = f"{IMPORTS}; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); {LISTEN}"
RUDE = f"{IMPORTS}; {LISTEN}"
STUBBORN = f"{IMPORTS}; signal.signal(signal.SIGTERM, signal.SIG_IGN); {LISTEN}"
ONCE = (
    f"{IMPORTS}; os.mkdir(sys.argv[1]) if not os.path.exists(sys.argv[1]) else sys.exit('no more'); {LISTEN}"
)


class Scene:
    """Three services, the faults, and what was found."""

    def __init__(self, installation: Installation, findings: Findings) -> None:
        self.installation = installation
        self.findings = findings
        self.injector = Injector(installation, [])

    def pid(self, name: str) -> int | None:
        """Return the process id of a service, which is where the links to it lead."""
        targets = {
            link.target
            for link_name, link in self.installation.links.items()
            if link_name.endswith(f"-{name}")
        }
        assert len(targets) == 1
        return targets.pop()

    def pids(self) -> dict[str, int | None]:
        return {name: self.pid(name) for name in TESTED}

    async def inject(self, *events: Event) -> None:
        """Inject faults, and return when they are over."""
        self.injector = Injector(self.installation, events)
        async with asyncio.timeout(DEADLINE):
            await self.injector.run(asyncio.Event())


@pytest.fixture
async def scene(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Scene]:
    """Services that all run the same program, polite by default, and need no certificates."""
    monkeypatch.setattr(installation_module, "make_certificates", AsyncMock())
    program = getattr(request, "param", POLITE)
    findings = Findings()
    commands = {name: (sys.executable, "-c", program, str(tmp_path / f"{name}-once")) for name in TESTED}
    async with Installation(
        tmp_path, commands=commands, rng=random.Random(1), findings=findings
    ) as installation:
        yield Scene(installation, findings)


def process_state(pid: int | None) -> str:
    """Return the letter of a process's state (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("fault", [Fault.KILL, Fault.RESTART])
async def test_a_service_ends_and_is_started_again(scene: Scene, fault: Fault) -> None:
    """Only the one that is meant; the links lead to where it listens then; nothing is wrong about it."""
    before = scene.pids()
    await scene.inject(Event(0, fault, "msgqueue", 0))
    after = scene.pids()
    assert {name for name in TESTED if before[name] != after[name]} == {"msgqueue"}
    assert None not in after.values()
    assert scene.injector.counts == {(fault, "msgqueue"): 1}
    assert not scene.findings


async def test_all_are_killed_at_once(scene: Scene) -> None:
    """As in a power cut."""
    before = scene.pids()
    await scene.inject(Event(0, Fault.KILL, EVERYTHING, 0))
    assert all(before[name] != pid is not None for name, pid in scene.pids().items())
    assert scene.injector.counts == {(Fault.KILL, EVERYTHING): 1}


async def test_a_service_freezes_and_thaws(scene: Scene) -> None:
    """It is stopped for a time, and continues as the same process."""
    pid = scene.pid("subscriber")
    freezing = asyncio.create_task(scene.inject(Event(0, Fault.FREEZE, "subscriber", 0.3)))
    await until(lambda: process_state(pid) == "T")
    assert scene.injector.current == ["freeze subscriber"]
    await freezing
    assert process_state(pid) != "T"
    assert scene.pid("subscriber") == pid
    assert scene.injector.current == []


async def test_faults_of_one_target_do_not_overlap(scene: Scene) -> None:
    """The next one waits; those of others come at their time."""
    events = [
        Event(0, Fault.FREEZE, "publisher", 0.3),
        Event(0, Fault.KILL, EVERYTHING, 0),
        Event(0, Fault.STALL, LINKS[0], 0.1),
    ]
    injecting = asyncio.create_task(scene.inject(*events))
    await until(lambda: len(scene.injector.current) == 2)
    assert scene.injector.current == ["freeze publisher", f"stall {LINKS[0]}"]
    await injecting
    assert sum(scene.injector.counts.values()) == 3


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.TEAR, Fault.STALL, Fault.BLOCK])
async def test_a_link_fails(scene: Scene, fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is meant, in the way and for the time that is meant."""
    done = []
    for name, link in scene.installation.links.items():
        monkeypatch.setattr(link, "cut", lambda name=name: done.append((name, Fault.CUT, 0.0)))
        for each in (Fault.TEAR, Fault.STALL, Fault.BLOCK):

            async def fail(seconds: float, name: str = name, each: Fault = each) -> None:
                done.append((name, each, seconds))

            monkeypatch.setattr(link, each.value, fail)
    seconds = 0.0 if fault is Fault.CUT else 0.5
    await scene.inject(Event(0, fault, "publisher-msgqueue", seconds))
    assert done == [("publisher-msgqueue", fault, seconds)]


async def test_an_installation_has_faults_of_its_own(scene: Scene) -> None:
    """It injects them itself; the target has no other fault at the same time."""
    done: list[tuple[str, float]] = []

    async def inject(target: str, seconds: float) -> None:
        done.append((target, seconds))
        assert scene.injector.current == ["clock msgqueue"]

    scene.installation.targets = replace(PIPELINE_TARGETS, special=((Fault.CLOCK, "msgqueue"),))
    scene.installation.special = {Fault.CLOCK: inject}
    await scene.inject(Event(0, Fault.CLOCK, "msgqueue", 3), Event(0, Fault.FREEZE, "msgqueue", 0))
    assert done == [("msgqueue", 3)]
    assert scene.injector.counts == {(Fault.CLOCK, "msgqueue"): 1, (Fault.FREEZE, "msgqueue"): 1}


async def test_the_end_comes_early(scene: Scene) -> None:
    """No fault begins after the signal, however long the plan is."""
    stop = asyncio.Event()
    stop.set()
    injector = Injector(scene.installation, [Event(60, Fault.KILL, "publisher", 0)])
    await injector.run(stop)
    assert not injector.counts


@pytest.mark.parametrize("scene", [RUDE], indirect=True)
async def test_a_rude_end_is_found(scene: Scene) -> None:
    """SIGTERM must be followed by exit code 0."""
    await scene.inject(Event(0, Fault.RESTART, "publisher", 0))
    assert scene.findings.examples == {Breach.UNCLEAN_STOP: ["publisher: exit code -15"]}


@pytest.mark.parametrize("scene", [STUBBORN], indirect=True)
async def test_a_late_end_is_found(scene: Scene) -> None:
    """A process that does not stop in time is killed, and that is recorded."""
    scene.installation.stop_timeout = 0.5
    await scene.inject(Event(0, Fault.RESTART, "publisher", 0))
    assert scene.findings.examples == {Breach.UNCLEAN_STOP: ["publisher: still there after 0.5 s"]}


async def test_a_death_is_found_and_healed(scene: Scene) -> None:
    """A service that ends by itself is a violation, and runs again when everything is healed."""
    service = scene.installation.services["msgqueue"]
    pid = scene.pid("msgqueue")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not service.is_running)
    assert scene.findings.examples == {Breach.DIED: ["msgqueue: exit code -9"]}
    assert scene.pid("msgqueue") is None
    await scene.injector.heal()
    assert service.is_running


@pytest.mark.parametrize("scene", [ONCE], indirect=True)
async def test_one_that_does_not_start_again_is_found(scene: Scene) -> None:
    """And what it said."""
    await scene.inject(Event(0, Fault.KILL, "publisher", 0))
    assert scene.findings.examples == {Breach.DIED: ["publisher does not start: no more"]}


async def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """If one service does not start, the others are ended and the links closed."""
    commands = dict.fromkeys(TESTED, (sys.executable, "-c", POLITE))
    commands["subscriber"] = (sys.executable, "-c", "raise SystemExit('no port')")
    installation = Installation(tmp_path, commands=commands, rng=random.Random(1), findings=Findings())
    with pytest.raises(ConfigurationError, match="subscriber does not start: no port"):
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(installation)
    assert not any(service.is_running for service in installation.services.values())


async def test_no_certificates(tmp_path: Path) -> None:
    """If there is no place for the certificates, that is said."""
    (tmp_path / "certs").write_text("in the way")
    installation = Installation(tmp_path, commands={}, rng=random.Random(1), findings=Findings())
    with pytest.raises(ConfigurationError, match=r"no certificates could be made: .*certs"):
        async with installation:
            pass
