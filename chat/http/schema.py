"""The shapes of what goes over HTTP, for the description that programs can read (OpenAPI)."""

from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from fastapi.security import APIKeyQuery, HTTPBasic, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from chat.domain.names import MAX_LENGTH

# The greatest that the pipeline takes.
MAX_POSITION: Final = 10**18 - 1

BEARER: Final = HTTPBearer(
    scheme_name="bearer", auto_error=False, description="A token of `POST /login` or `POST /guest`."
)
PARAMETER: Final = APIKeyQuery(
    name="token",
    scheme_name="parameter",
    auto_error=False,
    description="The same token, for browsers: their WebSockets can send no header.",
)
BASIC: Final = HTTPBasic(
    scheme_name="basic", auto_error=False, description="A user of the pipeline, with their password."
)

ROOM_ID: Final = "^[A-Za-z0-9_-]{1,64}$"

Id = Annotated[str, Field(examples=["lobby"], pattern=ROOM_ID)]
Name = Annotated[str, Field(examples=["Coral Otter"], min_length=1, max_length=MAX_LENGTH)]
MemberId = Annotated[str, Field(examples=["9c1185a5c5e9fc54612808977ee8f548"])]
Seq = Annotated[int, Field(examples=[42], ge=0, description="A position in the log.")]
Count = Annotated[int, Field(examples=[3], ge=0)]


class _Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)


class Problem(BaseModel):
    """Why there is another answer than the one that was asked for."""

    error: str = Field(examples=["unknown-room"], description="The kind of problem, for programs.")
    reason: str = Field(examples=["there is no room 'cellar'"], description="A sentence for people.")


class Credentials(BaseModel):
    """What to log in with."""

    model_config = ConfigDict(extra="forbid", strict=True)

    password: str = Field(examples=["test"], description="The password of this server.")
    name: str = Field(
        examples=["Ada"],
        min_length=1,
        max_length=MAX_LENGTH,
        pattern=r"\S",
        description="The display name, without control characters.",
    )


class Login(BaseModel):
    """A token, and whom it is for."""

    token: str = Field(examples=["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.…"])
    name: Name
    expires: int = Field(examples=[1_795_209_095_000], description="In Unix milliseconds.")


class RoomHead(_Camel):
    """A room that was made."""

    room_id: Id
    room_name: Name


class RoomSummary(RoomHead):
    """A room, as a list shows it."""

    members: Count
    messages: Count = Field(description="How many messages were said in it.")
    seq: Seq = Field(description="The position of the newest thing that happened in it.")


class Member(BaseModel):
    """Somebody in a room."""

    id: MemberId
    name: Name


class RoomDetails(RoomHead):
    """A room, and who is there."""

    members: list[Member]
    messages: Count
    seq: Seq


class Entry(_Camel):
    """Something that happened in a room."""

    id: str = Field(examples=["42"])
    seq: Seq
    room_id: Id
    member_id: MemberId
    member_name: Name
    type: Literal["chat", "joined", "left"]
    message: str = Field(examples=["Hello, world"], description="Empty unless `type` is `chat`.")
    sent: str = Field(examples=["2026-11-20T09:18:15.123Z"])


class HistoryPage(BaseModel):
    """A page of what was said in the lobby, oldest first."""

    page: int = Field(examples=[1], ge=1)
    pages: int = Field(examples=[1], ge=1)
    messages: list[Entry]


class Health(BaseModel):
    """All is well."""

    status: Literal["ok"]


_SAID: Final = {
    HTTPStatus.BAD_REQUEST: "Something in the request cannot be used.",
    HTTPStatus.UNAUTHORIZED: "There is no token, or not a good one.",
    HTTPStatus.FORBIDDEN: "Nobody may do that, or no page of another site.",
    HTTPStatus.NOT_FOUND: "There is no such room.",
    HTTPStatus.CONFLICT: "There is a room with this id already.",
    HTTPStatus.UPGRADE_REQUIRED: "This is a WebSocket, and the request did not ask for one.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many logins have failed; `Retry-After` tells how long to wait.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The pipeline does not answer, or there may be no more rooms.",
}


def problems(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return the description of the problems that a request may meet."""
    described: dict[int | str, dict[str, Any]] = {
        status.value: {"model": Problem, "description": _SAID[status]} for status in statuses
    }
    return described | {"default": {"model": Problem, "description": "Any other problem."}}
