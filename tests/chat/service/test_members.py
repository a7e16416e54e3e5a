"""Delivery queues, and the members connected to a server."""

import asyncio

import pytest

from chat.domain.errors import MemberClosed
from chat.domain.room import Room
from chat.service.members import MAX_WAITING, MAX_WAITING_BYTES, ConnectedMembers, LocalMember
from fanline.presence import PresenceEvent, PresenceState, PresentSession, SessionJoined, SessionLeft
from fanline.security.tokens import Claims

ROOM = Room("a", "A", "k", made=1, last=1)
OTHER = Room("b", "B", "l", made=2, last=2)


class Members(ConnectedMembers):
    """The members of a server, and what was written about them."""

    def __init__(self) -> None:
        self.written: list[PresenceEvent] = []
        self.presence = PresenceState("s", leave_delay=0, write=self.written.append, clock=lambda: 0)
        super().__init__(self.presence)

    def come_back(self, member: LocalMember) -> bool:
        """Activate a member whose join has come back."""
        self.presence.apply(SessionJoined(PresentSession(member.session, 1_000, 7), "s"))
        return self.activate(member.id, 7, b"first")


@pytest.fixture
def members() -> Members:
    """The members of a server."""
    return Members()


def join(members: Members, room: Room = ROOM, token: Claims | None = None) -> LocalMember:
    """Return a new active member."""
    member = members.add_pending("Ada", room, token)
    assert members.come_back(member)
    return member


def token() -> Claims:
    return Claims("Ada", "t1", 2**31)


async def test_take_returns_all_waiting_texts(members: Members) -> None:
    """Taking returns all that waits, in order, and then waits for more."""
    ada = join(members)
    for n in range(3):
        ada.push(b"%d" % n)
    assert await ada.take() == [b"0", b"1", b"2"]
    taking = asyncio.create_task(ada.take())
    await asyncio.sleep(0)
    ada.push(b"3")
    assert await taking == [b"3"]


async def test_waiting_texts_are_taken_before_the_end(members: Members) -> None:
    """Closing keeps what waits; what comes later is dropped, and the end has a code and a reason."""
    ada = join(members)
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
    assert [*members] == []


@pytest.mark.parametrize(("count", "size"), [(MAX_WAITING, 1), (MAX_WAITING_BYTES // 65_536, 65_536)])
async def test_a_client_that_does_not_read_is_closed(members: Members, count: int, size: int) -> None:
    """More than a client may let wait closes it with 4008, and frees what waited."""
    ada = join(members)
    for _ in range(count):
        ada.push(b"x" * size)
    assert not ada.is_closed
    ada.push(b"x")
    assert [*members] == []
    with pytest.raises(MemberClosed, match="Reconnect") as caught:
        await ada.take()
    assert caught.value.code == 4008


async def test_taking_frees_the_queue(members: Members) -> None:
    """The limit is for what waits, not for what has passed."""
    ada = join(members)
    for _ in range(3):
        for _ in range(MAX_WAITING):
            ada.push(b"x")
        assert len(await ada.take()) == MAX_WAITING
    assert not ada.is_closed


async def test_log_out_closes_those_with_the_token(members: Members) -> None:
    """A revoked token closes the clients that use it, and no others (line 15)."""
    ada, bob = join(members, token=token()), join(members, token=Claims("Bob", "t2", 2**31))
    guest = join(members)
    for each in (ada, bob, guest):
        each.revoke("t1")
    assert (ada.is_closed, bob.is_closed, guest.is_closed) == (True, False, False)
    assert ada.end is not None
    assert ada.end.code == 4001
    bob.close(1000, "left")


async def test_an_active_member_gets_the_events_of_the_room(members: Members) -> None:
    """An active member gets what is delivered to the room, and nothing of another room (line 26)."""
    pending = [members.add_pending(name, room, None) for name, room in (("Ada", ROOM), ("Bob", OTHER))]
    for each in pending:
        members.deliver(each.room, b"before")
        assert not members.has_any(each.room)
        assert members.come_back(each)
    ada, bob = pending
    members.deliver(ROOM, b"hi")
    assert await ada.take() == [b"hi"]
    assert (ada.joined, ada.first) == (7, b"first")
    bob.close(1000, "left")
    with pytest.raises(MemberClosed):
        await bob.take()


async def test_a_cancelled_join_is_not_activated(members: Members) -> None:
    """Only a pending join is activated: not a cancelled or closed one, and none twice."""
    ada, bob = members.add_pending("Ada", ROOM, None), members.add_pending("Bob", ROOM, None)
    members.cancel_pending(ada)
    members.cancel_pending(ada)
    assert not members.come_back(ada)
    bob.close(1001, "this server stops")
    assert not members.come_back(bob)
    assert not members.written
    members.presence.tick()
    assert members.written == [SessionLeft(each.session, "s") for each in (ada, bob)]


async def test_a_closed_member_leaves(members: Members) -> None:
    """The leave of an active member is written, once; that of a removed one is not."""
    ada, bob = join(members), join(members)
    members.remove(ROOM, bob.id)
    for each in (ada, ada, bob):
        each.close(1000, "left")
    assert members.written == [SessionLeft(ada.session, "s")]


async def test_iterates_over_members_that_go(members: Members) -> None:
    """Iteration yields active and pending members, although they are removed during it."""
    active = [join(members) for _ in range(3)]
    pending = members.add_pending("Ada", ROOM, None)
    found = []
    for each in members:
        members.remove(ROOM, each.id)
        members.cancel_pending(each)
        found.append(each.id)
    assert sorted(found) == sorted(each.id for each in (*active, pending))
    assert [*members] == []
    assert not members.has_any(ROOM)


async def test_a_room_is_emptied(members: Members) -> None:
    """Removing all members of a room returns them once."""
    ada = join(members)
    assert [*members.remove_all(ROOM)] == [ada]
    assert not members.has_any(ROOM)
    assert members.remove(ROOM, ada.id) is None
    assert [*members.remove_all(ROOM)] == []


async def test_a_slow_member_does_not_affect_others(members: Members) -> None:
    """A member that is closed during a delivery, for not reading, keeps it from no other member."""
    slow, quick = join(members), join(members)
    for _ in range(MAX_WAITING):
        members.deliver(ROOM, b"x")
    assert len(await quick.take()) == MAX_WAITING
    members.deliver(ROOM, b"y")
    assert slow.is_closed
    assert [*members] == [quick]
    assert await quick.take() == [b"y"]
