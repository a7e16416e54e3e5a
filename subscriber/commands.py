"""Commands of subscribers: three spellings of ``sub`` and ``unsub``. No I/O.

::

    sub orders.eu                             text, as a person types it; then also after=41, last=50
                                              or latest=true, presence=true as=tablet
    {"Topic": "orders.eu", "Content": "sub"}  the original JSON, field names in any case
    {"sub": "orders.eu", "after": 41}         v1; also an array of these

and the same with ``unsub``, which takes no option.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from fanline.errors import ErrorCode, Rejected
from fanline.presence.events import require_presence
from fanline.protocol import MAX_ELEMENTS, fold_fields, split_array
from fanline.protocol.topics import require_pattern

_decode: Final = msgspec.json.decode
OPTIONS: Final = frozenset({"after", "last", "latest", "epoch", "presence", "as"})

_HINT: Final = 'expected: sub TOPIC, unsub TOPIC, {"sub": TOPIC} or {"unsub": TOPIC}'


class Command(NamedTuple):
    """A command to subscribe or unsubscribe.

    Attributes:
        subscribe: True for ``sub``, false for ``unsub``.
        pattern: The topic or pattern.
        after: Position after which to begin, or None.
        last: Number of newest messages to begin with, or None.
        epoch: Epoch of the log that ``after`` is a position of, if it is known.
        latest: Begin with the newest message of each topic.
        presence: Be present on the topic.
        session: The name to be present under, or None for any.
    """

    subscribe: bool
    pattern: str
    after: int | None = None
    last: int | None = None
    epoch: str | None = None
    latest: bool = False
    presence: bool = False
    session: str | None = None

    @property
    def verb(self) -> str:
        """The word for it."""
        return "sub" if self.subscribe else "unsub"

    @property
    def is_from_now(self) -> bool:
        """True if no message of the past is wanted."""
        return self.after is None and self.last is None and not self.latest


class RefusedCommand(NamedTuple):
    """A command that is wrong.

    Attributes:
        rejected: Why.
        verb: ``sub`` or ``unsub``, if it could be read.
        pattern: What it was for, likewise.
    """

    rejected: Rejected
    verb: str | None = None
    pattern: str | None = None


def parse(frame: bytes) -> Iterator[Command | RefusedCommand]:
    """Yield a frame's commands, each read only when it is requested."""
    frame = frame.strip()
    if not frame:
        return
    if frame[:1] not in b"[{":
        yield _attempt(_split_text, frame)
        return
    try:
        parts = list(split_array(frame, MAX_ELEMENTS))
    except Rejected as rejected:
        yield RefusedCommand(rejected)
        return
    except (msgspec.DecodeError, RecursionError) as error:
        yield RefusedCommand(Rejected(ErrorCode.BAD_JSON, f"the frame is not JSON: {error}"))
        return
    for part in parts:
        yield _attempt(_split_json, part)


def parse_switch(text: str) -> object:
    """Return the truth value that a text spells, or else the text."""
    return {"true": True, "false": False}.get(text, text)


def subscribe_command(pattern: str, options: Mapping[str, object]) -> Command:
    """Return the command to subscribe to a valid pattern.

    Args:
        pattern: The pattern.
        options: What it begins with, by name.

    Raises:
        Rejected: If an option is unknown, wrong, or excluded by another.
    """
    return _command("sub", pattern, dict(options))


class _Parts(NamedTuple):
    """A command as spelled, with options that are decoded on demand."""

    verb: str
    pattern: str
    options: Callable[[], dict[str, object]]


def _attempt(split: Callable[[bytes], _Parts], data: bytes) -> Command | RefusedCommand:
    verb = pattern = None
    try:
        verb, pattern, options = split(data)
        command = _command(verb, pattern, options())
        require_pattern(pattern)
    except Rejected as rejected:
        return RefusedCommand(rejected, verb, pattern)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = f"the frame cannot be read: {error}"
        return RefusedCommand(Rejected(ErrorCode.BAD_JSON, reason), verb, pattern)
    return command


def _split_text(frame: bytes) -> _Parts:
    words = frame.decode().split()
    if len(words) < 2 or words[0] not in ("sub", "unsub"):
        raise Rejected(ErrorCode.BAD_COMMAND, _HINT)
    verb, pattern, *options = words
    return _Parts(verb, pattern, lambda: dict(_parse_option(option) for option in options))


def _parse_option(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    if name == "as":
        return name, value
    is_number = value.isascii() and value.isdigit() and len(value) < 20
    return name, int(value) if is_number else parse_switch(value)


def _split_json(part: bytes) -> _Parts:
    fields = fold_fields(part)
    if "topic" in fields:
        verb, pattern = _decode(fields.pop("content", b"null")), _decode(fields.pop("topic"))
    else:
        verb = "sub" if "sub" in fields else "unsub"
        pattern = _decode(fields.pop(verb, b"null"))
    if verb not in ("sub", "unsub") or not isinstance(pattern, str):
        raise Rejected(ErrorCode.BAD_COMMAND, _HINT)
    return _Parts(verb, pattern, lambda: {name: _decode(value) for name, value in fields.items()})


def _command(verb: str, pattern: str, options: dict[str, object]) -> Command:
    unknown = sorted(options.keys() - (OPTIONS if verb == "sub" else set()))
    if unknown:
        raise Rejected(ErrorCode.BAD_COMMAND, f"{verb} has no option {unknown[0][:40]!a}")
    epoch, latest = options.pop("epoch", None), _pop_switch(options, "latest")
    presence, session = _pop_switch(options, "presence"), options.pop("as", None)
    if session is not None and not (presence and isinstance(session, str)):
        raise Rejected(ErrorCode.BAD_COMMAND, "as must be a text, and goes with presence")
    if len(options) + latest > 1:
        raise Rejected(ErrorCode.BAD_COMMAND, "after, last and latest exclude each other")
    if epoch is not None and ("after" not in options or not isinstance(epoch, str)):
        raise Rejected(
            ErrorCode.BAD_COMMAND, "epoch must be the one that was told with the position in after"
        )
    for name, value in options.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
            raise Rejected(ErrorCode.BAD_POSITION, f"{name} must be a whole number from 0 on")
    if presence:
        require_presence(pattern, session)
    options |= {"epoch": epoch, "latest": latest, "presence": presence, "session": session}
    return Command(verb == "sub", pattern, **options)  # type: ignore[arg-type]


def _pop_switch(options: dict[str, object], name: str) -> bool:
    value = options.pop(name, False)
    if not isinstance(value, bool):
        raise Rejected(ErrorCode.BAD_COMMAND, f"{name} must be true or false")
    return value
