"""Checks of the machine: limits of processes, the log's disk, ports."""

import os
import resource
import shutil
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from fanline.addresses import split_hosts
from fanline.cli.doctor.findings import Finding, ok, problem, warning
from fanline.settings import ServiceSettings, Settings

# So many connections are a large installation; a service keeps some descriptors for itself.
WANTED_FILES: Final = 65_536

# A commit takes about one fsync. Spinning disks take 10 ms and more; what takes microseconds is no disk.
SLOW_FSYNC_SECONDS: Final = 0.02
FSYNCS: Final = 20
BLOCK: Final = b"\0" * 4_096

# File systems that forget everything at a restart, and those on which SQLite's locks and WAL may fail.
_FORGETFUL: Final = frozenset({"tmpfs", "ramfs"})
_REMOTE: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"})


def check_limits(hard: int) -> Iterator[Finding]:
    """Check how many connections a service can have.

    Args:
        hard: The highest number of open files that it may set for itself.
    """
    text = f"a process may have {hard:,} files open: so many connections at most for each service"
    if 0 <= hard < WANTED_FILES:
        yield warning("limits", text, "for more, LimitNOFILE= in the systemd unit, or `ulimit -Hn`")
    else:
        yield ok("limits", text if hard >= 0 else "the number of open files is not limited")


def hard_file_limit() -> int:
    """Return the highest limit of open files for a process."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def check_memory(limit: int | None, settings: Settings) -> Iterator[Finding]:
    """Check whether what a service holds fits the container's memory.

    Args:
        limit: Bytes that the container has; None without a limit.
        settings: Those of the services.
    """
    if limit is None:
        yield ok("memory", "no limit of a container is set: the machine's memory is the limit")
        return
    held = settings.unread_bytes + settings.unfinished_bytes + settings.queue_buffer + settings.recent_bytes
    text = (
        f"each process may hold {held >> 20:,} MiB for its clients, of {limit >> 20:,} MiB of the container"
    )
    if held > limit // 2:
        text += ": it may be killed before it holds a client back"
        advice = "leave unread_bytes, queue_buffer, unfinished_bytes, recent_bytes unset, or give it more"
        yield problem("memory", text, advice)
    else:
        yield ok("memory", text)


def check_disk(folder: Path, reserve: int, measure: Callable[[Path], Sequence[float]]) -> Iterator[Finding]:
    """Check the log's disk: free space, file system, and write time.

    Args:
        folder: Folder of the log, which need not exist yet.
        reserve: Bytes that must stay free.
        measure: Returns seconds that writes to a folder took.
    """
    existing = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.is_dir())
    free = shutil.disk_usage(existing).free
    text = f"{folder} has {free / (1 << 30):.1f} GiB free"
    if free < reserve:
        text += f", less than disk_reserve ({reserve / (1 << 30):.2f} GiB): no message is stored"
        yield problem("disk", text, "free some, or set retention rules")
    elif free < 10 * reserve:
        yield warning("disk", text, "set retention rules, or watch fanline_disk_free_bytes")
    else:
        yield ok("disk", text)
    yield from _check_file_system(existing, file_system_of(existing))
    try:
        took = statistics.median(measure(existing))
    except OSError as error:
        yield problem("disk", f"{existing} cannot be written: {error.strerror}", "msgqueue must be able to")
        return
    text = f"one write to {existing} takes {took * 1000:.2f} ms until it is on disk (fsync)"
    if took > SLOW_FSYNC_SECONDS:
        text += f": a lone message waits so long for its ack, and there are {1 / took:.0f} commits a second"
        yield warning("disk", text, "use a local SSD for data_dir")
    else:
        yield ok("disk", text)


def _check_file_system(folder: Path, kind: str) -> Iterator[Finding]:
    if kind in _FORGETFUL:
        text = f"{folder} is on {kind}, in memory: the log is lost when the machine restarts"
        yield warning("disk", text, "set data_dir to a folder on a disk")
    elif kind in _REMOTE:
        text = f"{folder} is on {kind}, over a network, where locks and the order of writes are not certain"
        yield warning("disk", text, "set data_dir to a folder on a local disk")


def file_system_of(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Return the kind of a folder's file system, or empty if unknown."""
    try:
        lines = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return ""
    holders = [(len(at), kind) for _, at, kind, *_ in lines if folder.is_relative_to(at)]
    return max(holders, default=(0, ""))[1]


def time_fsyncs(folder: Path) -> list[float]:
    """Return the seconds until each of some writes was on disk.

    Raises:
        OSError: If the folder cannot be written.
    """
    found = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(FSYNCS):
            began = time.perf_counter()
            file.write(BLOCK)
            file.flush()
            os.fsync(file.fileno())
            found.append(time.perf_counter() - began)
    return found


def check_ports(services: Sequence[ServiceSettings], answering: Sequence[str]) -> Iterator[Finding]:
    """Check that each port is free, or used by Fanline's services.

    Args:
        services: The services.
        answering: Names of those that answer.
    """
    ports: dict[int, str] = {}
    for each in services:
        port = each.serve_port or each.port
        if not port:
            continue  # the system chooses one that is free
        other = ports.setdefault(port, each.service)
        if other != each.service and each.serve_port is None:
            text = f"{other} and {each.service} have the same port, {port}: only one of them starts"
            yield problem("ports", text, f"set {each.name_of('port')}")
            continue
        if each.service in answering:
            yield ok("ports", f"{each.service} answers at port {port}")
        elif (reason := why_not_free(split_hosts(each.host)[0], port)) is None:
            yield ok("ports", f"port {port} of {each.service} is free: it does not run here")
        else:
            text = f"{each.service} cannot listen on port {port}: {reason}"
            yield problem("ports", text, f"`ss -ltnp` shows who does; or set {each.name_of('port')}")


def why_not_free(host: str, port: int) -> str | None:
    """Return why a port cannot be listened on; None if it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None
