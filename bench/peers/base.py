"""What is asked of a server that is to be measured, and of the language that its clients speak.

The *size* of a message is that of the JSON object that a subscriber gets, the same at every server::

    {"topic":"bench.0","seq":1000001,"content":"000010800123456xxxxxxxxx"}

Of the content the first digits are a *stamp*: when the message was due, in microseconds.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, NamedTuple, Self

from bench.wire import Address, Stream, client_frame
from fanline.errors import ConfigurationError

STAMP_DIGITS: Final = 15

# Every log begins behind this position, so that no message grows a digit while it is measured.
FIRST_POSITION: Final = 1_000_000


class Template(NamedTuple):
    """A publication, complete but for the stamp, which belongs between the two."""

    before: bytes
    after: bytes


class Dialect(ABC):
    """How clients speak to one kind of server. Can be pickled.

    Attributes:
        trifles: Sizes of TLS records that hold nothing but frame headers, where there are such records.
        mark: What stands once in every message, if the messages must be told by it and not by their size.
        settling: Seconds after which a new connection hears nothing any more but messages.
    """

    trifles: ClassVar[frozenset[int]] = frozenset()
    mark: ClassVar[bytes | None] = None
    settling: ClassVar[float] = 0.0

    @abstractmethod
    def subscribe(self, stream: Stream, topics: Sequence[str]) -> None:
        """Make a new connection that of a subscriber; when it returns, everything published is delivered."""

    @abstractmethod
    def prepare_publisher(self, stream: Stream) -> None:
        """Make a new connection that of a publisher."""

    @abstractmethod
    def publication(self, topic: str, size: int) -> Template:
        """Return what to send to publish a message of ``size`` bytes."""

    @abstractmethod
    def delivery_size(self, topic: str, size: int) -> int:
        """Return the bytes that such a message takes when it is delivered, all that is counted of it."""

    def resume(self, stream: Stream, topic: str, position: int) -> None:
        """Make a new connection that of a subscriber who comes back; of no use where nothing is kept.

        Args:
            stream: The connection.
            topic: What it was subscribed to.
            position: How far it had got.
        """
        del position
        self.subscribe(stream, [topic])

    def sign_of_life(self) -> bytes:
        """Return what a subscriber sends now and then, so that it is not taken for dead."""
        return b""


class Peer(ABC):
    """A server, or several that work together, while a ``with`` block runs.

    Args:
        folder: An empty folder for its files.
        certificates: The folder with ``ca.crt``, ``server.crt`` and ``server.key``.

    Attributes:
        name: What it is called.
        keeps: Whether a subscriber who comes back gets what it has missed.
        dialect: What its clients speak.
    """

    name: ClassVar[str]
    keeps: ClassVar[bool] = False
    dialect: Dialect

    def __init__(self, folder: Path, certificates: Path) -> None:
        self.folder = folder
        self.certificates = certificates

    @classmethod
    def missing(cls) -> str | None:
        """Return why this machine cannot run it, or None if it can."""
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
        """Its processes, by name; each with all of its children."""

    @property
    def delivering(self) -> str:
        """The name of the one that delivers: the first."""
        return next(iter(self.pids))

    @abstractmethod
    def kill(self, name: str) -> None:
        """Kill one of its processes, as a power cut would."""

    @abstractmethod
    def restart(self, name: str) -> None:
        """Start one of its processes again, on the port that it had."""

    @property
    @abstractmethod
    def publish_at(self) -> Address:
        """Where publishers connect."""

    @property
    @abstractmethod
    def subscribe_at(self) -> Address:
        """Where subscribers connect."""

    def address(self, port: int) -> Address:
        """Return the address with one of its ports."""
        return Address(port, self.certificates / "ca.crt")


@dataclass(frozen=True)
class Plain:
    """The JSON object of a message for servers that hand on what they are given."""

    topic: str
    size: int

    def template(self) -> Template:
        """Return the object, without its stamp."""
        before = f'{{"topic":"{self.topic}","seq":{FIRST_POSITION},"content":"'.encode()
        return filled(before, b'"}', self.size)


def filled(before: bytes, after: bytes, size: int) -> Template:
    """Return a template with so much filling behind the stamp that it comes to ``size`` bytes.

    Raises:
        ConfigurationError: If it has more already.
    """
    filling = size - len(before) - STAMP_DIGITS - len(after)
    if filling < 0:
        raise ConfigurationError(f"size: {size} bytes are too few for a message, which has {size - filling}")
    return Template(before, b"x" * filling + after)


def framed(template: Template, opcode: int) -> Template:
    """Return the template of a WebSocket frame around that of its payload."""
    frame = client_frame(template.before + bytes(STAMP_DIGITS) + template.after, opcode)
    before, after = len(frame) - len(template.after) - STAMP_DIGITS, len(template.after)
    return Template(frame[:before], frame[len(frame) - after :])
