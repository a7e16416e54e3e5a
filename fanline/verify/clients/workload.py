"""Topics published, and the subscriptions. No I/O.

Every message can be told by looking at it: its content names its publisher and its number, and from these
follows the whole of it, byte for byte.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from fanline.verify.verdict.observations import UNKNOWN, key_of

# Bytes of padding. Most messages are small; the large ones take several TLS records each, so that a link can
# be cut within one.
_SMALL: Final = (0, 20, 7, 120, 0, 60, 20, 30, 300, 0, 40, 20, 5, 80, 1_500, 20, 200, 0, 10)
_LARGE: Final = 9_000
_HUGE: Final = 40_000
_PAD: Final = "0123456789abcdef" * (_HUGE // 16)


class Content(msgspec.Struct):
    """The content of a message: the ``n``-th that publisher ``by`` has sent."""

    by: int
    n: int
    pad: str


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Content).decode


class Workload:
    """Topics of one run, under a root that no other has.

    Args:
        token: Name of the run, unique in the log.
        publishers: How many there are.
    """

    def __init__(self, token: str, publishers: int) -> None:
        self.root = f"verify.{token}"
        self._topics = [f"{self.root}.{rest}" for rest in ("a", "b.x", "b.y", "c", "c.d.e", "f")]
        self._publishers = publishers

    @property
    def everything(self) -> str:
        """The pattern of all topics of the run."""
        return f"{self.root}.>"

    def topics(self, publisher: int) -> Sequence[str]:
        """Return a publisher's topics in its own order.

        Its messages go to them in turn.
        """
        shift = publisher % len(self._topics)
        return self._topics[shift:] + self._topics[:shift]

    @property
    def subscriptions(self) -> Sequence[Sequence[str]]:
        """Sets of patterns for readers: topics, wildcards, and overlapping ones."""
        forms = [(">",), ("b.*",), ("c.>", "c"), ("*",), ("a",), ("a", "b.x", ">"), (">",)]
        return [[f"{self.root}.{rest}" for rest in form] for form in forms]

    def id(self, publisher: int, number: int) -> str:
        """Return a message's idempotency key, for clients that choose their own."""
        return f"{self.root}-{publisher}-{number}"

    def content(self, publisher: int, number: int) -> bytes:
        """Return the JSON text of a message."""
        return _encode(Content(publisher, number, _PAD[: _size(publisher + number)]))

    def identify(self, topic: str, content: bytes) -> int:
        """Return a received message's key, or ``UNKNOWN`` if not published so."""
        try:
            said = _decode(content)
        except msgspec.DecodeError:
            return UNKNOWN
        if said.by not in range(self._publishers) or said.n < 0:
            return UNKNOWN
        is_genuine = topic == self._topic(said) and content == self.content(said.by, said.n)
        return key_of(said.by, said.n) if is_genuine else UNKNOWN

    def _topic(self, said: Content) -> str:
        return self._topics[(said.by + said.n) % len(self._topics)]


def _size(number: int) -> int:
    if number % 500 == 50:
        return _HUGE
    return _LARGE if number % 100 == 10 else _SMALL[number % len(_SMALL)]
