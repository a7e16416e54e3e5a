"""Ready-made frames, as a server sends them (RFC 6455, 5.2: never masked)."""

from typing import Final

from websockets.frames import Frame, Opcode

# What a close frame has room for besides its code (RFC 6455, 5.5).
MAX_REASON_BYTES: Final = 123

PING: Final = Frame(Opcode.PING, b"").serialize(mask=False)
PONG: Final = Frame(Opcode.PONG, b"").serialize(mask=False)


def text_frame(payload: bytes) -> bytes:
    """Return the text frame around ``payload``.

    By hand, because it is done for every message, and the library's way takes five times as long.
    """
    size = len(payload)
    if size < 126:
        return b"\x81" + size.to_bytes(1, "big") + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def clip_reason(reason: str) -> str:
    """Return a close reason cut to the size of a close frame.

    The cut is between two characters.
    """
    return reason.encode(errors="replace")[:MAX_REASON_BYTES].decode(errors="ignore")
