"""One subscriber's state: its commands, their answers, and the limits on them."""

import pytest

from fanline.errors import ErrorCode, Rejected
from fanline.protocol import Read
from fanline.protocol.topics import memory_of
from fanline.security.users import User
from subscriber.commands import Command
from tests.subscriber.subscription.conftest import Client, Log


def test_subscription_from_now_is_live(log: Log, client: Client) -> None:
    """It needs no page, and what follows the position in the answer is written as it comes."""
    assert next(client.subscription.execute(Command(True, "a")), "executed") == "executed"
    assert client.take() == [{"subscribed": "a", "seq": 10}]
    assert not client.subscription.is_catching_up
    log.publish("b", "a")
    assert client.take() == [12]


def test_subscription_after_a_position_reads_the_log(log: Log, client: Client) -> None:
    """Then it is live."""
    assert client.sub("a", after=4) == [{"subscribed": "a", "seq": 4}]
    assert client.subscription.is_catching_up
    assert client.catch_up() == [5, 7, 9]
    log.publish("a")
    assert client.take() == [11]


def test_subscription_after_a_recent_position_reads_memory(log: Log, client: Client) -> None:
    """Many that resume at once cost msgqueue nothing."""
    log.publish("a", "b", "a")
    steps = client.subscription.execute(Command(True, "a", after=11))
    assert next(steps, None) is None
    assert client.subscription.advance() is None
    assert client.take() == [{"subscribed": "a", "seq": 11}, 13]


def test_catching_up_takes_steps_of_bounded_size(log: Log, client: Client) -> None:
    """A pattern that matches little in memory is caught up with in steps, so that others get their turn."""
    log.publish(*["a.b"] * 3_000)
    list(client.subscription.execute(Command(True, "*.c", after=11)))
    steps = 0
    while client.subscription.is_catching_up:
        client.subscription.advance()
        steps += 1
    assert steps > 3


def test_last_counts_messages_of_the_pattern(log: Log, client: Client) -> None:
    """Page by page, if there are fewer on a page; none and too many are allowed."""
    log.page_records = 2
    assert client.sub("a", last=3) == [{"subscribed": "a", "seq": 4}]
    assert client.catch_up() == [5, 7, 9]
    assert client.sub("b", last=0) == [{"subscribed": "b", "seq": 10}]
    assert client.sub(">", last=100) == [{"subscribed": ">", "seq": 0}]
    assert client.catch_up() == list(range(1, 11))


def test_latest_begins_with_the_newest_of_each_topic(log: Log, client: Client) -> None:
    """In the order of the log and a page at a time; then everything that follows, and no more (line 49)."""
    log.page_records = 1
    log.publish("a", "c", "d", "c")
    assert client.sub(">", latest=True) == [{"subscribed": ">", "seq": 9, "latest": 14}]
    log.publish("a", "a")
    assert client.catch_up() == [10, 11, 13, 14, 15, 16]
    log.publish("a")
    assert client.take() == [17]


def test_latest_of_nothing_is_live_at_once(log: Log, client: Client) -> None:
    """A pattern without a message begins with what is new (line 49)."""
    assert client.sub("c", latest=True) == [{"subscribed": "c", "seq": 10, "latest": 10}]
    assert not client.subscription.is_catching_up
    log.publish("c")
    assert client.take() == [11]


def test_slow_subscriber_gets_the_newest_in_pages(log: Log, client: Client) -> None:
    """Nothing more is read while its buffer is full, and nothing is sent in between (line 49)."""
    log.page_records = 1
    client.sub("c")
    client.fills_up = True
    client.sub("*", latest=True)
    client.fills_up, client.paused = True, False
    assert client.catch_up() == [9]
    log.publish("c", "a")
    assert client.subscription.advance() is None
    assert client.subscription.is_sending_newest
    client.paused = False
    assert client.catch_up() == [10, 11, 12]


def test_latest_of_one_that_catches_up_is_that_of_its_position(log: Log, client: Client) -> None:
    """So that all of its patterns go on from one position, in the order of the log (line 49)."""
    log.page_records = 2
    client.sub("a", after=0)
    client.fills_up = True
    assert client.catch_up() == [1, 3]
    client.paused = False
    assert client.sub("b", latest=True) == [{"subscribed": "b", "seq": 1, "latest": 3}]
    assert client.catch_up() == [2, 4, 5, 6, 7, 8, 9, 10]


def test_unsubscribing_ends_the_newest_of_a_pattern(log: Log, client: Client) -> None:
    """Newest records that are not sent yet do not come (line 49)."""
    client.sub("a", latest=True)
    client.unsub("a")
    assert client.catch_up() == []
    assert not client.subscription.is_catching_up


def test_repeated_subscription_changes_nothing(log: Log, client: Client) -> None:
    """The answer says how far the first one has got."""
    client.sub("a", after=2)
    assert client.sub("a", after=8) == [{"subscribed": "a", "seq": 2}]
    client.catch_up()
    assert client.sub("a") == [{"subscribed": "a", "seq": 10}]
    log.publish("a")
    assert client.take() == [11]


def test_position_after_the_end_is_rejected(client: Client) -> None:
    """The reason names the end."""
    with pytest.raises(Rejected, match="after must be 0 to 10") as raised:
        client.sub("a", after=11)
    assert raised.value.code == ErrorCode.BAD_POSITION


def test_pattern_without_the_right_is_rejected(log: Log) -> None:
    """The reason names the user."""
    client = Client(log, user=User("bob", subscribe=("a",)))
    client.sub("a")
    with pytest.raises(Rejected, match='bob may not subscribe to "b": ask the operator') as raised:
        client.sub("b")
    assert raised.value.code == ErrorCode.FORBIDDEN


def test_patterns_are_limited(log: Log) -> None:
    """A pattern that is held may be repeated; one that ends makes room for another."""
    client = Client(log, max_patterns=2)
    client.sub("a")
    client.sub("b")
    with pytest.raises(Rejected, match="2 subscriptions") as raised:
        client.sub(">")
    assert raised.value.code == ErrorCode.TOO_MANY_SUBSCRIPTIONS
    client.sub("a")
    client.unsub("b")
    client.sub(">")


def test_memory_of_patterns_is_limited_for_each_user(log: Log) -> None:
    """A user holds so much over all connections; what ends makes room, a repeat takes none (line 47)."""
    log.feed.quota.limit = 2 * memory_of("a.*")
    first, second = Client(log), Client(log)
    first.sub("a.*")
    first.sub("a.*")
    second.sub("b.*")
    for pattern in ("c.*", "d"):
        with pytest.raises(Rejected, match="all connections of alice") as raised:
            second.sub(pattern, after=0)
        assert raised.value.code == ErrorCode.TOO_MANY_SUBSCRIPTIONS
    Client(log, user=User("bob", subscribe=(">",))).sub("c.*")
    Client(log, user=User("carol", subscribe=(">",), is_service=True)).sub("d.*.*.*")
    first.unsub("a.*")
    second.sub("c.*")
    second.subscription.close()
    second.subscription.close()
    first.sub("a.*")
    first.sub("d.*")


def test_memory_that_others_have_taken_is_refused(log: Log) -> None:
    """Two subscriptions that read the log at the same time do not both get the last of the memory."""
    log.feed.quota.limit = memory_of("a")
    steps = [Client(log).subscription.execute(Command(True, "a", last=1)) for _ in range(2)]
    reads = [next(each) for each in steps]
    assert all(isinstance(read, Read) for read in reads)
    page = log.read(reads[0])  # type: ignore[arg-type]
    with pytest.raises(StopIteration):
        steps[0].send(page)
    with pytest.raises(Rejected, match="as much memory as allowed"):
        steps[1].send(page)


def test_positions_are_useless_without_a_log() -> None:
    """Behind a plain msgqueue none is told, and what would need one is rejected (line 9)."""
    log = Log()
    log.feed.begin(0, epoch=None, can_resume=False)
    client = Client(log)
    assert client.sub("a") == [{"subscribed": "a"}]
    for options in ({"after": 0}, {"last": 1}, {"latest": True}):
        with pytest.raises(Rejected) as raised:
            client.sub("b", **options)
        assert raised.value.code == ErrorCode.RESUME_UNAVAILABLE


def test_subscription_waits_until_the_head_is_known() -> None:
    """Unless it is from now and no answer is expected: then it is made at once (line 9)."""
    log = Log()
    v1, plain = Client(log), Client(log, has_notices=False)
    waiting = v1.subscription.execute(Command(True, "a"))
    assert next(waiting) is log.feed
    assert plain.sub("a") == []
    log.feed.begin(10, epoch=None, can_resume=True)
    with pytest.raises(StopIteration):
        waiting.send(None)
    assert v1.take() == [{"subscribed": "a", "seq": 10}]


@pytest.mark.parametrize(
    "command",
    [Command(True, "b"), Command(True, ">", after=1), Command(True, "a"), Command(False, "a")],
)
def test_answer_follows_what_was_held_back(log: Log, client: Client, command: Command) -> None:
    """Everything up to the position in the answer was written before it, and is not written again."""
    client.sub("a")
    log.publish("a")
    log.publish("a")
    assert client.take() == [11]
    held_back, answer = client.execute(command)
    assert held_back == 12
    assert answer.keys() & {"subscribed", "unsubscribed"}
    assert 12 not in client.catch_up()[11:]


def test_unsubscribing_ends_a_pattern(log: Log, client: Client) -> None:
    """Live or catching up, known or not."""
    client.sub("a")
    client.sub("b", after=0)
    assert client.unsub("b") == [{"unsubscribed": "b"}]
    assert client.unsub("c") == [{"unsubscribed": "c"}]
    assert client.catch_up() == []
    log.publish("b", "a")
    assert client.take() == [12]
    client.unsub("a")
    log.publish("a")
    assert client.take() == []
