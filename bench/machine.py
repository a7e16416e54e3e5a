"""What a run was made on and with."""

import os
import platform
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from bench.peers.base import Peer

_ROOT = Path(__file__).resolve().parent.parent


def describe(peers: Iterable[type[Peer]]) -> dict[str, str]:
    """Return what there is to say of this machine, and of the servers' versions, by name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    said = {
        "commit": commit(),
        "processor": f"{os.cpu_count()} cores, {_processor()}",
        "memory": f"{memory / (1 << 30):.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "sqlite": sqlite3.sqlite_version,
        "uvloop": version("uvloop"),
        "websockets": version("websockets"),
    }
    return said | {peer.name: peer.missing() or peer.version() for peer in peers}


def commit() -> str:
    """Return the commit that this is, with a word if files differ from it; unknown outside of git."""
    try:
        known = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{known}, with changes" if changed else known


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=_ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def command() -> str:
    """Return how this was called; of a file or folder elsewhere the name alone, as others have none there."""
    given = [Path(word).name if word.startswith("/") else word for word in sys.argv[1:]]
    return " ".join(["python -m bench", *given])
