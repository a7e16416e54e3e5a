"""Messages as text of one line, without control characters."""

from typing import Final

import msgspec

from fanline import Message

# The C0 and C1 controls, DEL, and the two line breaks of Unicode.
_CONTROLS: Final = {
    code: repr(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)
}


def escape_controls(text: str) -> str:
    """Return ``text`` with its control characters written as escapes."""
    return text.translate(_CONTROLS)


def content_of(message: Message) -> str:
    """Return the content for display, on one line.

    A string is shown itself, other values as JSON.
    """
    json = bytes(message.content)
    try:
        text = message.value() if json.startswith(b'"') else json.decode()
    except ValueError:  # half a surrogate pair, possible in JSON but not in text
        text = json.decode(errors="backslashreplace")
    return escape_controls(text)


def json_line(message: Message) -> bytes:
    """Return the whole message as JSON on one line."""
    return on_one_line(msgspec.json.encode(message))


def on_one_line(json: bytes) -> bytes:
    """Return JSON text without line breaks."""
    return msgspec.json.format(json, indent=-1) if b"\n" in json or b"\r" in json else json
