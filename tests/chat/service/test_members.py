"""What waits for those who are connected, and who is where."""

import asyncio
import time

import pytest

from chat.domain.errors import MemberClosed
from chat.domain.state import Room
from chat.service.members import MAX_WAITING, MAX_WAITING_BYTES, Hall, LocalMember
from fanline.security.tokens import Claims

ROOM = Room("a", "A", "k", made=1, last=1)


def member(id: str = "m", token: Claims | None = None, room: Room = ROOM) -> LocalMember:  # noqa: A002
    return LocalMember(id, "Ada", room, token, gone.append)


gone: list[LocalMember] = []


@pytest.fixture(autouse=True)
def _nobody_is_gone() -> None:
    gone.clear()


def token(*, seconds: float = 60) -> Claims:
    return Claims("Ada", "t1", int(time.time() + seconds))


async def test_everything_that_waits_comes_at_once() -> None:
    """Taking returns all that waits, in order, and then waits for more."""
    ada = member()
    for n in range(3):
        ada.push(b"%d" % n)
    assert await ada.take() == [b"0", b"1", b"2"]
    taking = asyncio.create_task(ada.take())
    await asyncio.sleep(0)
    ada.push(b"3")
    assert await taking == [b"3"]


async def test_what_waits_is_taken_before_the_end() -> None:
    """Closing keeps what waits; what comes later is dropped, and the end has a code and a reason."""
    ada = member()
    ada.push(b"0")
    ada.close(4004, "the room has been deleted")
    ada.close(1000, "again")
    ada.push(b"1")
    assert ada.is_closed
    assert await ada.take() == [b"0"]
    for _ in range(2):
        with pytest.raises(MemberClosed) as caught:
            await ada.take()
        assert (caught.value.code, caught.value.reason) == (4004, "the room has been deleted")
    assert gone == [ada]


@pytest.mark.parametrize(("count", "size"), [(MAX_WAITING, 1), (MAX_WAITING_BYTES // 65_536, 65_536)])
async def test_who_does_not_read_is_closed(count: int, size: int) -> None:
    """More than a client may let wait closes it with 4008, and frees what waited."""
    ada = member()
    for _ in range(count):
        ada.push(b"x" * size)
    assert not ada.is_closed
    ada.push(b"x")
    assert gone == [ada]
    with pytest.raises(MemberClosed, match="reconnect") as caught:
        await ada.take()
    assert caught.value.code == 4008


async def test_who_takes_has_room_again() -> None:
    """The limit is for what waits, not for what has passed."""
    ada = member()
    for _ in range(3):
        for _ in range(MAX_WAITING):
            ada.push(b"x")
        assert len(await ada.take()) == MAX_WAITING
    assert not ada.is_closed


async def test_an_expired_token_closes() -> None:
    """A member is closed with 4001 when their token expires (line 14)."""
    ada = member(token=token(seconds=-1))
    with pytest.raises(MemberClosed, match="expired") as caught:
        await ada.take()
    assert caught.value.code == 4001
    assert gone == [ada]


async def test_log_out_closes_those_with_the_token() -> None:
    """A logout concerns those with that token, and nobody else (line 15)."""
    ada, bob, guest = member(token=token()), member(token=Claims("Bob", "t2", 2**31)), member()
    for each in (ada, bob, guest):
        each.log_out("t1")
    assert (ada.is_closed, bob.is_closed, guest.is_closed) == (True, False, False)
    assert ada.end is not None
    assert ada.end.code == 4001
    bob.close(1000, "left")


async def test_a_member_is_seated_once_expected() -> None:
    """Who is seated is told from then on what is said in that room, and in no other (line 26)."""
    hall, ada, bob = Hall(), member("ada"), member("bob", room=Room("b", "B", "l", made=2, last=2))
    for each in (ada, bob):
        hall.expect(each)
        hall.tell(each.room, b"before")
        assert hall.is_empty(each.room)
        assert hall.seat(each.id, 7, b"first")
    hall.tell(ROOM, b"hi")
    assert await ada.take() == [b"hi"]
    assert (ada.joined, ada.first) == (7, b"first")
    bob.close(1000, "left")
    with pytest.raises(MemberClosed):
        await bob.take()


async def test_who_gave_up_is_not_seated() -> None:
    """Nobody is seated who is not expected, not any more, or closed; nor twice."""
    hall, ada, bob = Hall(), member("ada"), member("bob")
    assert not hall.seat("ada", 7, b"")
    hall.expect(ada)
    hall.unexpect(ada)
    hall.unexpect(ada)
    assert not hall.seat("ada", 7, b"")
    hall.expect(bob)
    bob.close(1001, "this server stops")
    assert not hall.seat("bob", 7, b"")
    assert hall.is_empty(ROOM)
    assert [*hall] == []


async def test_everybody_is_found_until_they_go() -> None:
    """Iterating yields those seated and those expected, while they come and go."""
    hall = Hall()
    all_of_them = [member(str(n)) for n in range(4)]
    for each in all_of_them:
        hall.expect(each)
    for each in all_of_them[:3]:
        hall.seat(each.id, 1, b"")
    found = []
    for each in hall:
        hall.remove(ROOM, each.id)
        hall.unexpect(each)
        found.append(each.id)
    assert sorted(found) == ["0", "1", "2", "3"]
    assert [*hall] == []
    assert hall.is_empty(ROOM)


async def test_a_room_is_cleared() -> None:
    """Clearing a room yields who was in it; afterwards nobody is, also if they are removed once more."""
    hall, ada = Hall(), member()
    hall.expect(ada)
    hall.seat(ada.id, 1, b"")
    assert [*hall.clear(ROOM)] == [ada]
    assert hall.is_empty(ROOM)
    assert hall.remove(ROOM, ada.id) is None
    assert [*hall.clear(ROOM)] == []


async def test_a_slow_member_harms_nobody() -> None:
    """Somebody who is closed for not reading, while all are told something, keeps it from nobody else."""
    hall = Hall()

    def depart(member: LocalMember) -> None:
        hall.remove(ROOM, member.id)

    slow, quick = (LocalMember(name, name, ROOM, None, depart) for name in ("slow", "quick"))
    for each in (slow, quick):
        hall.expect(each)
        hall.seat(each.id, 1, b"")
    for _ in range(MAX_WAITING):
        hall.tell(ROOM, b"x")
    assert len(await quick.take()) == MAX_WAITING
    hall.tell(ROOM, b"y")
    assert slow.is_closed
    assert [*hall] == [quick]
    assert await quick.take() == [b"y"]
