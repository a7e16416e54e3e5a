"""Arrays: several messages or commands in one frame, each with an answer.

Each element costs work, however small it is. So an array of very many is given up in the middle,
and refused as a whole.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Final

import msgspec

from fanline.protocol.content import MAX_DEPTH
from fanline.protocol.errors import ErrorCode, Rejected
from fanline.protocol.messages import NewMessage

# Messages or commands of one frame to a service.
MAX_ELEMENTS: Final = 5_000

# In an array of this size, messages are counted while it is decoded.
_MANY_BYTES: Final = 256 << 10


class _TooManyError(Exception):
    """An array has more than :data:`MAX_ELEMENTS`."""


class _Counted:
    """Counter of an array's objects, to stop decoding in the middle."""

    count: ClassVar[int] = 0

    def __post_init__(self) -> None:
        _Counted.count += 1
        if _Counted.count > MAX_ELEMENTS:
            raise _TooManyError


class _CountedMessage(NewMessage, _Counted):
    pass


class _Identified(msgspec.Struct):
    id: str | None = None


class _CountedObject(msgspec.Struct, _Counted):
    pass


_decode_identified = msgspec.json.Decoder(_Identified).decode
decode_new = msgspec.json.Decoder(NewMessage).decode
_decode_many_new = msgspec.json.Decoder(list[NewMessage]).decode
_decode_many_counted = msgspec.json.Decoder(list[_CountedMessage]).decode
_decode_many_objects = msgspec.json.Decoder(list[_CountedObject]).decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode


def join_array(bodies: Sequence[bytes]) -> bytes:
    """Return the JSON array of values that are encoded already."""
    return b"[" + b",".join(bodies) + b"]"


def split_array(frame: bytes, max_elements: int = sys.maxsize) -> Iterator[bytes]:
    """Yield each element's JSON text, or a value that is no array.

    Raises:
        msgspec.DecodeError: If the frame is not JSON.
        Rejected: If there are too many elements; then none is yielded.
    """
    if not frame.lstrip().startswith(b"["):
        yield frame
        return
    elements = _decode_raws(frame)
    if len(elements) > max_elements:
        raise _too_many(max_elements)
    for element in elements:
        yield bytes(element)


def decode_messages(frame: bytes) -> list[NewMessage | Rejected]:
    """Read an array of messages, with a refusal for each bad one.

    Too many messages together get one refusal.
    """
    try:
        messages = _decode_many_new(frame) if len(frame) < _MANY_BYTES else _decode_counted(frame)
        return list(messages) if len(messages) <= MAX_ELEMENTS else [_too_many(MAX_ELEMENTS)]
    except (msgspec.DecodeError, RecursionError):
        pass
    except _TooManyError:
        return [_too_many(MAX_ELEMENTS)]
    try:
        if frame.count(b",") >= MAX_ELEMENTS:
            _decode_objects(frame)  # splitting could give millions of them
        elements = _decode_raws(frame)
    except (msgspec.DecodeError, RecursionError) as error:
        return [as_rejected(error)]
    except _TooManyError:
        return [_too_many(MAX_ELEMENTS)]
    return [decode_or_refuse(decode_new, bytes(element)) for element in elements]


def _decode_counted(frame: bytes) -> Sequence[NewMessage]:
    """Decode messages, and stop when they are too many."""
    _Counted.count = 0
    return _decode_many_counted(frame)


def _decode_objects(frame: bytes) -> None:
    """Decode an array of objects, and stop at anything else.

    Too many objects stop it as well.
    """
    _Counted.count = 0
    _decode_many_objects(frame)


def _too_many(limit: int) -> Rejected:
    return Rejected(ErrorCode.TOO_BIG, f"{limit:,} elements may be sent at a time, and these are more")


def decode_or_refuse(decode: Callable[[bytes], NewMessage], data: bytes) -> NewMessage | Rejected:
    """Return one message, or why it cannot be read."""
    try:
        return decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        rejected = as_rejected(error)
        rejected.id = _id_of(data)
        return rejected


def _id_of(data: bytes) -> str | None:
    """Return an unreadable message's id, if that is readable."""
    try:
        return _decode_identified(data).id
    except (msgspec.DecodeError, RecursionError):
        return None


def as_rejected(error: Exception) -> Rejected:
    """Return the refusal that an error of decoding stands for."""
    if isinstance(error, msgspec.ValidationError):
        return Rejected(ErrorCode.BAD_MESSAGE, f'expected {{"topic", "content", "id"?}}: {error}')
    if isinstance(error, RecursionError):
        return Rejected(ErrorCode.TOO_DEEP, f"what was sent is nested more than {MAX_DEPTH} levels deep")
    return Rejected(ErrorCode.BAD_JSON, f"what was sent is not JSON: {error}")
