"""Services as child processes of ``fanline verify``, played by small programs."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fanline.errors import ConfigurationError
from fanline.verify import processes
from fanline.verify.processes import ServiceProcess, environment
from tests.conftest import until

OBEDIENT = "import time; say('listening on https://127.0.0.1:4711'); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {OBEDIENT}"
POLITE = f"import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); {OBEDIENT}"


class Watch:
    """What a process has told of itself."""

    def __init__(self) -> None:
        self.ports: list[int | None] = []
        self.deaths: list[int] = []


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def make(tmp_path: Path, watch: Watch) -> Callable[[str], ServiceProcess]:
    def make(program: str) -> ServiceProcess:
        say = "import sys; say = lambda text: print(text, file=sys.stderr, flush=True)"
        return ServiceProcess(
            "service",
            [sys.executable, "-c", f"{say}; {program}"],
            environment({}),
            log=tmp_path / "log",
            on_port=watch.ports.append,
            on_death=watch.deaths.append,
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
    assert (tmp_path / "log").read_text().count("listening") == 2


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
    """Who ends without being asked to has died."""
    service = make("say('listening on https://127.0.0.1:4711'); sys.exit(3)")
    await service.start()
    await until(lambda: not service.is_running)
    assert watch.deaths == [3]
    assert watch.ports == [4711, None]


async def test_a_frozen_one_can_be_killed(make: Callable[[str], ServiceProcess]) -> None:
    """SIGKILL reaches also what SIGSTOP has stopped."""
    service = make(OBEDIENT)
    await service.start()
    service.send_signal(signal.SIGSTOP)
    await service.kill()
    assert not service.is_running


async def test_does_not_start(make: Callable[[str], ServiceProcess], watch: Watch) -> None:
    """The last line that it wrote says why."""
    with pytest.raises(ConfigurationError, match="service does not start: no certificate"):
        await make("say('begin'); say('no certificate'); sys.exit(2)").start()
    assert watch.deaths == []


async def test_does_not_listen(
    make: Callable[[str], ServiceProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who starts, but never listens, is killed."""
    monkeypatch.setattr(processes, "START_SECONDS", 0.5)
    service = make("import time; say('thinking'); time.sleep(60)")
    with pytest.raises(ConfigurationError, match="does not start"):
        await service.start()
    assert not service.is_running


async def test_nothing_to_kill(make: Callable[[str], ServiceProcess]) -> None:
    """What was never started, or has ended, can be killed and terminated all the same."""
    service = make("say('listening on https://127.0.0.1:4711')")
    await service.kill()
    assert await service.terminate(1) == 0
    await service.start()
    await until(lambda: not service.is_running)
    await service.kill()


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the caller do not reach the services; all else does."""
    monkeypatch.setenv("FANLINE_LINK_PASSWORD", "secret")
    monkeypatch.setenv("WS_CERT_DIR", "/elsewhere")
    made = environment({"msgqueue_port": 0})
    assert made["FANLINE_MSGQUEUE_PORT"] == "0"
    assert made["PATH"] == os.environ["PATH"]
    assert not {"FANLINE_LINK_PASSWORD", "WS_CERT_DIR"} & made.keys()
