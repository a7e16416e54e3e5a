"""Messages through lost connections and faulty servers."""

import pytest

from fanline import (
    Ack,
    Publisher,
    Rejected,
)
from tests.fanline.client.publisher.conftest import MakePublisher, refused
from tests.stubs import Do, StubPublisher


@pytest.mark.parametrize("step", [Do.DROP_UNSTORED, Do.DROP_UNACKED, Do.DROP_ACKED])
async def test_each_is_stored_once_in_order_through_a_drop(
    stub: StubPublisher, publisher: Publisher, step: Do
) -> None:
    """Whenever the connection breaks, what has no ack is sent again, and stored once (promises 3 and 6)."""
    stub.script.extend([Do.ACK] * 100 + [step] + [Do.ACK] * 100 + [step])
    results = [await publisher.send("t", n) for n in range(300)]
    acks = [await result for result in results]
    assert stub.contents == list(range(300))
    assert [ack.seq for ack in acks] == list(range(1, 301))
    assert len(stub.paths) == 3


async def test_what_is_sent_while_there_is_no_connection_waits(
    stub: StubPublisher, publisher: Publisher
) -> None:
    """A publisher outlives its server, and may be used while that is away."""
    await publisher.publish("t", 1)
    await stub.stop()
    result = await publisher.send("t", 2)
    await stub.start()
    assert (await result).seq == 2


async def test_the_order_of_starting_does_not_matter(
    stub: StubPublisher, make_publisher: MakePublisher
) -> None:
    """A publisher can be entered, and used, before there is a server; its state can be seen and followed."""
    await stub.stop()
    states: list[str | None] = []
    async with make_publisher(on_state=states.append) as publisher:
        assert not publisher.connected
        result = await publisher.send("t", 1)
        await stub.start()
        await result
        assert publisher.connected
        assert publisher.problem is None
    assert states[-1] is None
    assert not publisher.connected


@pytest.mark.parametrize("nonsense", ['{"ok": "another id", "seq": 1}', "[not json", "not json", "[["])
async def test_nonsense_is_put_right_by_sending_again(
    stub: StubPublisher, publisher: Publisher, nonsense: str
) -> None:
    """An answer that cannot be, or be read, costs a reconnect and nothing else."""
    stub.script.append(Do.IGNORE)
    result = await publisher.send("t", 1)
    await stub.until(lambda: len(stub.frames) == 1)
    await stub.send(nonsense)
    assert (await result).seq == 1
    assert len(stub.paths) == 2


async def test_what_is_unknown_is_ignored(stub: StubPublisher, publisher: Publisher) -> None:
    """A newer server may say more (forward compatibility)."""
    stub.holding = True
    result = await publisher.send("t", 1)
    await stub.until(lambda: len(stub.stored) == 1)
    await stub.send('{"welcome": {"version": 2}}')
    await stub.send('[7, "x", null, {"drain": "soon"}]')
    await stub.send(f'[{{"news": []}}, {{"ok": "{result.id}", "seq": 1, "shard": 3}}]')
    assert await result == Ack(result.id, 1)
    assert len(stub.paths) == 1


@pytest.mark.parametrize("code", ["queue-unavailable", "rate-limited"])
async def test_a_queue_out_of_reach_is_waited_for(
    stub: StubPublisher, publisher: Publisher, code: str
) -> None:
    """Some refusals are a matter of time: everything without an ack is sent again (promise 6, line 47)."""
    stub.script.extend([Do.ACK, refused(code), refused(code)])
    results = [await publisher.send("t", n) for n in range(3)]
    assert [(await result).seq for result in results] == [1, 2, 3]
    assert stub.contents == [0, 1, 2]


async def test_comes_back_when_the_server_says(
    stub: StubPublisher, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    """A drain notice sets the delay before the next attempt (promise 8)."""
    caplog.set_level("INFO", "fanline.client.transport.connection")
    await publisher.publish("t", 1)
    await stub.drain(retry_ms=7)
    await publisher.publish("t", 2)
    assert "closed the connection: 1001; next attempt in 0.0 s" in caplog.text


async def test_a_message_too_big_for_the_server_is_refused_alone(
    stub: StubPublisher, publisher: Publisher
) -> None:
    """A close with 1009 is answered by giving up the largest message, not by sending it for ever."""
    small = await publisher.send("t", "small")
    big = await publisher.send("t", "x" * 5_000_000)
    after = await publisher.send("t", "after")
    with pytest.raises(Rejected, match="bytes are more than the server takes") as caught:
        await big
    assert caught.value.code == "too-big"
    await small
    await after
    assert stub.contents == ["small", "after"]
