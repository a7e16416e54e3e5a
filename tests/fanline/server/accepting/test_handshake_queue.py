"""Handshakes in a queue: how many run, which wait, and whose turn it is."""

from fanline.server.accepting.handshake_queue import HandshakeLimits, HandshakeQueue


def make_queue(
    running: int = 100, per_network: int = 2, waiting: int = 100
) -> tuple[HandshakeQueue[str], list[str]]:
    """Return a queue, and the list of what it has begun."""
    begun: list[str] = []
    limits = HandshakeLimits(
        running=running, running_per_network=per_network, waiting=waiting, waiting_per_network=3
    )
    return HandshakeQueue(begun.append, limits), begun


def test_bounds_the_handshakes_of_a_network() -> None:
    """Of one network a few handshakes run, a few connections wait, and the rest are refused (line 47)."""
    queue, begun = make_queue()
    assert [queue.add(f"a{n}", "a", 0) for n in range(7)] == [True] * 5 + [False] * 2
    assert begun == ["a0", "a1"]
    assert queue.add("b0", "b", 0)
    assert begun == ["a0", "a1", "b0"]
    queue.end("b")
    queue.end("a")
    assert begun == ["a0", "a1", "b0", "a2"]


def test_networks_take_turns_for_a_place() -> None:
    """When the places of all are taken, a network with one connection does not wait for a crowd."""
    queue, begun = make_queue(running=2)
    for n in range(5):
        queue.add(f"a{n}", "a", 0)
    queue.add("b0", "b", 0)
    queue.add("p0", None, 0)
    queue.end("a")
    queue.end("a")
    assert begun == ["a0", "a1", "b0", "p0"]
    queue.end("b")
    queue.end(None)
    assert begun[4:] == ["a2", "a3"]


def test_a_proxy_has_no_limit_of_its_own() -> None:
    """Connections that count for no network are limited in all only."""
    queue, begun = make_queue(running=5)
    for n in range(7):
        queue.add(f"p{n}", None, 0)
    assert len(begun) == 5
    queue.end(None)
    queue.end(None)
    assert len(begun) == 7


def test_gives_up_what_has_waited_too_long() -> None:
    """A connection that has waited since before a time is removed, and its place is free."""
    queue, begun = make_queue()
    for n in range(5):
        queue.add(f"a{n}", "a", now=n)
    assert queue.expire(4) == ["a2", "a3"]
    assert queue.add("a5", "a", 5)
    for _ in range(3):
        queue.end("a")
    assert begun == ["a0", "a1", "a4", "a5"]
    assert queue.expire(float("inf")) == []


def test_bounds_the_waiting_of_all() -> None:
    """No more than so many connections wait, of however many networks."""
    queue, _ = make_queue(running=1, waiting=2)
    assert [queue.add("x", network, 0) for network in "abcd"] == [True, True, True, False]
