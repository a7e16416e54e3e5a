"""One subscriber's state: from the log to live and back, and the gaps on the way."""

from fanline.errors import CloseCode
from tests.subscriber.subscription.conftest import Client, Log

# Catching up


def test_slow_subscriber_continues_from_the_log(log: Log, client: Client) -> None:
    """Records written when its buffer was full are not repeated."""
    client.sub("a")
    client.fills_up = True
    log.publish("a")
    log.publish("a", "a")
    assert client.take() == [11]
    assert client.subscription.advance() is None
    client.paused = False
    assert client.catch_up() == [12, 13]
    log.publish("a")
    log.feed.flush()
    assert client.take() == [14]


def test_page_for_other_patterns_is_dropped(log: Log, client: Client) -> None:
    """It was asked for before the patterns changed."""
    client.sub("a", after=0)
    read = client.subscription.advance()
    assert read is not None
    page = log.read(read)
    client.sub("b", after=0)
    client.subscription.take_page(read, page)
    assert client.catch_up() == list(range(1, 11))


def test_position_ahead_of_the_service_repeats_nothing(log: Log, client: Client) -> None:
    """A subscriber was sent records by another service that have not arrived in this one."""
    log.commit("a", "a")
    assert client.sub("a", after=11) == [{"subscribed": "a", "seq": 11}]
    assert client.catch_up() == []
    assert client.subscription.is_ahead
    log.follow()
    assert client.catch_up() == [12]


def test_closed_subscriber_gets_nothing(log: Log, client: Client) -> None:
    """Neither live nor from the log."""
    client.sub("a", after=0)
    read = client.subscription.advance()
    assert read is not None
    client.subscription.close()
    client.subscription.take_page(read, log.read(read))
    client.subscription.close()
    log.publish("a")
    assert client.take() == []
    assert not client.subscription.is_catching_up


def test_replaced_log_closes_every_connection(log: Log, client: Client) -> None:
    """Positions mean nothing in it."""
    client.sub("a")
    log.feed.restart()
    assert client.closed == (CloseCode.TRY_AGAIN_LATER, "the log was replaced; subscribe again")
    assert not log.feed.is_ready


# Gaps


def test_gap_is_in_the_answer(log: Log, client: Client) -> None:
    """And is not told again on the way."""
    log.remove(range(1, 7))
    answer = {"subscribed": "a", "seq": 1, "gap": {"from": 2, "to": 5}}
    assert client.sub("a", after=1) == [answer]
    assert client.catch_up() == [7, 9]


def test_gap_ahead_of_a_slow_subscriber_is_told_in_place(log: Log, client: Client) -> None:
    """Retention removes records before the subscriber has taken them."""
    client.sub("a", after=0)
    log.page_records = 2
    client.fills_up = True
    assert client.catch_up() == [1, 3]
    log.remove([5, 7])
    client.paused = False
    assert client.catch_up() == [{"gap": {"from": 4, "to": 7}}, 9]


def test_gap_ahead_of_the_service_is_told_to_live_subscribers(log: Log, client: Client) -> None:
    """In place: after what is held back for them, once, and not again when they are slow."""
    client.sub("a")
    log.publish("a")
    log.publish("a")
    log.commit("a", "a", "a")
    log.remove([13, 14])
    client.take()
    log.follow()
    log.feed.flush()
    assert client.take() == [12, {"gap": {"from": 13, "to": 14}}, 15]


def test_gap_with_nothing_after_it_is_told_to_all(log: Log, client: Client) -> None:
    """A subscriber that is catching up or comes later learns of it from msgqueue, and only once."""
    slow = Client(log)
    slow.sub("a", after=10)
    slow.fills_up = True
    log.publish("a")
    slow.catch_up()
    client.sub("a")
    client.take()
    log.commit("a")
    log.remove([12])
    log.follow()
    slow.paused = False
    notice = {"gap": {"from": 12, "to": 12}}
    assert (client.take(), slow.catch_up()) == ([notice], [notice])
    late = Client(log)
    assert late.sub("a") + late.catch_up() == [{"subscribed": "a", "seq": 11}, notice]
    log.publish("a")
    assert [each.catch_up() for each in (client, slow, late)] == [[13]] * 3
