"""Access changes in the log: disconnected users and revoked tokens.

Each is the content of a message on the topic ``$access``, which all services follow::

    {"type":"disconnect","user":NAME}                       close the user's open connections
    {"type":"revoke-token","jti":ID}                        refuse the token with this id
    {"type":"revoke-user","user":NAME,"before":SECONDS}     refuse tokens of this name issued before

``from`` says who wanted it. Contents of other types are ignored, so that a newer service can say more.
"""

from typing import Final, TypeAlias

import msgspec

from fanline.protocol.messages import Message, Record

ACCESS_TOPIC: Final = "$access"


class _Change(msgspec.Struct, frozen=True, tag_field="type", forbid_unknown_fields=True):
    pass


class Disconnect(_Change, frozen=True, tag="disconnect"):
    """Close all open connections of a user, who may come back."""

    user: str


class RevokeToken(_Change, frozen=True, tag="revoke-token"):
    """Refuse a token."""

    jti: str


class RevokeUser(_Change, frozen=True, tag="revoke-user"):
    """Refuse a user's tokens issued before a time, in Unix seconds."""

    user: str
    before: float


AccessChange: TypeAlias = Disconnect | RevokeToken | RevokeUser


class LoggedChange(msgspec.Struct, frozen=True):
    """An access change, and when it was stored, in Unix seconds."""

    change: AccessChange
    time: float


_decode_message: Final = msgspec.json.Decoder(Message).decode
_decode_change: Final = msgspec.json.Decoder(AccessChange).decode


def decode_access_change(record: Record) -> LoggedChange | None:
    """Return a record's access change; None if its type is unknown."""
    try:
        message = _decode_message(record.body)
        return LoggedChange(_decode_change(message.content), message.time / 1000)
    except msgspec.DecodeError:
        return None
