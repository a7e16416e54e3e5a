"""The program that measures how long acknowledgements stop after a kill."""

from pathlib import Path

import pytest

from fanline.verify.cluster.kills import measure


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_each_kill_is_measured(tmp_path: Path) -> None:
    """One NATS server and one msgqueue are killed; acknowledgements come again after each (line 59)."""
    lines: list[str] = []
    await measure(tmp_path, 1, lines.append)
    assert [line.partition("-")[0] for line in lines] == ["nats", "msgqueue"]
    assert all("s without an acknowledgement" in line for line in lines)
