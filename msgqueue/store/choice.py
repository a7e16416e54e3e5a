"""Choice of the engine by the settings: alone, or in a cluster."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from fanline.errors import ConfigurationError
from fanline.security.client_tls import client_context
from fanline.settings import read_secret
from msgqueue.settings import MsgQueueSettings
from msgqueue.store.base import Store
from msgqueue.store.replica.engine import JOURNAL_FRAME_BYTES, ReplicaStore
from msgqueue.store.replica.patience import Patience
from msgqueue.store.sqlite.engine import SqliteStore

# What a frame has besides the content of its messages.
FRAME_OVERHEAD: Final = 1 << 20

# An election of NATS takes up to 9 s, and sending again a second more.
LEAST_WAIT: Final = 20.0


class EngineChoice:
    """Opens the log of a msgqueue with the engine of its settings.

    Args:
        settings: Of msgqueue.
    """

    def __init__(self, settings: MsgQueueSettings) -> None:
        self._settings = settings

    async def open(
        self, folder: Path, *, dedupe_window: float, disk_reserve: int, clock: Callable[[], float]
    ) -> Store:
        """Open the log in a folder.

        Raises:
            ConfigurationError: If that fails; the text says why.
        """
        if self._settings.store == "sqlite":
            return await SqliteStore.open(
                folder, dedupe_window=dedupe_window, disk_reserve=disk_reserve, clock=clock
            )
        require_cluster(self._settings)
        return await self._join(folder, dedupe_window, disk_reserve, clock)

    async def _join(
        self, folder: Path, dedupe_window: float, disk_reserve: int, clock: Callable[[], float]
    ) -> Store:
        try:
            # The client library of NATS comes with the extra alone.
            from msgqueue.journal.jetstream import JetStreamJournal  # noqa: PLC0415
            from msgqueue.journal.servers import require_synced  # noqa: PLC0415
            from msgqueue.journal.session import NatsLogin  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f'store = "jetstream" needs {error.name}: pip install "fanline[cluster]"'
            ) from None
        settings = self._settings
        tls = client_context(settings.cert_dir)
        if not settings.journal_unverified:
            await require_synced(settings.nats_monitor_urls, tls)
        password = read_secret("nats_password_file", None, settings.nats_password_file) or ""
        journal = await JetStreamJournal.open(
            settings.nats_urls,
            settings.nats_stream,
            NatsLogin(tls, settings.nats_user, password),
            max_bytes=settings.journal_bytes,
            max_payload=JOURNAL_FRAME_BYTES + settings.max_frame + FRAME_OVERHEAD,
        )
        return await ReplicaStore.join(
            folder,
            journal,
            dedupe_window=dedupe_window,
            disk_reserve=disk_reserve,
            clock=clock,
            # Less than a publisher's, which then gets the reason before its own time is over.
            patience=Patience(give_up=settings.queue_wait * 0.75),
        )


def require_cluster(settings: MsgQueueSettings) -> None:
    """Raise ConfigurationError unless a cluster with these settings loses no message."""
    if not settings.nats_urls:
        raise ConfigurationError('nats_urls: store = "jetstream" needs the servers')
    if not settings.nats_monitor_urls and not settings.journal_unverified:
        raise ConfigurationError(
            'nats_monitor_urls: store = "jetstream" needs them, to ask each NATS server whether it syncs what'
            " it acknowledges; or set journal_unverified = true, if you know that"
        )
    if settings.queue_wait < LEAST_WAIT:
        raise ConfigurationError(
            f'queue_wait: store = "jetstream" needs {LEAST_WAIT:.0f} s or more, for publishers too: NATS'
            " takes up to 10 s to elect a leader"
        )
