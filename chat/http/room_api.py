"""HTTP API of rooms: making, deleting and restoring them, and contents."""

from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import Annotated, Final, Literal
from urllib.parse import quote, urlencode

from fastapi import Query
from starlette.responses import Response, StreamingResponse

from chat.domain.names import MAX_LENGTH
from chat.domain.room import Room
from chat.domain.views import (
    RestorableName,
    RoomDetails,
    RoomEntry,
    RoomName,
    RoomSummary,
    details_of,
    encode,
    members_of,
    name_of,
    restorable_name,
    summary_of,
)
from chat.http.routing import (
    BAD,
    DOWN,
    FORBIDDEN,
    NO_LOGIN,
    TAKEN,
    TOO_MANY,
    UNKNOWN,
    Admitted,
    Asking,
    Chat,
    Position,
    RoomMaker,
    RoomPath,
    TheRoom,
    answer,
    new_router,
)
from chat.http.schema import problems
from fanline import MAX_POSITION

_DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 500

Entries = Sequence[RoomEntry]

_ROOM_ID: Final = {"minLength": 1, "maxLength": MAX_LENGTH}

RoomId = Annotated[str, Query(alias="id", json_schema_extra=_ROOM_ID)]
Type = Annotated[Literal["chat"] | None, Query(description="Only messages, without joins and leaves.")]

router = new_router()


@router.post(
    "/api/room",
    response_model=RoomName,
    responses=problems(BAD, NO_LOGIN, FORBIDDEN, TAKEN, TOO_MANY, DOWN)
    | {201: {"model": RoomName, "description": "A room with the chosen id was made."}},
)
async def make_room(
    chat: Chat,
    person: RoomMaker,
    room_id: Annotated[
        str | None,
        Query(
            alias="id",
            description="If none is given, it resembles the name, or is random without one.",
            json_schema_extra=_ROOM_ID,
        ),
    ] = None,
    name: Annotated[
        str | None,
        Query(
            description="Two random words if none is given.",
            json_schema_extra={"minLength": 1, "maxLength": MAX_LENGTH},
        ),
    ] = None,
    duplicate: Annotated[
        bool, Query(description="Without an id: whether another room may have the same name.")
    ] = False,
) -> Response:
    """Make a room."""
    room = await chat.make_room(room_id, name, person, allows_same_name=duplicate)
    return answer(name_of(room), HTTPStatus.OK if room_id is None else HTTPStatus.CREATED)


@router.post(
    "/create",
    status_code=201,
    response_model=RoomName,
    responses=problems(BAD, NO_LOGIN, FORBIDDEN, TAKEN, TOO_MANY, DOWN),
)
async def make_group(chat: Chat, person: RoomMaker, room_id: RoomId) -> Response:
    """Make a room with this id: another name of `POST /api/room?id=`."""
    return answer(name_of(await chat.make_room(room_id, None, person)), HTTPStatus.CREATED)


@router.get("/api/rooms", response_model=list[RoomSummary], responses=problems(NO_LOGIN, DOWN))
async def list_rooms(chat: Chat, _: Admitted) -> Response:
    """List all rooms, in the order in which they were made."""
    return answer([summary_of(room) for room in chat.rooms.by_id.values()])


@router.get("/api/rooms/deleted", response_model=list[RestorableName], responses=problems(NO_LOGIN, DOWN))
async def list_deleted_rooms(chat: Chat, person: Asking) -> Response:
    """List the deleted rooms that the person may restore."""
    found = chat.rooms.restorable.values()
    return answer([restorable_name(each) for each in found if each.room.is_managed_by(person)])


@router.get(
    "/api/room/{id:path}/messages",
    response_model=list[RoomEntry],
    responses=problems(BAD, NO_LOGIN, UNKNOWN, DOWN),
)
async def list_messages(
    chat: Chat,
    room: TheRoom,
    before: Position = None,
    after: Position = None,
    limit: Annotated[int | None, Query(ge=1, le=MAX_LIMIT)] = None,
    type: Type = None,  # noqa: A002 - the name of the parameter
) -> Response:
    """Get all events of a room, or a page of them.

    The oldest comes first. A limit or a position selects a page. A page has the newest events, or those next
    to the position, 100 without a limit. Its header `Link` leads to the events before (`prev`) and after
    (`next`). The last page is empty.
    """
    has_only_messages = type is not None
    if before is None and after is None and limit is None:
        # The first page is read before the answer begins, so that an error can still be its status.
        first = await chat.messages(room.id, after=0, limit=MAX_LIMIT, has_only_messages=has_only_messages)
        after = first[-1]["seq"] if first else MAX_POSITION
        rest = chat.history_after(room.id, after, has_only_messages=has_only_messages)
        return StreamingResponse(_array(first, rest), media_type="application/json")
    limit = limit or _DEFAULT_LIMIT
    entries = await chat.messages(
        room.id, before=before, after=after, limit=limit, has_only_messages=has_only_messages
    )
    return answer(entries, headers=_links(room, [entry["seq"] for entry in entries], limit))


@router.post(
    "/api/room/{id:path}/restore",
    response_model=RoomName,
    responses=problems(NO_LOGIN, FORBIDDEN, UNKNOWN, TAKEN, DOWN),
)
async def restore_room(chat: Chat, person: Asking, room_id: RoomPath) -> Response:
    """Restore a room that was deleted within a day, with its messages."""
    return answer(name_of(await chat.restore_room(room_id, person)))


@router.get("/api/room/{id:path}", response_model=RoomDetails, responses=problems(NO_LOGIN, UNKNOWN, DOWN))
async def show_room(
    room: TheRoom,
    details: Annotated[bool, Query(description="Whether to show all that is known of the room.")] = False,
) -> Response:
    """Get a room with its present members."""
    return answer(details_of(room) if details else members_of(room))


@router.delete(
    "/groups/{id:path}",
    status_code=204,
    operation_id="delete_group",
    responses=problems(NO_LOGIN, FORBIDDEN, UNKNOWN, DOWN),
)
@router.delete("/api/room/{id:path}", status_code=204, responses=problems(NO_LOGIN, FORBIDDEN, UNKNOWN, DOWN))
async def delete_room(chat: Chat, person: Asking, room: TheRoom) -> Response:
    """Delete a room and its messages, and disconnect its members.

    This is for its creator, and admins.
    """
    await chat.delete_room(room.id, person)
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def _array(
    first: Sequence[RoomEntry], rest: AsyncIterator[Sequence[RoomEntry]]
) -> AsyncIterator[bytes]:
    """Yield a JSON array in pieces."""
    yield b"[" + encode(first)[1:-1]
    async for entries in rest:
        yield b"," + encode(entries)[1:-1]
    yield b"]"


def _links(room: Room, positions: Sequence[int], limit: int) -> dict[str, str]:
    """Return the ``Link`` header of a page.

    An empty page ends the list, and has none.
    """
    if not positions:
        return {}
    ways = {"prev": {"before": positions[0]}, "next": {"after": positions[-1]}}
    path = f"/api/room/{quote(room.id, safe='')}/messages"
    return {
        "Link": ", ".join(
            f'<{path}?{urlencode({**place, "limit": limit})}>; rel="{way}"' for way, place in ways.items()
        )
    }
