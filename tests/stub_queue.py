"""A stub of msgqueue's ``/popmsg``: hands out a log that the test holds, and misbehaves on request."""

from pathlib import Path

import msgspec
from websockets.asyncio.server import ServerConnection

from fanline.presence.events import PRESENCE_PATTERNS
from fanline.protocol import (
    ACCESS_TOPIC,
    GapRange,
    Message,
    PageAnswer,
    Pop,
    PopCommand,
    Popping,
    Read,
    Record,
    encode,
    join_array,
    split_array,
)
from fanline.protocol.topics import matches
from tests.stubs import Stub

# Topics that each service reads at its start.
OF_THE_SERVICE = ([ACCESS_TOPIC], [*PRESENCE_PATTERNS])


class StubQueue(Stub):
    """Holds a log in memory, and hands it out as ``/popmsg`` does in v1.

    Attributes:
        log: Every message, also those that retention has dropped.
        floor: Positions up to this one are dropped by retention.
        reads: Every request for a page, in order.
        epoch: Random name of the log.
        cancelled: Numbers of the requests that were cancelled.
        is_mute: While true, requests for pages are not answered.
        evasions: What the next requests to follow are answered with instead, in order; then the connection
            is closed.
    """

    def __init__(self, cert_dir: Path, port: int = 0) -> None:
        super().__init__(cert_dir, port)
        self.log: list[Record] = []
        self.floor = 0
        self.reads: list[Read] = []
        self.epoch: str | None = None
        self.is_mute = False
        self.cancelled: list[int] = []
        self.evasions: list[object] = []
        self._popping: set[ServerConnection] = set()

    @property
    def followers(self) -> list[ServerConnection]:
        """The connections that follow the log."""
        return [connection for connection in self.connections if connection in self._popping]

    @property
    def is_popped(self) -> bool:
        """Return whether a connection follows the log."""
        return bool(self.followers)

    def store(self, topic: str, content: object) -> Record:
        """Add a message to the log without delivering it, as while no subscriber is connected."""
        seq = len(self.log) + 1
        body = encode(Message(topic, msgspec.Raw(encode(content)), seq, 1_700_000_000_000))
        self.log.append(Record(seq, topic, body))
        return self.log[-1]

    async def publish(self, *messages: tuple[str, object]) -> None:
        """Add messages to the log, and deliver them to all followers in one frame."""
        bodies = [self.store(topic, content).body for topic, content in messages]
        for connection in self.followers:
            await connection.send(join_array(bodies), text=True)

    async def receive(self, connection: ServerConnection, frame: bytes) -> None:
        for body in split_array(frame):
            command = msgspec.json.decode(body, type=PopCommand)
            if command.pop is not None:
                await self._pop(connection, command.pop)
            elif command.cancel is not None:
                self.cancelled.append(command.cancel)
            elif command.read is not None:
                # Not those that only ask for the end of the log, and those of the service itself.
                if command.read.topics and command.read.topics not in OF_THE_SERVICE:
                    self.reads.append(command.read)
                if not self.is_mute:
                    await connection.send(encode(self._page(command.read)), text=True)

    async def _pop(self, connection: ServerConnection, pop: Pop) -> None:
        if self.evasions:
            await connection.send(encode(self.evasions.pop(0)), text=True)
            await connection.close()
            return
        after = pop.after if isinstance(pop.after, int) else len(self.log)
        if after > len(self.log):
            error = {"error": "bad-position", "reason": "after is beyond the end"}
            await connection.send(encode(error), text=True)
            return
        gap = GapRange(after + 1, self.floor) if self.floor > after else None
        await connection.send(encode(Popping(None, after, gap, self.epoch)), text=True)
        self._popping.add(connection)
        missed = [record.body for record in self.log[max(after, self.floor) :]]
        if missed:
            await connection.send(join_array(missed), text=True)

    def _page(self, read: Read) -> PageAnswer:
        wanted = [
            record
            for record in self.log[self.floor :]
            if any(matches(topic, record.topic) for topic in read.topics)
        ]
        if read.after is None:
            before = read.before if read.before is not None else len(self.log) + 1
            found = [record for record in wanted if record.seq < before][-read.limit :]
            position = found[0].seq if found else 0
            gap = None
        elif read.latest is not None:
            newest = {record.topic: record for record in wanted if record.seq <= read.latest}
            rest = sorted(record for record in newest.values() if record.seq > read.after)
            found = rest[: read.limit]
            position = found[-1].seq if len(found) < len(rest) else read.latest
            gap = None
        else:
            rest = [record for record in wanted if record.seq > read.after]
            found = rest[: read.limit]
            position = found[-1].seq if len(found) < len(rest) else len(self.log)
            gap = GapRange(read.after + 1, self.floor) if self.floor > read.after else None
        raws = [msgspec.Raw(record.body) for record in found]
        return PageAnswer(read.ref, raws, max(position, read.after or 0), len(self.log), gap, self.epoch)
