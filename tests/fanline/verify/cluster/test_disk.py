"""A small disk that can be full."""

from pathlib import Path

import pytest

from fanline.verify.cluster.disk import SmallDisk


def test_a_disk_is_full_and_has_room_again(tmp_path: Path) -> None:
    """Files stay, nothing more can be written while it is full, and all are gone in the end.

    A process that may not mount a file system has none.
    """
    folder = tmp_path / "disk"
    disk = SmallDisk.mount(folder)
    if disk is None:
        assert not folder.is_mount()
        return
    try:
        (folder / "first").write_bytes(b"x" * 10_000)
        assert disk.fill()
        with pytest.raises(OSError, match="No space left on device"):
            (folder / "second").write_bytes(b"x" * 10_000)
        assert disk.free()
        (folder / "third").write_bytes(b"x" * 10_000)
        assert (folder / "first").stat().st_size == 10_000
    finally:
        disk.unmount()
    assert not any(folder.iterdir())
