"""The wheel works without the source tree, and the client alone needs little (line 39)."""

import asyncio
import os
import re
import signal
import site
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

import httpx
import pytest

from fanline.security.client_tls import client_context
from tests.stubs import DEADLINE

ROOT = Path(__file__).resolve().parent.parent

# The packages that the tests run with. An environment that adds this folder to its path does not find the
# editable fanline in it: that takes a .pth file, which is read in the environment's own folder only.
PACKAGES = Path(site.getsitepackages()[0])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as it is published."""
    folder = tmp_path_factory.mktemp("wheel")
    # A copy, because setuptools leaves its files where it builds.
    source = folder / "source"
    names = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
         "--wheel-dir", str(folder), str(source)],
        check=True,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin/python"
    subprocess.run(
        [sys.executable, "-m", "pip", "-q", "--python", str(python), "install", "--no-deps", "--no-index",
         str(wheel)],
        check=True,
    )  # fmt: skip
    (packages,) = folder.glob("lib/*/site-packages")
    (packages / "dependencies.pth").write_text(f"{PACKAGES}\n")
    return folder / "bin"


def test_the_client_needs_two_packages(wheel: Path) -> None:
    """Everything else that is required belongs to an extra."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {re.split(r"[^\w-]", line)[0] for line in required} == {"websockets", "msgspec"}
    extras = {"server", "chat", "cli", "cluster", "otel", "dev"}
    assert set(metadata.get_all("Provides-Extra", [])) == extras


def test_the_version_is_shown(installed: Path, wheel: Path) -> None:
    """``fanline --version`` names the version of the wheel."""
    shown = subprocess.run(
        [installed / "fanline", "--version"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert shown.stdout == f"fanline {wheel.name.split('-')[1]}\n"


# Modules that press Ctrl-C: for the command itself while it is imported, and for all that runs in a terminal
# while the certificates are made.
INTERRUPTED = {
    "rich.py": "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
    "certs.py": "import os, signal; os.killpg(os.getppid(), signal.SIGINT)",
}


@pytest.mark.parametrize(("module", "code"), [("rich.py", -signal.SIGINT), ("certs.py", 130)])
def test_ctrl_c_at_the_start_shows_no_traceback(
    installed: Path, tmp_path: Path, module: str, code: int
) -> None:
    """Ctrl-C in the first seconds of ``fanline up`` ended in tracebacks of it and of its children."""
    (tmp_path / module).write_text(INTERRUPTED[module])
    ended = subprocess.run(
        [installed / "fanline", "up", "--chat-port", "0", "--publisher-port", "0", "--msgqueue-port", "0",
         "--subscriber-port", "0"],
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=DEADLINE,
    )  # fmt: skip
    assert "Traceback" not in ended.stderr
    assert ended.returncode == code, ended.stderr


async def test_up_works_without_the_source_tree(installed: Path, tmp_path: Path) -> None:
    """In an empty folder ``fanline up`` becomes ready, and chat has its page.

    A program of the user's own in this folder that has the name of a service, or of a library, is not run.
    """
    for name in ("publisher.py", "certs.py", "typer.py"):
        (tmp_path / name).write_text("raise SystemExit('the user has a program of this name')")
    ports = [
        part for name in ("msgqueue", "publisher", "subscriber", "chat") for part in (f"--{name}-port", "0")
    ]
    process = await asyncio.create_subprocess_exec(
        installed / "fanline", "up", *ports,
        cwd=tmp_path, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    said = ""
    try:
        async with asyncio.timeout(DEADLINE):
            while not (found := re.search(r"chat +(https://\S+/)", said)):
                line = await process.stderr.readline()
                assert line, said
                said += line.decode()
        async with httpx.AsyncClient(
            verify=client_context(tmp_path / "var/certs"), timeout=DEADLINE
        ) as client:
            page = await client.get(found[1])
            script = await client.get(f"{found[1]}fanline.js")
        assert (page.status_code, script.status_code) == (200, 200)
        assert "<html" in page.text
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(DEADLINE):
            said += (await process.stderr.read()).decode()
            assert await process.wait() == 0, said
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert "Traceback" not in said
