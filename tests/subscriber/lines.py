"""A codec whose frames are lines, for tests without a WebSocket: a record is its position."""

import json
from typing import Any

import msgspec

from fanline.protocol import Message, Record, encode


class LineCodec:
    """Encodes a record as its position and a notice as its JSON, each on a line; counts records."""

    def __init__(self, *, has_notices: bool = True) -> None:
        self.has_notices = has_notices
        self.encoded = 0

    def encode_record(self, record: Record) -> bytes:
        self.encoded += 1
        return b"%d\n" % record.seq

    def encode_notice(self, notice: msgspec.Struct) -> bytes:
        return encode(notice) + b"\n"


def decode_lines(frames: bytes) -> list[Any]:
    """Return positions and notices."""
    return [json.loads(line) for line in frames.splitlines()]


def record(seq: int, topic: str = "a") -> Record:
    """Return a record that holds its position."""
    return Record(seq, topic, encode(Message(topic, msgspec.Raw(b"%d" % seq), seq, time=7)))
