"""A log whose files belong to another user than the one that msgqueue runs as."""

import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forking.unmeasured import UNMEASURED
from tests.msgqueue.store.sqlite.conftest import make_log

UNPRIVILEGED = 65_534

# Imports come before the change of user, which may not be able to read them.
OPEN = """
import asyncio, concurrent.futures.thread, os, sys
from pathlib import Path
from fanline.errors import ConfigurationError
from msgqueue.store.sqlite.engine import SqliteStore

async def main():
    store = await SqliteStore.open(Path(sys.argv[1]), dedupe_window=10)
    await store.close()

if os.geteuid() == 0:
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[2]))
try:
    asyncio.run(main())
except ConfigurationError as error:
    sys.exit(str(error))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that every user can reach."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("name", ["log.sqlite3", "log.lock", "."])
async def test_refuses_a_log_of_another_user(folder: Path, name: str) -> None:
    """A log that cannot be written to stops the start, in a sentence with the user's name and the file."""
    data = folder / "data"
    await make_log(data, messages=3)
    user = UNPRIVILEGED if os.geteuid() == 0 else os.geteuid()
    for path in (data, *data.iterdir()):
        os.chown(path, user, -1)
    protected = data / name
    os.chown(protected, os.geteuid(), -1)
    protected.chmod(0o555 if protected.is_dir() else 0o444)
    command = [sys.executable, "-c", OPEN, str(data), str(user)]
    child = subprocess.run(command, capture_output=True, text=True, check=False, env=UNMEASURED)
    protected.chmod(0o755)
    assert child.returncode == 1, child.stderr
    assert f"the user {pwd.getpwuid(user).pw_name}" in child.stderr
    assert str(data) in child.stderr
    assert "Traceback" not in child.stderr
