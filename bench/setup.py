"""What every measurement needs: certificates, a folder for each server, and which servers there are."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.peers.base import Peer
from bench.peers.fanline import Fanline
from bench.peers.jetstream import JetStreamAlways, JetStreamDefault
from bench.peers.mosquitto import Mosquitto
from bench.peers.naive import Naive
from bench.peers.nats import Nats
from fanline.errors import ConfigurationError

_ALL: Final[tuple[type[Peer], ...]] = (Fanline, Nats, Mosquitto, Naive, JetStreamAlways, JetStreamDefault)
PEERS: Final = {peer.name: peer for peer in _ALL}


class Site:
    """The folder that everything happens in.

    Args:
        folder: An empty one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self.certificates = folder / "certs"
        command = [sys.executable, "-m", "certs", "make", "--dir", str(self.certificates)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def place(self) -> Path:
        """Return a new folder for a server, once the disk is done with what earlier ones have left to it."""
        os.sync()
        self._number += 1
        folder = self._folder / str(self._number)
        folder.mkdir()
        return folder


@contextmanager
def site() -> Iterator[Site]:
    """Make a temporary folder, and remove it in the end."""
    with TemporaryDirectory(prefix="fanline-bench-") as folder:
        yield Site(Path(folder))


def choose(names: Sequence[str]) -> tuple[list[type[Peer]], list[str]]:
    """Return the servers of these names that this machine can run, and why it cannot run the others.

    Raises:
        ConfigurationError: If there is none of a name.
    """
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise ConfigurationError(f"--peers: {', '.join(unknown)}: there are {', '.join(PEERS)}")
    chosen = [PEERS[name] for name in names]
    missing = [reason for peer in chosen if (reason := peer.missing()) is not None]
    return [peer for peer in chosen if peer.missing() is None], missing
