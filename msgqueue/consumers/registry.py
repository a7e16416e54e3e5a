"""The durable consumers of a log, by name, and their stored positions.

Connections with the same name share the work: each record goes to one of them. Records that a connection has
not reported done when it leaves go to another one. All records up to the stored position are done, so after a
crash records may be delivered again, and none is skipped.

With a limit of deliveries, a record that no connection survives does not come back for ever. When one ends,
the delivery of the oldest record that it has not done fails: it worked on that. From then on the record is
delivered alone, which shows if it is the cause. After so many failures it is dead: a message about it goes
to ``$dead.CONSUMER``, in the same commit as the position after it.
"""

import asyncio
import logging
import re
from typing import Final

import msgspec

from fanline.errors import ErrorCode, Rejected, StoreError
from fanline.protocol import ConsumerState, NewMessage, Record, encode
from fanline.protocol.topics import MAX_TOPIC_LENGTH
from fanline.tasks import cancel_and_wait, start_task
from msgqueue.consumers.consumer import DEAD_LETTERS, Consumer
from msgqueue.log import Log

logger = logging.getLogger(__name__)

DEFAULT_CONSUMER: Final = "default"

SAVE_SECONDS: Final = 0.2


def dead_letter(consumer: str, record: Record, deliveries: int) -> NewMessage:
    """Return the message that tells of a dead record.

    What a topic cannot have is written as ``%XX`` in the consumer's name.
    """
    token = re.sub("[ .*>%]", lambda found: f"%{ord(found[0]):02X}", consumer)
    content = {"consumer": consumer, "deliveries": deliveries, "message": msgspec.Raw(record.body)}
    topic = f"{DEAD_LETTERS}{token}"[:MAX_TOPIC_LENGTH]
    # With an id, as it is stored again if it is unknown whether it was.
    return NewMessage(topic, msgspec.Raw(encode(content)), f"{DEAD_LETTERS}{consumer}.{record.seq}")


class Consumers:
    """The durable consumers of a log, by name.

    Args:
        log: The log.
        max_deliveries: Failed deliveries after which a record is dead; 0 for no limit.
    """

    def __init__(self, log: Log, *, max_deliveries: int = 0) -> None:
        self._log = log
        self._max_deliveries = max_deliveries
        self._by_name: dict[str, Consumer] = {}
        self._shared: set[str] = set()
        self._saver: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the stored positions, and start to save changes."""
        for name, position in (await self._log.cursors()).items():
            self._by_name[name] = Consumer(
                name, self._log, position, max_deliveries=self._max_deliveries, is_stored=True
            )
        self._saver = start_task(self._save_forever())

    async def close(self) -> None:
        """Save every position, and leave the rest to other msgqueues."""
        if self._saver is not None:
            await cancel_and_wait(self._saver)
            await self._save()

    def get(self, name: str, start: int) -> Consumer:
        """Return the consumer of a name, and make it if missing.

        A new one begins after position ``start``.
        """
        if name not in self._by_name:
            self._by_name[name] = Consumer(name, self._log, start, max_deliveries=self._max_deliveries)
        return self._by_name[name]

    def _follow_others(self) -> None:
        """Adopt the list of consumers that other msgqueues have.

        Those they have forgotten are removed, unless they have members here.
        """
        positions = self._log.claims.positions()
        for name in self._shared - positions.keys():
            if name in self._by_name and not self._by_name[name].members:
                del self._by_name[name]
        for name, position in positions.items():
            self.get(name, position)
        self._shared = set(positions)

    @property
    def dead_letters(self) -> int:
        """Number of messages that consumers failed at too often, since the start."""
        return sum(consumer.dead_letters for consumer in self._by_name.values())

    def states(self) -> list[ConsumerState]:
        """Return the state of each consumer, by name."""
        self._follow_others()
        return [
            ConsumerState(
                name,
                consumer.position,
                self._log.head - consumer.position,
                consumer.members,
                consumer.failing,
                consumer.dead_letters,
            )
            for name, consumer in sorted(self._by_name.items())
        ]

    async def forget(self, name: str) -> None:
        """Remove a consumer and its position.

        Raises:
            Rejected: If there is no such consumer, or a connection uses it.
            StoreError: If the log cannot be written.
        """
        self._follow_others()
        consumer = self._by_name.get(name)
        if consumer is None:
            raise Rejected(ErrorCode.BAD_COMMAND, f"there is no durable consumer {name!a}")
        if consumer.members:
            reason = f"{consumer.members} connections share the consumer {name}: end them first"
            raise Rejected(ErrorCode.BAD_COMMAND, reason)
        if self._log.claims.is_in_use_elsewhere(name):
            reason = f"another msgqueue has connections that share the consumer {name}: end them first"
            raise Rejected(ErrorCode.BAD_COMMAND, reason)
        del self._by_name[name]
        await self._log.delete_cursor(name)

    async def _save_forever(self) -> None:
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            for name, consumer in tuple(self._by_name.items()):
                await self._bury_dead(name, consumer)
                consumer.notice()
            await self._save()

    async def _bury_dead(self, name: str, consumer: Consumer) -> None:
        """Store a message about each dead record whose turn has come."""
        while (record := consumer.next_dead) is not None and self._by_name.get(name) is consumer:
            letter = dead_letter(name, record, self._max_deliveries)
            try:
                await self._log.append_and_set_cursor(letter, name, record.seq)
            except StoreError as error:
                logger.warning("cannot store a dead letter of %s, will try again: %s", name, error)
                return
            consumer.bury(record.seq)
            logger.error(
                "consumer %s failed at message %d %d times: it is in %s now",
                name,
                record.seq,
                self._max_deliveries,
                letter.topic,
            )

    async def _save(self) -> None:
        for name, consumer in tuple(self._by_name.items()):
            if self._by_name.get(name) is not consumer:  # it was forgotten while another one was saved
                continue
            try:
                await consumer.save()
                await consumer.release()
            except StoreError as error:
                logger.warning("cannot save the position of consumer %s, will try again: %s", name, error)
                return
