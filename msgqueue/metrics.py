"""Metrics of msgqueue: commits, log, consumers, disk, clock and cluster."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry

from fanline.server.metrics import LabeledGauge, counter, gauge, histogram
from msgqueue.clock import LogClock
from msgqueue.consumers.registry import Consumers
from msgqueue.log import Log
from msgqueue.retention import Retention
from msgqueue.settings import MsgQueueSettings
from msgqueue.store.base import AppendResult
from msgqueue.store.figures import ClusterFigures

# Metrics of a cluster, with the figures that they show.
COUNTED: Final = (
    ("fanline_journal_entries", "entries", "Entries of the journal that were applied."),
    ("fanline_journal_resent_frames", "resent", "Frames that were sent again, as they had not come back."),
    ("fanline_journal_fenced_frames", "fenced", "Entries of the journal that were left out."),
)
GAUGED: Final = (
    ("fanline_journal_wait_seconds", "wait", "Seconds since a frame of this msgqueue came back."),
    ("fanline_cluster_msgqueues", "msgqueues", "Msgqueues that have sent something lately."),
    ("fanline_cluster_stopped", "is_stopped", "1 if this msgqueue acknowledges nothing any more."),
)

MESSAGES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)


class CommitMetrics:
    """Metrics of commits: how long, how many messages in each and altogether."""

    def __init__(self) -> None:
        self._stored = self._duplicates = 0
        self._seconds = histogram("fanline_commit_seconds", "Seconds until a commit is on disk.")
        self._messages = histogram("fanline_commit_messages", "Messages that share a commit.", MESSAGES)

    def observe(self, seconds: float, results: Sequence[AppendResult]) -> None:
        """Note a commit."""
        self._seconds.observe(seconds)
        self._messages.observe(len(results))
        duplicates = sum(result.duplicate for result in results)
        self._duplicates += duplicates
        self._stored += len(results) - duplicates

    def register(self, registry: CollectorRegistry) -> None:
        """Show them."""
        registry.register(self._seconds)
        registry.register(self._messages)
        counter(registry, "fanline_messages_stored", "Messages stored.", lambda: self._stored)
        counter(
            registry,
            "fanline_messages_duplicate",
            "Messages not stored because their id was known.",
            lambda: self._duplicates,
        )


def show_consumers(registry: CollectorRegistry, consumers: Consumers) -> None:
    """Show each durable consumer's backlog, and how many messages it fails at."""
    registry.register(
        LabeledGauge(
            "fanline_consumer_behind_messages",
            "Messages that a durable consumer has yet to do.",
            "consumer",
            lambda: {each.name: each.behind for each in consumers.states()},
        )
    )
    registry.register(
        LabeledGauge(
            "fanline_consumer_failing_messages",
            "Messages that a durable consumer has not done, and at which a connection has ended.",
            "consumer",
            lambda: {each.name: each.failing for each in consumers.states()},
        )
    )
    counter(
        registry,
        "fanline_dead_letters",
        "Messages that durable consumers failed at too often.",
        lambda: consumers.dead_letters,
    )


def show_size(registry: CollectorRegistry, folder: Path) -> None:
    """Show the size of the log's files, and the disk's free space."""
    gauge(
        registry,
        "fanline_log_bytes",
        "Size of the files of the log.",
        lambda: sum(path.stat().st_size for path in folder.glob("log.*")),
    )
    gauge(
        registry,
        "fanline_disk_free_bytes",
        "Bytes that are free on the disk of the log.",
        lambda: shutil.disk_usage(folder).free,
    )


def facts_of(settings: MsgQueueSettings, log: Log, retention: Retention) -> Mapping[str, object]:
    """Return the log's settings and disk, as admins see them."""
    disk = shutil.disk_usage(settings.data_dir)
    return {
        "store": settings.store,
        "data_dir": str(settings.data_dir),
        "epoch": log.epoch,
        "disk_total_bytes": disk.total,
        "disk_reserve_bytes": settings.disk_reserve,
        "retention": [rule.model_dump(exclude_none=True) for rule in retention.rules],
    }


def show_log(registry: CollectorRegistry, log: Log, retention: Retention) -> None:
    """Show where the log ends, and what is no longer in it."""
    gauge(registry, "fanline_log_head", "Position of the newest message.", lambda: log.head)
    counter(
        registry,
        "fanline_messages_trimmed",
        "Messages removed by retention.",
        lambda: retention.removed,
    )
    counter(
        registry,
        "fanline_messages_damaged",
        "Damaged messages that were come upon, and left out.",
        lambda: log.damaged,
    )


def show_clock(registry: CollectorRegistry, clock: LogClock) -> None:
    """Show the jumps of the machine's clock."""
    counter(registry, "fanline_clock_jumps", "Jumps of the clock by more than a minute.", lambda: clock.jumps)
    gauge(
        registry,
        "fanline_clock_jump_seconds",
        "Seconds by which the clock has jumped, until that is accepted.",
        lambda: clock.jump,
    )


def show_cluster(registry: CollectorRegistry, figures: Callable[[], ClusterFigures | None]) -> None:
    """Show metrics of the journal, if this msgqueue belongs to a cluster."""
    if figures() is None:
        return

    def value(name: str) -> Callable[[], float]:
        return lambda: float(getattr(figures(), name))

    for name, field, words in COUNTED:
        counter(registry, name, words, value(field))
    for name, field, words in GAUGED:
        gauge(registry, name, words, value(field))
