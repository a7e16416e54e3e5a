"""The schemas of requests, refusals and logins in the OpenAPI description.

Those of the answers are the types of the answers themselves: :mod:`chat.domain.views`.
"""

from http import HTTPStatus
from typing import Any, Final, Literal

from fastapi.security import APIKeyQuery, HTTPBearer
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from chat.domain.names import MAX_LENGTH

BEARER: Final = HTTPBearer(
    scheme_name="bearer", auto_error=False, description="A token from `POST /login` or `POST /guest`."
)
PARAMETER: Final = APIKeyQuery(
    name="token",
    scheme_name="parameter",
    auto_error=False,
    description="The same token, for browsers, whose WebSockets cannot send headers.",
)


class Problem(BaseModel):
    """The reason of a refusal (RFC 9457)."""

    type: Literal["about:blank"]
    title: str = Field(examples=["Not Found"], description="The phrase of the status.")
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is no room 'cellar'."], description="A sentence for people.")
    code: str = Field(examples=["unknown-room"], description="The kind of problem, for programs.")
    field: str = Field("", examples=["id"], description="The field to change, if there is one.")


KEY: Final = Field(
    None,
    min_length=16,
    max_length=128,
    examples=["d2a8e61b9c4f4d6e"],
    description="A secret that the client makes and keeps: later logins with it are the same person.",
)


class Credentials(BaseModel):
    """The password and display name of a login."""

    model_config = ConfigDict(extra="forbid", strict=True)

    password: str = Field(examples=["test"], description="The password of this server.")
    name: str = Field(
        examples=["Ada"],
        min_length=1,
        max_length=MAX_LENGTH,
        description="The display name, without control characters; may be called `user` instead.",
        validation_alias=AliasChoices("name", "user"),
    )
    key: str | None = KEY


class GuestKey(BaseModel):
    """The body of a request of a guest, which may be empty."""

    model_config = ConfigDict(extra="forbid", strict=True)

    key: str | None = KEY


class ClientLimits(BaseModel):
    """Limits of what clients send."""

    message: int = Field(examples=[16_384], description="Bytes of a message, in UTF-8.")
    name: int = Field(examples=[64], description="Characters of a name.")
    roomId: int = Field(examples=[64], description="Characters of the id of a room.")  # noqa: N815


class About(BaseModel):
    """Facts that a client needs before a login."""

    name: str = Field(examples=["Fanline chat"], description="What people see as the name of this chat.")
    guests: bool = Field(description="Whether guests are allowed.")
    limits: ClientLimits
    restoreSeconds: int = Field(  # noqa: N815
        examples=[86_400], description="Seconds for which a deleted room can be restored."
    )


class Health(BaseModel):
    """A healthy server."""

    status: Literal["ok"]


_DESCRIPTIONS: Final = {
    HTTPStatus.BAD_REQUEST: "The request is invalid.",
    HTTPStatus.UNAUTHORIZED: "The token or the password is missing, invalid, expired or revoked.",
    HTTPStatus.FORBIDDEN: "The action is forbidden, or forbidden to pages of other sites.",
    HTTPStatus.NOT_FOUND: "No room has this id.",
    HTTPStatus.CONFLICT: "A room has this id or name, or another person has this name, already.",
    HTTPStatus.UPGRADE_REQUIRED: "The path is a WebSocket, and the request is not a handshake.",
    HTTPStatus.TOO_MANY_REQUESTS: "There were too many; `Retry-After` says how long to wait.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The pipeline does not answer, or the limit of rooms is reached.",
}


def problems(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return the descriptions of the refusals of a request."""
    described: dict[int | str, dict[str, Any]] = {
        status.value: {"model": Problem, "description": _DESCRIPTIONS[status]} for status in statuses
    }
    return described | {"default": {"model": Problem, "description": "Any other refusal."}}
