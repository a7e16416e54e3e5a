"""Mistakes built into a cluster, each of which a test of it must find."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from unittest import mock

import pytest

from fanline.errors import StoreError
from fanline.protocol import NewMessage
from msgqueue.journal.fence import Fences
from msgqueue.store.base import AppendResult
from msgqueue.store.replica.agreement import Agreement
from msgqueue.store.replica.engine import ReplicaStore
from tests.msgqueue.store.replica import test_state
from tests.msgqueue.store.replica.simulation import simulate
from tests.msgqueue.store.replica.test_engine import IMPATIENT, Cluster
from tests.msgqueue.store.store_model import new

SEEDS = range(40)


def is_caught(seed: int) -> bool:
    """Return whether the checks of the simulation find something in one run."""
    try:
        test_state.check(simulate(seed)[1])
    except AssertionError:
        return True
    return False


def test_frames_that_count_twice_are_caught() -> None:
    """Without fences, what is sent again or was given up is stored: the simulation finds it (line 60)."""
    with mock.patch.object(Fences, "admit", return_value=True):
        assert any(is_caught(seed) for seed in SEEDS)


def test_msgqueues_that_are_not_compared_are_caught() -> None:
    """Without the chain one that differs goes on: the tests of that find it (line 62)."""
    with mock.patch.object(Agreement, "note"):
        for test in (
            test_state.test_a_replica_that_differs_is_noticed,
            test_state.test_of_two_that_differ_both_stop,
        ):
            with pytest.raises(AssertionError):
                test()


async def acked_and_kept(folder: Path) -> tuple[int, int]:
    """Publish through a msgqueue that is cut off; return what it acknowledged, and what the other has."""
    async with AsyncExitStack() as stack:
        cluster = Cluster(folder, stack)
        cut_off, other = await cluster.join("a", IMPATIENT), await cluster.join("b")
        cluster.log.cut_off("a")
        acked: list[AppendResult] = []
        with suppress(StoreError):
            acked = await cut_off.append([new()])
        await other.catch_up()
        return len(acked), (await other.bounds()).last


async def test_an_ack_at_publish_is_caught(tmp_path: Path) -> None:
    """An acknowledgement before the frame has come back is of a message that may be lost (line 60)."""
    assert await acked_and_kept(tmp_path / "sound") == (0, 0)

    async def hasty(
        store: ReplicaStore, messages: Sequence[NewMessage], **_: Mapping[str, int]
    ) -> list[AppendResult]:
        sending.append(asyncio.ensure_future(append(store, messages)))
        return [AppendResult(number + 1, duplicate=False) for number, _ in enumerate(messages)]

    sending: list[asyncio.Future[list[AppendResult]]] = []
    append = ReplicaStore.append
    with mock.patch.object(ReplicaStore, "append", hasty):
        assert await acked_and_kept(tmp_path / "hasty") == (1, 0)
    await asyncio.gather(*sending, return_exceptions=True)
