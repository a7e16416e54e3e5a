"""The interfaces of a measured server (:class:`Peer`) and of its protocol (:class:`Dialect`).

The *size* of a message is that of the JSON object that a subscriber receives, the same at every server::

    {"topic":"bench.0","seq":1000001,"content":"000010800123456xxxxxxxxx"}

The first digits of the content are a *stamp*: the scheduled moment of the message, in microseconds.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, Final, NamedTuple, Self

from bench.load.wire import TEXT, Address, Stream, client_frame, server_header_size
from bench.peers.process import ServerProcess, free_port, is_listening
from fanline.errors import ConfigurationError

STAMP_DIGITS: Final = 15
ERROR_MARK: Final = b'"error":'

# Every log begins after this position, so that no message grows a digit while it is measured.
FIRST_POSITION: Final = 1_000_000


class Template(NamedTuple):
    """A publication, complete but for the stamp between its two parts."""

    before: bytes
    after: bytes


class Dialect(ABC):
    """The protocol between one kind of server and its clients.

    It can be pickled.

    Attributes:
        opcode: The kind of frames.
        ignored: Sizes of TLS records that hold nothing but frame headers, if the server sends such records.
        mark: Bytes that every message has once, if messages cannot be counted by their size.
        ack_mark: Bytes that every acknowledgement has once.
        settling: Seconds after which a new connection receives nothing but messages.
        keepalive: What a subscriber sends between two loads.
    """

    opcode: ClassVar[int] = TEXT
    ignored: ClassVar[frozenset[int]] = frozenset()
    mark: ClassVar[bytes | None] = None
    ack_mark: ClassVar[bytes] = b'"seq":'
    settling: ClassVar[float] = 0.0
    keepalive: ClassVar[bytes] = b""

    @abstractmethod
    def subscribe(self, stream: Stream, topics: Sequence[str], after: int | None = None) -> None:
        """Log in on a new connection, and subscribe.

        Every new message is delivered after this returns.

        Args:
            stream: The connection.
            topics: Topics or patterns.
            after: The position after which to resume, where the server keeps messages.
        """

    @abstractmethod
    def prepare_publisher(self, stream: Stream, name: str = "publisher") -> None:
        """Log in on a new connection as a publisher.

        ``name`` is unique among acknowledged publishers.
        """

    @abstractmethod
    def payload(self, topic: str, size: int) -> Template:
        """Return a frame's payload that publishes ``size`` bytes."""

    def acked_payload(self, name: str, size: int, together: int) -> bytes:
        """Return a frame's payload that publishes ``together`` contents of ``size`` bytes."""
        raise NotImplementedError

    def delivery_size(self, topic: str, size: int) -> int:
        """Return a delivery's counted bytes for a message of ``size`` bytes."""
        del topic
        return size + server_header_size(size)

    def publication(self, topic: str, size: int) -> Template:
        """Return the frame around :meth:`payload`."""
        before, after = self.payload(topic, size)
        frame = client_frame(before + bytes(STAMP_DIGITS) + after, self.opcode)
        end = len(frame) - len(after)
        return Template(frame[: end - STAMP_DIGITS], frame[end:])

    def acked_publication(self, name: str, size: int, together: int) -> bytes:
        """Return the frame around :meth:`acked_payload`."""
        return client_frame(self.acked_payload(name, size, together), self.opcode)


class Peer(ABC):
    """A server, or several that work together, inside a ``with`` block.

    Args:
        folder: A folder for its files.
        certificates: The folder with ``ca.crt``, ``server.crt`` and ``server.key``.

    Attributes:
        name: Its name in tables.
        keeps: Whether a subscriber that reconnects receives the messages it missed.
        dialect: The protocol of its clients.
    """

    name: ClassVar[str]
    keeps: ClassVar[bool] = False
    dialect: Dialect

    def __init__(self, folder: Path, certificates: Path) -> None:
        self.folder = folder
        self.certificates = certificates

    @classmethod
    def missing(cls) -> str | None:
        """Return why the server cannot run on this machine, or None."""
        return None

    @classmethod
    @abstractmethod
    def version(cls) -> str:
        """Return its version."""

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(self, *_: object) -> None: ...

    @property
    @abstractmethod
    def pids(self) -> Mapping[str, int]:
        """The server's processes by name, the delivering one first.

        Their descendants belong to them.
        """

    @property
    def delivering(self) -> str:
        """The name of the process that delivers."""
        return next(iter(self.pids))

    @abstractmethod
    def kill(self, name: str) -> None:
        """Kill one of its processes, as a power cut would."""

    @abstractmethod
    def restart(self, name: str) -> None:
        """Start a killed process again, on the same port."""

    @property
    @abstractmethod
    def publish_at(self) -> Address:
        """The address for publishers."""

    @property
    @abstractmethod
    def subscribe_at(self) -> Address:
        """The address for subscribers."""

    def address(self, port: int) -> Address:
        """Return the address with one of its ports."""
        return Address(port, self.certificates / "ca.crt")


class SingleServer(Peer):
    """A server that is one process with one port.

    Attributes:
        port: Its port.
    """

    def __init__(self, folder: Path, certificates: Path) -> None:
        super().__init__(folder, certificates)
        self.port = free_port()
        self._running = ExitStack()
        self._process: ServerProcess

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Write its configuration, and return its command line."""

    def prepare(self) -> None:
        """Do what remains once it listens."""

    def __enter__(self) -> Self:
        with self._running:
            self.restart(self.name)
            self.prepare()
            self._running = self._running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    @property
    def pids(self) -> Mapping[str, int]:
        return {self.name: self._process.pid}

    @property
    def publish_at(self) -> Address:
        return self.address(self.port)

    @property
    def subscribe_at(self) -> Address:
        return self.address(self.port)

    def kill(self, name: str) -> None:
        del name
        self._process.kill()

    def restart(self, name: str) -> None:
        del name
        self._process = process = ServerProcess(self.command(), self.folder / "log")
        self._running.callback(process.stop)
        process.wait_until(lambda: is_listening(self.port))


def message(topic: str, size: int) -> Template:
    """Return a message's JSON object, for servers that deliver it unchanged."""
    return padded(f'{{"topic":"{topic}","seq":{FIRST_POSITION},"content":"'.encode(), b'"}', size)


def padded(before: bytes, after: bytes, size: int) -> Template:
    """Return a template filled up to ``size`` bytes after the stamp.

    Raises:
        ConfigurationError: If it is longer than that without filling.
    """
    filling = size - len(before) - STAMP_DIGITS - len(after)
    if filling < 0:
        raise ConfigurationError(f"size: {size} bytes are too few for a message, which has {size - filling}")
    return Template(before, b"x" * filling + after)
