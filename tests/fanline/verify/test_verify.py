"""``fanline verify`` as an operator runs it: on good services, on broken ones, on a pipeline that runs."""

import asyncio
import json
import os
import random
import signal
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from fanline import cli
from fanline.errors import ConfigurationError
from fanline.verify.options import Options
from fanline.verify.plan import TESTED, plan
from fanline.verify.run import Run
from fanline.verify.system.installation import Place
from tests.fanline.cli.commands import PROGRAM
from tests.forking import forked
from tests.forking.forked import ForkedProcess
from tests.processes import Pipeline
from tests.stubs import DEADLINE, PASSWORD, USER

ROOT = Path(__file__).resolve().parents[3]
COMMAND = (PROGRAM, "verify")

FEW = ("--publishers", "4", "--subscribers", "6", "--rate", "30")

# Seconds with each kind of fault: msgqueue is killed, frozen, and killed together with all others.
STORM = (*FEW, "--seed", "290", "--duration", "6", "--every", "0.6")

# Nothing, but that msgqueue is killed in the middle, and started again at once.
ONE_KILL = (*FEW, "--seed", "9314", "--duration", "4", "--every", "2.5")

CALM = (*FEW, "--no-faults", "--duration", "2")


@asynccontextmanager
async def running(
    folder: Path, program: str, *arguments: str, **changes: str
) -> AsyncIterator[ForkedProcess]:
    """Run a program; temporary files go to a folder. Kill it if it is there at the end."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("FANLINE_")}
    environment = inherited | {"TMPDIR": str(folder), "PYTHONPATH": str(ROOT)} | changes
    process = await forked.start(program, *arguments, environment=environment)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def verified(folder: Path, *command: str, **environment: str) -> tuple[int | None, str, str]:
    """Run a command to its end; return the exit code, and what was said on both outputs."""
    async with running(folder, *command, **environment) as process:
        out, err = await process.communicate()
        return process.returncode, (out or b"").decode(), (err or b"").decode()


def kinds(report: Mapping[str, Any]) -> set[str]:
    return {violation["kind"] for violation in report["violations"]}


def children(process: ForkedProcess) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


async def until_said(process: ForkedProcess, text: str) -> None:
    """Wait until something is said on standard error."""
    assert process.stderr is not None
    async with asyncio.timeout(DEADLINE):
        while text not in (line := (await process.stderr.readline()).decode()):
            assert line, "it has ended"


async def until_gone(pids: list[int]) -> None:
    async with asyncio.timeout(DEADLINE):
        while any(Path(f"/proc/{pid}").exists() for pid in pids):
            await asyncio.sleep(0.05)


async def test_every_promise_is_kept_during_faults(tmp_path: Path) -> None:
    """The services survive a storm (promises 1 to 6, and 8); all is reported; nothing stays behind."""
    code, out, err = await verified(tmp_path, *COMMAND, *STORM, "--json")
    report = json.loads(out)
    assert (code, report["violations"]) == (0, []), err
    assert report["published"] == report["acked"] > 100
    assert report["delivered"] > report["published"]
    injected = plan(random.Random(290), duration=6, every=0.6)
    assert sum(sum(targets.values()) for targets in report["faults"].values()) == len(injected)
    assert set(report["faults"]) == {event.fault for event in injected}
    assert report["seed"] == 290
    assert "seed 290" in err
    assert report["folder"] is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("mistake", "options", "expected"),
    [
        # Positions that were lost are given again: those who have had them get no others at these.
        ("ack_before_writing", ONE_KILL, {"lost", "undelivered"}),
        ("forget_ids", CALM, {"stored-twice"}),
        ("drop_one_in_fifty", CALM, {"silent-gap"}),
    ],
)
async def test_a_broken_service_is_found(
    tmp_path: Path, mistake: str, options: tuple[str, ...], expected: set[str]
) -> None:
    """It can fail: a mistake built into a service ends in its name and exit code 1; the evidence is kept."""
    code, out, err = await verified(tmp_path, "tests.sabotage", mistake, "verify", *options, "--json")
    assert code == 1, err
    report = json.loads(out)
    assert report["ok"] is False
    assert expected & kinds(report)
    folder = Path(report["folder"])
    assert folder.parent == tmp_path
    assert {"msgqueue.log", "publisher.log", "subscriber.log", "data"} <= {
        each.name for each in folder.iterdir()
    }


async def test_a_running_pipeline(tmp_path: Path, cert_dir: Path) -> None:
    """One that runs elsewhere is loaded, not harmed; twice, as a run must not mind what was there before."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    secret = tmp_path / "password"
    secret.write_text(f"{PASSWORD}\n")
    async with Pipeline(tmp_path, cert_dir) as pipeline:
        where = ("--publisher-url", pipeline.publisher.url, "--subscriber-url", pipeline.subscriber.url)
        login = ("--user", USER, "--password-file", str(secret))
        for _ in range(2):
            code, out, err = await verified(
                scratch,
                *COMMAND,
                "--no-faults",
                *FEW,
                "--duration",
                "1",
                *where,
                *login,
                FANLINE_CERT_DIR=str(cert_dir),
            )
            assert code == 0, out + err
            assert "Every promise was kept." in out
            assert " ".join(where) in out
    assert list(scratch.iterdir()) == []


async def test_ctrl_c_ends_the_load_early(tmp_path: Path) -> None:
    """And what there is by then is checked."""
    async with running(tmp_path, *COMMAND, "--no-faults", "--duration", "3600", "--rate", "20") as process:
        await until_said(process, "running")
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
        assert process.returncode == 0, err
        assert out is not None
        assert b"Every promise was kept." in out
    assert list(tmp_path.iterdir()) == []


async def test_sigterm_leaves_nothing_behind(tmp_path: Path) -> None:
    """The services are ended, and their files removed."""
    async with running(tmp_path, *COMMAND, "--duration", "3600", "--rate", "20") as process:
        await until_said(process, "running")
        services = children(process)
        assert len(services) == 3
        process.terminate()
        assert await process.wait() == 128 + signal.SIGTERM
        await until_gone(services)
    assert list(tmp_path.iterdir()) == []


async def test_services_do_not_outlive_it(tmp_path: Path) -> None:
    """If it is killed itself, so are its services, even one that is frozen."""
    async with running(tmp_path, *COMMAND, "--no-faults", "--duration", "3600", "--rate", "20") as process:
        await until_said(process, "running")
        services = children(process)
        os.kill(services[0], signal.SIGSTOP)
        process.kill()
        await until_gone(services)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--publisher-url", "wss://localhost:1", "--no-faults"], "give both or none"),
        (
            ["--publisher-url", "wss://localhost:1", "--subscriber-url", "wss://localhost:1"],
            "add --no-faults",
        ),
        (
            [
                "--no-faults",
                "--publisher-url",
                "wss://localhost:1",
                "--subscriber-url",
                "wss://localhost:1",
                "--password-file",
                "missing",
            ],
            "link_password_file missing",
        ),
        (["--duration", "0"], "--duration"),
        (["--seed", "abc"], "--seed"),
    ],
)
def test_wrong_usage(
    arguments: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A run that cannot start is explained, with exit code 2."""
    monkeypatch.setattr(sys, "argv", ["fanline", "verify", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def place(url: str, tls: ssl.SSLContext, password: str = PASSWORD) -> Options:
    return Options(1, faults=False, place=Place(url, url, USER, password, tls, 10))


async def test_no_service_there(tls: ssl.SSLContext) -> None:
    """A pipeline that does not answer cannot be verified."""
    with pytest.raises(ConfigurationError, match=r"wss://localhost:1/publish cannot be reached"):
        await Run(place("wss://localhost:1", tls), probe_timeout=0.5).perform()


async def test_wrong_password(tmp_path: Path, cert_dir: Path, tls: ssl.SSLContext) -> None:
    """A pipeline that refuses the login cannot be verified."""
    async with Pipeline(tmp_path, cert_dir) as pipeline:
        with pytest.raises(ConfigurationError, match="refuses user") as refused:
            await Run(place(pipeline.publisher.url, tls, "sesame")).perform()
    assert "sesame" not in str(refused.value)


async def test_services_that_do_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their output is shown, and their files are removed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    commands = dict.fromkeys(TESTED, (sys.executable, "-c", "raise SystemExit('no disk')"))
    with pytest.raises(ConfigurationError, match="does not start: no disk"):
        await Run(Options(1), commands).perform()
    assert list(tmp_path.iterdir()) == []
