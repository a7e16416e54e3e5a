r"""The content of messages: accepted JSON, and how Python values become JSON.

Content travels as its publisher's bytes, and is parsed by its readers alone. So what a reader could not hold
is refused before: JSON can spell numbers that are no double (``1e400``), halves of surrogate pairs
(``"\ud800"``), and any depth of nesting.
"""

import contextlib
import math
import re
from typing import Any, Final

import msgspec

from fanline.protocol.errors import ErrorCode, Rejected

MAX_DEPTH: Final = 64

# Content of so many bytes cannot be nested deeper: each level takes an opening and a closing bracket.
FLAT_BYTES: Final = 2 * MAX_DEPTH

# Possessive quantifiers: backtracking would keep a state for every byte.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_TO_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET: Final = bytes(set(range(256)) - set(b"[]{}"))

# A number of few digits with an exponent of one digit is small.
_TO_ZERO: Final = bytes.maketrans(b"123456789E", b"000000000e")
_LARGE_EXPONENT: Final = b"0e00"
_MANY_DIGITS: Final = b"0" * 250

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


def encode_content(value: Any) -> msgspec.Raw:
    """Return the JSON text of a value.

    Args:
        value: Anything that can be written as JSON; a :class:`msgspec.Raw` is JSON text already.

    Raises:
        Rejected: If it cannot be written as JSON that every reader can hold; NaN and infinity are not JSON.
    """
    try:
        if isinstance(value, msgspec.Raw):
            _decode(value)
            return value
        text = _encode(value)
        if b"null" in text and _has_non_finite(value):  # msgspec writes null for them
            raise ValueError("NaN and infinity are not JSON")
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        reason = f"the message cannot be written as JSON: {error}"
        raise Rejected(ErrorCode.BAD_MESSAGE, reason) from error
    return msgspec.Raw(text)


def may_be_unreadable(text: bytes) -> bool:
    """Return whether JSON text may hold what no reader can.

    For nearly all texts this decides.
    """
    if b"\\" in text and b"\\u" in text:  # one byte is found much faster than two
        return True
    digits = text.translate(_TO_ZERO, b"+")
    return _LARGE_EXPONENT in digits or _MANY_DIGITS in digits


def check_readable(content: bytes) -> Rejected | None:
    """Return why no reader could hold some content, or None.

    It is valid JSON in UTF-8.
    """
    if may_be_unreadable(content):
        try:
            _decode(content)
        except msgspec.DecodeError as error:
            return Rejected(ErrorCode.BAD_MESSAGE, f"no reader can hold the content: {error}")
        except RecursionError:
            return Rejected(ErrorCode.TOO_DEEP, f"the content is nested more than {MAX_DEPTH} levels deep")
    return None


def check_content(content: bytes, *, max_bytes: int) -> Rejected | None:
    """Return why content is too large or too deep, or None.

    Args:
        content: Valid JSON in UTF-8.
        max_bytes: Most that is accepted.
    """
    if len(content) > max_bytes:
        reason = f"the content has {len(content):,} bytes, and {max_bytes:,} are allowed"
        return Rejected(ErrorCode.TOO_BIG, reason)
    if content.count(b"[") + content.count(b"{") > MAX_DEPTH and _is_deep(content):
        reason = f"the content is nested more than {MAX_DEPTH} levels deep"
        return Rejected(ErrorCode.TOO_DEEP, reason)
    return None


def _is_deep(content: bytes) -> bool:
    """Return whether JSON text is nested too deep."""
    brackets = _STRING.sub(b"", content).translate(_TO_SQUARE, delete=_NO_BRACKET)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")  # takes off the innermost level, everywhere
    return bool(brackets)


def _has_non_finite(value: Any) -> bool:
    with contextlib.suppress(TypeError):  # there is ready-made JSON text in it
        value = msgspec.to_builtins(value)
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(map(_has_non_finite, value.values()))
    return isinstance(value, list | tuple | set | frozenset) and any(map(_has_non_finite, value))
