"""Catalog of sentences by which chat refuses requests or closes connections.

A refusal has a code for programs and, if one field of the request is to be changed, its name. Sentences say
what was wrong and what to do; :class:`~chat.domain.errors.Refused` fills in their braces.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from fanline import CloseCode, ErrorCode
from fanline.server import ProblemCode


class ChatCode(StrEnum):
    """Codes of chat, in addition to those of all services."""

    BAD_NAME = "bad-name"
    BAD_PAGE = "bad-page"
    BAD_ROOM = "bad-room"
    CLOSED = "closed"
    NAME_TAKEN = "name-taken"
    NO_GUESTS = "no-guests"
    ROOM_DELETED = "room-deleted"
    ROOM_EXISTS = "room-exists"
    ROOM_NAME_EXISTS = "room-name-exists"
    TOO_MANY_OWN_ROOMS = "too-many-own-rooms"
    TOO_MANY_ROOMS = "too-many-rooms"
    UNKNOWN_ROOM = "unknown-room"
    WRONG_PASSWORD = "wrong-password"


class Sentence(NamedTuple):
    """Reason why a request is refused.

    Attributes:
        code: The kind of refusal, for programs.
        text: The sentence, with names in braces.
        field: The field of the request to change; None if there is none.
    """

    code: str
    text: str
    field: str | None = None


class Ending(NamedTuple):
    """Reason why a connection is closed.

    Attributes:
        code: The WebSocket close code, which tells a client what to do.
        text: The sentence.
    """

    code: int
    text: str


# Logins.

WRONG_PASSWORD: Final = Sentence(
    ChatCode.WRONG_PASSWORD, "This is not the password of this server.", "password"
)
TOO_MANY_FAILURES: Final = Sentence(
    ProblemCode.TOO_MANY_FAILURES,
    "Too many logins from your network have failed. Wait {seconds} seconds, then try again.",
    "password",
)
NO_GUESTS: Final = Sentence(ChatCode.NO_GUESTS, "This server has no guests. Log in with its password.")
NO_TOKEN: Final = Sentence(ProblemCode.UNAUTHORIZED, "Log in first: this needs a token.")
NO_TOKEN_TO_JOIN: Final = Sentence(ErrorCode.BAD_MESSAGE, "Log in first: /join needs the token of a login.")
LOGGED_OUT_TOKEN: Final = Sentence(
    ProblemCode.UNAUTHORIZED, "This login was ended by a logout. Log in again."
)

# Names, ids and texts.

NAME_LENGTH: Final = Sentence(
    ChatCode.BAD_NAME, "A name has 1 to {most} characters. This one has {length:,}.", "name"
)
NAME_CHARACTER: Final = Sentence(
    ChatCode.BAD_NAME, "A name cannot contain the character U+{character:04X}.", "name"
)
NAME_UNSEEN: Final = Sentence(
    ChatCode.BAD_NAME, "A name needs at least one character that can be seen.", "name"
)
NAME_RESERVED: Final = Sentence(ChatCode.BAD_NAME, "The name {name} is reserved. Choose another one.", "name")
NAME_TAKEN: Final = Sentence(
    ChatCode.NAME_TAKEN, "Another person uses the name {name} at present. Choose another one.", "name"
)
ROOM_ID: Final = Sentence(
    ChatCode.BAD_ROOM, "A room id has 1 to {most} characters, and at most {bytes} bytes in UTF-8.", "id"
)
TEXT_UNSEEN: Final = Sentence(
    ErrorCode.BAD_MESSAGE, "A message needs at least one character that can be seen.", "message"
)
TEXT_ENCODING: Final = Sentence(
    ErrorCode.BAD_MESSAGE, "A message is text that can be encoded in UTF-8.", "message"
)
TEXT_LENGTH: Final = Sentence(
    ErrorCode.TOO_BIG,
    "The message is too long. It has {size:,} bytes, and {most:,} are allowed.",
    "message",
)

# Rooms.

UNKNOWN_ROOM: Final = Sentence(ChatCode.UNKNOWN_ROOM, "There is no room {room}.", "id")
ROOM_EXISTS: Final = Sentence(
    ChatCode.ROOM_EXISTS, "There is a room {room} already. Choose another id, or none.", "id"
)
ROOM_NAME_EXISTS: Final = Sentence(
    ChatCode.ROOM_NAME_EXISTS,
    "There is a room {name} already, #{room}. Choose another name, or make it anyway.",
    "name",
)
TOO_MANY_ROOMS: Final = Sentence(
    ChatCode.TOO_MANY_ROOMS, "The limit of {limit:,} rooms is reached. Delete a room that is no longer used."
)
TOO_MANY_OWN_ROOMS: Final = Sentence(
    ChatCode.TOO_MANY_OWN_ROOMS,
    "You have made {limit:,} rooms, as many as one person may. Delete one that is no longer used.",
)
TOO_MANY_NEW_ROOMS: Final = Sentence(
    ErrorCode.RATE_LIMITED,
    "Guests at your address have made many rooms. Wait {seconds} seconds, or log in with the password.",
)
LOBBY_STAYS: Final = Sentence(ErrorCode.FORBIDDEN, "The lobby cannot be deleted.")
NOT_YOURS: Final = Sentence(
    ErrorCode.FORBIDDEN, "Only the person who made this room, or an admin, can do that."
)
ROOM_DELETED: Final = Sentence(ChatCode.ROOM_DELETED, "The room has been deleted.")

# Pages of messages.

BAD_PAGE: Final = Sentence(
    ChatCode.BAD_PAGE, "There is no page {page}. Pages are numbered from 1 to {pages}.", "page"
)
TWO_POSITIONS: Final = Sentence(ErrorCode.BAD_POSITION, "Give before or after, not both.", "before")

# Frames.

NOT_TEXT: Final = Sentence(ErrorCode.BAD_MESSAGE, "A message must be text in UTF-8.")
NOT_JSON: Final = Sentence(ErrorCode.BAD_JSON, "The frame is not JSON: {error}.")
NOT_A_MESSAGE: Final = Sentence(ErrorCode.BAD_MESSAGE, "This is not a message: {error}.")
CLOSED: Final = Sentence(ChatCode.CLOSED, "The connection was closed before the message was stored. {reason}")
UPGRADE_REQUIRED: Final = Sentence(ProblemCode.UPGRADE_REQUIRED, "This is a WebSocket: connect with wss://.")

# What passes.

AWAY: Final = Sentence(ProblemCode.UNAVAILABLE, "The message queue is out of reach.")
STARTING: Final = Sentence(
    ProblemCode.UNAVAILABLE, "This server is starting: it is still reading the log. Try again in a moment."
)
STOPPING: Final = Sentence(ProblemCode.UNAVAILABLE, "This server stops. Try again in a moment.")
NOT_READY: Final = Sentence(
    ProblemCode.UNAVAILABLE, "The pipeline is not ready. The log of this server says why."
)
NOT_JOINED: Final = Sentence(ProblemCode.UNAVAILABLE, "You were logged out, or this server stops.")
NOT_IN_TIME: Final = Sentence(ProblemCode.UNAVAILABLE, "It could not be stored in time: {problem}.")
NOT_STORED: Final = Sentence(ProblemCode.UNAVAILABLE, "It was not stored: {problem}.")
NOT_CONNECTED: Final = Sentence(
    ProblemCode.UNAVAILABLE, "This server has no connection to the pipeline. Try again in a moment."
)
NOT_BACK: Final = Sentence(
    ProblemCode.UNAVAILABLE, "It is stored, and has not come back from the pipeline yet. Look again later."
)
NOT_READABLE: Final = Sentence(ProblemCode.UNAVAILABLE, "The messages cannot be read at present: {problem}.")

# Ends of connections.

SERVER_STOPS: Final = Ending(CloseCode.GOING_AWAY, "This server stops. Reconnect.")
STARTS_OVER: Final = Ending(CloseCode.TRY_AGAIN_LATER, "This server starts over. Reconnect.")
OUT_OF_REACH: Final = Ending(CloseCode.TRY_AGAIN_LATER, "This server was out of reach. Reconnect with after.")
COULD_NOT_JOIN: Final = Ending(CloseCode.TRY_AGAIN_LATER, "The room could not be joined.")
TOO_SLOW: Final = Ending(CloseCode.SLOW_CONSUMER, "Too many messages were waiting. Reconnect with after.")
ROOM_GONE: Final = Ending(CloseCode.ROOM_DELETED, "The room has been deleted.")
LOGGED_OUT: Final = Ending(CloseCode.LOGGED_OUT, "You are logged out.")

# Requests of the wrong form, by the type of pydantic's error; any other one is not valid.

FORMS: Final[Mapping[str, str]] = {
    "bool_parsing": "The {field} must be true or false.",
    "extra_forbidden": "There is no field {field}.",
    "greater_than_equal": "The {field} must be at least {ge:,}.",
    "int_from_float": "The {field} must be a whole number.",
    "int_parsing": "The {field} must be a whole number.",
    "int_parsing_size": "The {field} is too large.",
    "json_invalid": "The request is not JSON.",
    "less_than_equal": "The {field} must be at most {le:,}.",
    "literal_error": "The {field} must be {expected}.",
    "missing": "The {field} is missing.",
    "model_attributes_type": "The request must be a JSON object.",
    "model_type": "The request must be a JSON object.",
    "string_too_long": "The {field} may have {max_length:,} characters at most.",
    "string_too_short": "The {field} needs {min_length:,} or more characters.",
    "string_type": "The {field} must be text.",
}
INVALID: Final = "The {field} is not valid."
