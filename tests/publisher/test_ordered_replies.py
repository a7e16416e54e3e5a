"""Tests of the replies of one connection, and their order."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from fanline.protocol import Ack, Refusal
from publisher.ordered_replies import OrderedReplies, Outcome


class Replies(OrderedReplies):
    """Replies that call a function when one is settled."""

    def __init__(self, call: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._call = call

    def on_settled(self) -> None:
        self._call()


def ack(number: int) -> Ack:
    return Ack(f"id-{number}", number)


@settings(max_examples=100)
@given(st.data(), st.integers(0, 12))
def test_replies_leave_in_the_order_of_the_messages(data: st.DataObject, count: int) -> None:
    """In whatever order they are settled and taken, each leaves once, when all before it are there."""
    replies = Replies()
    opened = [replies.open() for _ in range(count)]
    settled: set[int] = set()
    taken: list[Outcome] = []
    for number in data.draw(st.permutations(range(count))):
        opened[number].settle(ack(number))
        settled.add(number)
        if data.draw(st.booleans()):
            taken.extend(replies.take())
            ready = next((each for each in range(count) if each not in settled), count)
            assert taken == [ack(each) for each in range(ready)]
            assert len(replies) == count - ready
    taken.extend(replies.take())
    assert taken == [ack(number) for number in range(count)]
    assert len(replies) == 0


def test_an_open_reply_holds_up_those_behind_it_alone() -> None:
    """Slots can be opened at any time, and are behind all others."""
    replies = Replies()
    first, second = replies.open(), replies.open()
    first.settle(ack(1))
    assert replies.take() == [ack(1)]
    third = replies.open()
    third.settle(ack(3))
    assert replies.take() == []
    second.settle(ack(2))
    assert replies.take() == [ack(2), ack(3)]


def test_an_answer_that_comes_too_late_is_dropped() -> None:
    """A message is answered once: what was told its publisher stays as it is, before and after it is sent."""
    calls: list[int] = []
    replies = Replies(lambda: calls.append(len(replies)))
    reply = replies.open()
    refused = Refusal("queue-unavailable", "msgqueue cannot be reached", "id-1")
    reply.settle(refused)
    reply.settle(ack(1))
    assert replies.take() == [refused]
    reply.settle(ack(1))
    assert replies.take() == []
    assert calls == [1]


def test_each_answer_is_announced_when_it_is_there_to_be_taken() -> None:
    """The callback may take the reply at once."""
    taken: list[Outcome] = []
    replies = Replies(lambda: taken.extend(replies.take()))
    first, second = replies.open(), replies.open()
    second.settle(ack(2))
    assert taken == []
    first.settle(ack(1))
    assert taken == [ack(1), ack(2)]
