"""A small disk that can be full; it needs root."""

import os
import subprocess
from pathlib import Path
from typing import Final

# Memory is taken for what is written only.
SIZE: Final = 1 << 30


class SmallDisk:
    """A disk mounted on a folder. Made by :meth:`mount`.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def mount(cls, folder: Path) -> "SmallDisk | None":
        """Mount a disk on a new folder; return None if not allowed."""
        folder.mkdir(mode=0o700)
        if os.geteuid() != 0:
            return None
        return (
            cls(folder)
            if _ran("mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", folder)
            else None
        )

    def fill(self) -> bool:
        """Leave no room on it; return whether that was possible."""
        found = os.statvfs(self._folder)
        return self._resize((found.f_blocks - found.f_bfree) * found.f_frsize)

    def free(self) -> bool:
        """Give it room again; return whether that was possible."""
        return self._resize(SIZE)

    def unmount(self) -> None:
        """Remove it with all that is on it."""
        _ran("umount", "--lazy", self._folder)

    def _resize(self, size: int) -> bool:
        return _ran("mount", "-o", f"remount,size={max(size, os.sysconf('SC_PAGESIZE'))}", self._folder)


def _ran(*command: str | Path) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False
