"""Logins on the wire: a password's header, and renewal of tokens.

The token of an open connection can be renewed. A token is renewed on ``/publish`` and ``/subscribe``::

    {"token": "eyJhbGciOi…"}                                        from the client, in a frame of its own
    {"token": {"expires": 1795309397}}                              from the service: it counts from now on
    {"token": {"error": "unauthorized", "reason": "it has expired"}}    the one before still counts
"""

import base64
from typing import Final

import msgspec

# A renewal has its one field within so many bytes; few other frames do.
_HEAD: Final = 32


class _Renewal(msgspec.Struct, forbid_unknown_fields=True):
    token: str


_decode: Final = msgspec.json.Decoder(_Renewal).decode


class TokenAnswer(msgspec.Struct, omit_defaults=True):
    """Expiry of a new token in Unix seconds, or an error."""

    expires: int | None = None
    error: str | None = None
    reason: str = ""


class TokenNotice(msgspec.Struct):
    """The answer to a renewal."""

    token: TokenAnswer


def decode_renewal(frame: bytes) -> str | None:
    """Return the token of a renewal; None for any other frame."""
    if frame.find(b'"token"', 0, _HEAD) < 0:
        return None
    try:
        return _decode(frame).token
    except msgspec.DecodeError:
        return None


def basic_authorization(user: str, password: str) -> str:
    """Return the ``Authorization`` header of a user's password (RFC 7617).

    Args:
        user: The name, which must not have a colon.
        password: The password.
    """
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
