"""Tests of taking turns between the messages of many senders."""

from hypothesis import given
from hypothesis import strategies as st

from fanline.queue.fair_queue import OVERHEAD, WINDOW_BYTES, WINDOW_COUNT, FairQueue

Message = tuple[str, str, int]  # user, sender, number


def add(queue: FairQueue[Message], user: str, sender: str, *numbers: int, size: int = 36) -> None:
    for number in numbers:
        queue.add((user, sender, number), size, user=user, sender=sender)


def take_all(queue: FairQueue[Message]) -> list[Message]:
    taken = []
    while queue:
        taken += queue.take_turn()
    return taken


def test_a_flood_delays_others_by_its_turn_alone() -> None:
    """One connection with thousands of messages had the others wait for all of them."""
    queue: FairQueue[Message] = FairQueue(quantum=10 * (36 + OVERHEAD))
    add(queue, "eve", "flood", *range(10_000))
    add(queue, "eve", "other", 1)
    add(queue, "bob", "bob", 1, 2)
    taken = [queue.take_turn() for _ in range(3)]
    assert [(turn[0][1], len(turn)) for turn in taken] == [("flood", 10), ("bob", 2), ("other", 1)]


def test_users_share_alike_however_many_connections_they_have() -> None:
    """With eight connections a user gets no more than with one, and shares it among them."""
    queue: FairQueue[Message] = FairQueue(quantum=36 + OVERHEAD)
    for n in range(8):
        add(queue, "eve", f"flood {n}", *range(100))
    add(queue, "bob", "bob", *range(100))
    taken = [message for _ in range(160) for message in queue.take_turn()]
    assert [user for user, _, _ in taken].count("bob") == 80
    assert [sender for _, sender, _ in taken].count("flood 3") == 10


def test_a_large_message_waits_until_its_sender_has_saved_for_it() -> None:
    """Bytes are shared, not numbers of messages."""
    queue: FairQueue[Message] = FairQueue(quantum=1_000)
    add(queue, "eve", "large", 1, 2, size=10_000)
    add(queue, "bob", "small", *range(100), size=1_000 - OVERHEAD)
    taken = take_all(queue)
    assert 10 <= taken.index(("eve", "large", 1)) <= 12
    assert 20 <= taken.index(("eve", "large", 2)) <= 24


def test_a_share_is_half_of_a_limit_divided_by_all_who_wait() -> None:
    """One that floods reaches its share, others do not; what was taken counts no more (line 47)."""
    queue: FairQueue[Message] = FairQueue(quantum=100 + OVERHEAD)
    add(queue, "eve", "a", 1, size=100)
    add(queue, "eve", "b", 2, size=100)
    add(queue, "bob", "c", 3, size=100)
    assert not queue.has_share("carol", 1)
    assert queue.has_share("eve", 800)
    assert not queue.has_share("eve", 801)
    assert queue.has_share("bob", 400)
    assert not queue.has_share("bob", 401)
    queue.take_turn()
    assert not queue.has_share("eve", 401)
    queue.remove({"c"})
    assert queue.has_share("eve", 200)
    assert not queue.has_share("eve", 201)


def test_removing_senders_takes_all_of_theirs() -> None:
    """In order, and of no other sender."""
    queue: FairQueue[Message] = FairQueue()
    add(queue, "eve", "a", 1, 2)
    add(queue, "eve", "b", 3)
    add(queue, "bob", "c", 4)
    assert [number for _, _, number in queue.first_of_each()] == [1, 3, 4]
    assert [number for _, _, number in queue.remove({"a", "c", "unknown"})] == [1, 2, 4]
    assert (len(queue), queue.size) == (1, 36)
    assert take_all(queue) == [("eve", "b", 3)]


@given(st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from("ab"), st.integers(0, 300)), max_size=50))
def test_each_comes_once_in_the_order_of_its_sender(added: list[tuple[str, str, int]]) -> None:
    """Whatever the sizes; and afterwards nothing is left, and nothing counted."""
    queue: FairQueue[Message] = FairQueue(quantum=100)
    for number, (user, sender, size) in enumerate(added):
        add(queue, user, sender, number, size=size)
    assert queue.size == sum(size for _, _, size in added)
    taken = take_all(queue)
    assert sorted(number for _, _, number in taken) == list(range(len(added)))
    for key in {(user, sender) for user, sender, _ in added}:
        numbers = [number for user, sender, number in taken if (user, sender) == key]
        assert numbers == sorted(numbers)
    assert (len(queue), queue.size) == (0, 0)


def test_a_little_of_a_user_without_a_backlog_may_pass() -> None:
    """As much as one turn until the next replies, and twice the window at most of all users."""
    queue: FairQueue[Message] = FairQueue(quantum=100)
    add(queue, "eve", "eve", 1)
    window = {"count": WINDOW_COUNT, "total": WINDOW_BYTES}
    passed = [queue.may_pass(user, 60, **window) for user in ("bob", "bob", "carol", "eve")]
    assert passed == [True, False, True, False]
    queue.note_replies()
    assert queue.may_pass("bob", 60, **window)
    queue.note_replies()
    assert not queue.may_pass("bob", 60, count=2 * WINDOW_COUNT, total=0)
    assert not queue.may_pass("bob", 60, count=0, total=2 * WINDOW_BYTES)
