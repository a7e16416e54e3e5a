"""``fanline doctor``: limits, disk and ports."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fanline.cli.doctor.findings import Finding, Level
from fanline.cli.doctor.machine import (
    check_disk,
    check_limits,
    check_memory,
    check_ports,
    file_system_of,
    time_fsyncs,
)
from fanline.setting_sources import Sources, read
from fanline.settings import Settings
from publisher.settings import PublisherSettings
from subscriber.settings import SubscriberSettings


def levels(findings: Iterator[Finding]) -> list[Level]:
    return [each.level for each in findings]


def test_few_open_files_are_told() -> None:
    """A low limit of open files is one of connections."""
    assert levels(check_limits(1_024)) == [Level.WARNING]
    assert levels(check_limits(1 << 20)) == levels(check_limits(-1)) == [Level.OK]


def test_a_container_that_is_too_small_is_told() -> None:
    """The memory of the container must have room for all that waits for clients (line 55)."""
    settings = Sources({}, memory=512 << 20).section(Settings)
    assert (
        levels(check_memory(512 << 20, settings))
        == levels(check_memory(None, Settings.model_validate({})))
        == [Level.OK]
    )
    (told,) = check_memory(512 << 20, Settings.model_validate({}))
    assert (told.level, "hold 1,168 MiB for its clients, of 512 MiB" in told.text) == (Level.PROBLEM, True)


def test_a_slow_or_full_disk_is_told(tmp_path: Path) -> None:
    """How long a write takes, and how much room there is, is measured where the log will be."""
    folder = tmp_path / "not/yet/there"
    assert Level.PROBLEM not in levels(check_disk(folder, 1, lambda _: [0.001]))
    slow = [each for each in check_disk(folder, 1, lambda _: [0.05]) if "fsync" in each.text]
    assert (slow[0].level, "20 commits a second" in slow[0].text) == (Level.WARNING, True)
    full = next(check_disk(folder, 1 << 60, lambda _: [0.001]))
    assert (full.level, "no message is stored" in full.text) == (Level.PROBLEM, True)
    assert len(time_fsyncs(tmp_path)) > 1


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Where no file can be made, msgqueue cannot keep a log."""

    def refuse(_: Path) -> list[float]:
        raise PermissionError(13, "Permission denied")

    assert levels(check_disk(tmp_path, 1, refuse))[-1] is Level.PROBLEM


def test_the_file_system_of_a_folder_is_found(tmp_path: Path) -> None:
    """The longest mount point that a folder is below counts."""
    mounts = tmp_path / "mounts"
    mounts.write_text("a / ext4 rw 0 0\nb /var tmpfs rw 0 0\nc /variant nfs rw 0 0\n")
    assert file_system_of(Path("/var/data"), mounts) == "tmpfs"
    assert file_system_of(Path("/home"), mounts) == "ext4"
    assert file_system_of(Path("/home"), tmp_path / "none") == ""


@pytest.mark.parametrize("is_answering", [True, False])
def test_ports_in_use_by_others_are_told(is_answering: bool) -> None:
    """A port is free, or a service of Fanline answers there; anything else is a problem."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        publisher = read(PublisherSettings, publisher_port=sock.getsockname()[1])
        found = check_ports([publisher], ["publisher"] if is_answering else [])
        assert levels(found) == [Level.OK if is_answering else Level.PROBLEM]
    assert levels(check_ports([publisher], [])) == [Level.OK]


def test_two_services_on_one_port_are_told() -> None:
    """Two services with the same port cannot both start, unless one process serves both."""
    same = [read(PublisherSettings, publisher_port=8081), read(SubscriberSettings, subscriber_port=8081)]
    assert levels(check_ports(same, ["publisher"]))[1] is Level.PROBLEM
    shared = [each.model_copy(update={"serve_port": 8443}) for each in same]
    found = check_ports(shared, ["publisher", "subscriber"])
    assert [each.text for each in found] == [f"{each.service} answers at port 8443" for each in shared]
