"""Services as child processes of ``fanline verify``, played by small programs."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fanline.errors import ConfigurationError
from fanline.server.child_process import environment_of
from fanline.verify.system.processes import ServiceProcess
from tests.conftest import until
from tests.stubs import DEADLINE

OBEDIENT = "import time; listen(4711); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {OBEDIENT}"
POLITE = f"import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); {OBEDIENT}"


class Watch:
    """Events that a process has reported."""

    def __init__(self) -> None:
        self.ports: list[int | None] = []
        self.deaths: list[int] = []


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def make(tmp_path: Path, watch: Watch) -> Callable[[str], ServiceProcess]:
    def make(program: str, start_timeout: float = DEADLINE) -> ServiceProcess:
        begin = (
            "import os, sys; ready = int(os.environ['FANLINE_READY_FD']);"
            "listen = lambda port: os.write(ready, str(port).encode() + bytes([10]));"
            "say = lambda text: print(text, file=sys.stderr, flush=True); say('begin')"
        )
        return ServiceProcess(
            "service",
            [sys.executable, "-c", f"{begin}; {program}"],
            environment_of({}),
            log=tmp_path / "log",
            on_port=watch.ports.append,
            on_death=watch.deaths.append,
            start_timeout=start_timeout,
        )

    return make


async def test_started_and_killed(
    make: Callable[[str], ServiceProcess], watch: Watch, tmp_path: Path
) -> None:
    """It tells its port, keeps its log, and that it was killed is no death."""
    service = make(OBEDIENT)
    await service.start()
    assert service.is_running
    await service.kill()
    assert not service.is_running
    await service.start()
    await service.kill()
    assert watch.ports == [4711, None, 4711, None]
    assert watch.deaths == []
    assert (tmp_path / "log").read_text().count("begin") == 2


@pytest.mark.parametrize(("program", "code"), [(POLITE, 0), (OBEDIENT, -signal.SIGTERM), (STUBBORN, None)])
async def test_terminated(
    make: Callable[[str], ServiceProcess], watch: Watch, program: str, code: int
) -> None:
    """Its exit code is told, or that it had to be killed."""
    service = make(program)
    await service.start()
    assert await service.terminate(5 if code is not None else 0.2) == code
    assert not service.is_running
    assert watch.deaths == []


async def test_death(make: Callable[[str], ServiceProcess], watch: Watch) -> None:
    """A process that ends without being stopped has died."""
    service = make("listen(4711); sys.exit(3)")
    await service.start()
    await until(lambda: not service.is_running)
    assert watch.deaths == [3]
    assert watch.ports == [4711, None]


async def test_a_frozen_one_can_be_killed(make: Callable[[str], ServiceProcess]) -> None:
    """SIGKILL reaches also what SIGSTOP has stopped."""
    service = make(OBEDIENT)
    await service.start()
    service.freeze()
    await service.kill()
    assert not service.is_running


async def test_does_not_start(make: Callable[[str], ServiceProcess], watch: Watch) -> None:
    """The last line that it wrote says why."""
    with pytest.raises(ConfigurationError, match="service does not start: no certificate"):
        await make("say('no certificate'); sys.exit(2)").start()
    assert watch.deaths == []


async def test_kills_a_service_that_never_listens(make: Callable[..., ServiceProcess]) -> None:
    """The error repeats the last line of its log."""
    service = make("import time; say('thinking'); time.sleep(60)", start_timeout=1)
    with pytest.raises(ConfigurationError, match="does not start"):
        await service.start()
    assert not service.is_running


async def test_nothing_to_kill(make: Callable[[str], ServiceProcess]) -> None:
    """A process that never started or has ended can be killed and terminated."""
    service = make("listen(4711)")
    await service.kill()
    assert await service.terminate(1) == 0
    await service.start()
    await until(lambda: not service.is_running)
    await service.kill()
