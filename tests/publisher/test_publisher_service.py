"""The publisher between real clients and a stub of msgqueue."""

import asyncio
import socket
from http import HTTPStatus
from pathlib import Path

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from fanline.errors import Rejected
from fanline.protocol import Dialect, NewMessage
from fanline.server import Service
from publisher.app import open_publisher
from tests.conftest import Dial, StartService, until
from tests.conftest import receive_objects as answers
from tests.stubs import Do, StubPublisher


async def test_message_is_forwarded_and_acked(queue: StubPublisher, publisher: Service, dial: Dial) -> None:
    """A message goes to msgqueue, signed with its user, and msgqueue's ack comes back (line 10)."""
    client = await dial(publisher, "/publish")
    await client.send('{"topic":"orders.eu","content":{"n":1},"id":"a1"}')
    assert await answers(client, 1) == [{"ok": "a1", "seq": 1}]
    assert [(m.topic, bytes(m.content), m.id, m.sender) for m in queue.stored] == [
        ("orders.eu", b'{"n":1}', "a1", "hello")
    ]


async def test_messages_of_one_turn_are_forwarded_in_one_frame(
    queue: StubPublisher, publisher: Service, dial: Dial
) -> None:
    """An array of messages is forwarded as an array, in order, with ids for those without."""
    client = await dial(publisher, "/publish")
    await client.send(msgspec.json.encode([{"topic": "t", "content": n} for n in range(100)]), text=True)
    got = await answers(client, 100)
    assert [answer["seq"] for answer in got] == list(range(1, 101))
    assert queue.contents == list(range(100))
    assert len({message.id for message in queue.stored}) == 100
    assert len(queue.frames) == 1


async def test_answers_keep_the_order_of_the_messages(
    queue: StubPublisher, publisher: Service, dial: Dial
) -> None:
    """An error found at once does not overtake the ack of an earlier message that msgqueue still owes."""
    queue.holding = True
    client = await dial(publisher, "/publish")
    await client.send('[{"topic":"t","content":1,"id":"a"},{"topic":"bad topic","content":2,"id":"b"}]')
    await client.send('{"topic":"t","content":3,"id":"c"}')
    await queue.until(lambda: len(queue.stored) == 2)
    await queue.release()
    got = await answers(client, 3)
    assert [(a.get("ok"), a.get("error"), a.get("id")) for a in got] == [
        ("a", None, None),
        (None, "bad-topic", "b"),
        ("c", None, None),
    ]


@pytest.mark.parametrize("step", [Do.DROP_UNSTORED, Do.DROP_UNACKED, Do.DROP_ACKED])
async def test_link_drop_loses_and_doubles_nothing(
    queue: StubPublisher, publisher: Service, dial: Dial, step: Do
) -> None:
    """Wherever in the exchange the link drops, each message is stored once and acked (promises 1, 3, 6)."""
    queue.script.extend([Do.ACK, step, Do.ACK])
    client = await dial(publisher, "/publish")
    for n in range(5):
        await client.send(f'{{"topic":"t","content":{n}}}')
    got = await answers(client, 5)
    assert sorted(answer["seq"] for answer in got) == [1, 2, 3, 4, 5]
    assert sorted(queue.contents) == [0, 1, 2, 3, 4]


async def test_queue_comes_later(queue: StubPublisher, start_service: StartService, dial: Dial) -> None:
    """The start order does not matter: what is published before msgqueue is there is acked when it is."""
    await queue.stop()
    publisher = await start_service(open_publisher, queue_url=queue.url)
    client = await dial(publisher, "/publish")
    await client.send('{"topic":"t","content":1,"id":"a"}')
    await queue.start()
    assert await answers(client, 1) == [{"ok": "a", "seq": 1}]


async def test_queue_away_too_long(queue: StubPublisher, start_service: StartService, dial: Dial) -> None:
    """A v1 publisher waits, is then told, and is not acked behind its back; later it works again."""
    await queue.stop()
    publisher = await start_service(open_publisher, queue_url=queue.url, queue_wait=0.3)
    client = await dial(publisher, "/publish")
    await client.send('{"topic":"t","content":1,"id":"a"}')
    (told,) = await answers(client, 1)
    assert (told["error"], told["id"]) == ("queue-unavailable", "a")
    assert "cannot be reached" in str(told["reason"])
    await queue.start()
    while "error" in told:  # as long as the publisher has not connected again
        await client.send('{"topic":"t","content":2,"id":"b"}')
        (told,) = await answers(client, 1)
    assert (told["ok"], told["seq"]) == ("b", 1)
    assert queue.contents == [2]


async def test_unanswered_message_may_be_stored(
    queue: StubPublisher, start_service: StartService, dial: Dial
) -> None:
    """When msgqueue took a message and says nothing, the publisher is told exactly that."""
    queue.script.append(Do.IGNORE)
    publisher = await start_service(open_publisher, queue_url=queue.url, queue_wait=0.3)
    client = await dial(publisher, "/publish")
    await client.send('{"topic":"t","content":1,"id":"a"}')
    (told,) = await answers(client, 1)
    assert told["error"] == "queue-unavailable"
    assert "may be stored" in str(told["reason"])


async def test_refusal_of_the_queue_is_passed_on(
    queue: StubPublisher, publisher: Service, dial: Dial
) -> None:
    """A refusal of msgqueue reaches the client, in the words of msgqueue."""
    queue.script.append(Rejected("queue-unavailable", "the log cannot be written: disk full"))
    client = await dial(publisher, "/publish")
    await client.send('{"topic":"t","content":1,"id":"a"}')
    (told,) = await answers(client, 1)
    assert told == {"error": "queue-unavailable", "reason": "the log cannot be written: disk full", "id": "a"}


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("not json", "bad-json"),
        ('{"topic":"t"', "bad-json"),
        (b'{"topic":"t","content":"\xff"}', "bad-json"),
        (b"\x00\xff\xfe", "bad-json"),
        ('{"topic":"t"}', "bad-message"),
        ('{"topic":7,"content":1}', "bad-message"),
        ('{"topic":"","content":1}', "bad-topic"),
        ('{"topic":"a b","content":1}', "bad-topic"),
        ('{"topic":"a\\u0000b","content":1}', "bad-topic"),
        ('{"topic":"a.*","content":1}', "bad-topic"),
        ('{"topic":"$sys","content":1,"id":"x"}', None),
        ('{"topic":"t","content":1,"id":""}', "bad-id"),
        ('{"topic":"t","content":1,"id":"$mine"}', "bad-id"),
        ('{"topic":"t","content":' + "[" * 100_000 + "]" * 100_000 + "}", "too-deep"),
        ('{"topic":"t","content":' + "[" * 65 + "]" * 65 + "}", "too-deep"),
        ('{"topic":"t","content":"' + "x" * 2_000_000 + '"}', "too-big"),
    ],
)
async def test_bad_message_harms_only_itself(
    queue: StubPublisher, publisher: Service, dial: Dial, frame: str | bytes, code: str | None
) -> None:
    """A wrong message gets a clear error, on the same connection, which goes on (line 6, promise 7)."""
    client = await dial(publisher, "/publish")
    await client.send(frame)
    await client.send('{"topic":"t","content":"good","id":"good"}')
    first, second = await answers(client, 2)
    assert first.get("error") == code
    assert second["ok"] == "good"
    assert queue.contents[-1] == "good"


async def test_enormous_frame_closes_only_its_connection(
    queue: StubPublisher, publisher: Service, dial: Dial
) -> None:
    """A frame of 10 MB is not even read: 1009; another client does not notice (promise 7)."""
    good, bad = await dial(publisher, "/publish"), await dial(publisher, "/publish")
    await bad.send("x" * 10_000_000)
    with pytest.raises(ConnectionClosed):
        await bad.recv()
    assert bad.close_code == 1009
    await good.send('{"topic":"t","content":1,"id":"a"}')
    assert await answers(good, 1) == [{"ok": "a", "seq": 1}]


async def test_one_bad_message_of_an_array(queue: StubPublisher, publisher: Service, dial: Dial) -> None:
    """In an array only the wrong ones are refused, each with its own error, in place."""
    client = await dial(publisher, "/publish")
    await client.send('[{"topic":"t","content":1,"id":"a"},7,{"topic":"t","content":3,"id":"c"}]')
    got = await answers(client, 3)
    assert [a.get("ok") or a.get("error") for a in got] == ["a", "bad-message", "c"]
    assert queue.contents == [1, 3]


async def test_empty_frames_are_ignored(queue: StubPublisher, publisher: Service, dial: Dial) -> None:
    """An empty frame, spaces, or an empty array is no message and no error."""
    client = await dial(publisher, "/publish")
    for frame in ("", "  \n", "[]", '{"topic":"t","content":1,"id":"a"}'):
        await client.send(frame)
    assert await answers(client, 1) == [{"ok": "a", "seq": 1}]


async def test_publisher_that_never_reads_is_not_read_from(
    queue: StubPublisher, start_service: StartService, dial: Dial
) -> None:
    """One that sends and never reads its replies is slowed to a stop; memory stays bounded, others go on."""
    publisher = await start_service(open_publisher, queue_url=queue.url, write_buffer=4096)
    deaf, good = await dial(publisher, "/publish"), await dial(publisher, "/publish")
    deaf.transport.pause_reading()
    # A small window, so that less has to be written until nothing more can be.
    deaf.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    frame = msgspec.json.encode([{"topic": "t", "content": "x", "id": f"{n:0100}"} for n in range(1000)])

    async def pour() -> None:
        while True:
            await deaf.send(frame, text=True)

    pouring = asyncio.create_task(pour())
    connection = next(c for c in publisher.connections if c.peer.port == deaf.local_address[1])
    await until(lambda: connection.paused)
    await good.send('{"topic":"t","content":1,"id":"good"}')
    assert (await answers(good, 1))[0]["ok"] == "good"
    pouring.cancel()
    deaf.transport.abort()


# The plain dialect, frame by frame, as the original Go programs speak it (line 9).


async def test_plain_publisher_gets_no_answer(queue: StubPublisher, publisher: Service, dial: Dial) -> None:
    """A plain message is forwarded, in any spelling of its fields; nothing comes back, errors neither."""
    plain = await dial(publisher, "/publish", v1=False)
    for frame in (
        '{"Topic":"t","Content":"one"}',
        "",
        "not json",
        '{"Topic":"a b","Content":"refused"}',
        "[]",
        '{"topic":"t","CONTENT":"two"}',
        '{"Topic":"t"}',
    ):
        await plain.send(frame)
    await queue.until(lambda: len(queue.stored) == 3)
    assert [(m.topic, bytes(m.content)) for m in queue.stored] == [
        ("t", b'"one"'),
        ("t", b'"two"'),
        ("t", b'""'),
    ]
    await (await plain.ping())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(plain.recv(), 0.05)


async def test_plain_publisher_need_not_read(
    queue: StubPublisher, start_service: StartService, dial: Dial
) -> None:
    """One that never reads, as the Go clientdemo, answers no ping, and is not cut for it (line 9)."""
    publisher = await start_service(open_publisher, queue_url=queue.url, ping_interval=0.2, silence_limit=0.2)
    plain, v1 = await dial(publisher, "/publish", v1=False), await dial(publisher, "/publish")
    for client in (plain, v1):
        client.transport.pause_reading()
    await until(lambda: len(publisher.connections) == 1)
    await plain.send('{"Topic":"t","Content":"late"}')
    await queue.until(lambda: queue.contents == ["late"])


async def test_plain_queue_keeps_its_link_while_it_is_full(
    queue: StubPublisher, start_service: StartService, cert_dir: Path
) -> None:
    """A Go msgqueue that is full reads nothing and answers no ping; a second link would overtake (line 9)."""
    queue.speaks_v1 = False
    async with StubPublisher(cert_dir) as v1_queue:
        for stub in (queue, v1_queue):
            await start_service(open_publisher, queue_url=stub.url, ping_interval=0.1, silence_limit=0.1)
            await stub.until(lambda stub=stub: bool(stub.connections))  # type: ignore[misc]
            stub.deafen()
        for losses in (1, 2):  # by the second one, the plain link would be lost and made again
            await v1_queue.until(lambda losses=losses: len(v1_queue.paths) > losses)  # type: ignore[misc]
            v1_queue.deafen()
    assert queue.paths == ["/pushmsg"]


async def test_plain_queue_gets_plain_frames(
    queue: StubPublisher, start_service: StartService, dial: Dial
) -> None:
    """Towards a Go msgqueue, messages go one to a frame with Topic and Content; others are refused."""
    queue.speaks_v1 = False
    got: list[bytes] = []

    async def receive(_: object, frame: bytes) -> None:
        got.append(frame)

    queue.receive = receive  # type: ignore[method-assign,assignment]
    publisher = await start_service(open_publisher, queue_url=queue.url)
    plain, v1 = await dial(publisher, "/publish", v1=False), await dial(publisher, "/publish")
    await v1.send('{"topic":"t","content":1,"id":"a"}')
    (told,) = await answers(v1, 1)
    assert (told["error"], told["id"]) == ("ack-unavailable", "a")
    await plain.send('{"Topic":"t","Content":"one"}')
    await plain.send('{"Topic":"t","Content":{"n":2}}')
    await queue.until(lambda: len(got) == 2)
    assert got == [b'{"Topic":"t","Content":"one"}', b'{"Topic":"t","Content":"{\\"n\\":2}"}']
    entries = [entry for frame in got for entry in Dialect.PLAIN.codec.decode_published(frame)]
    assert [(entry.topic, bytes(entry.content)) for entry in entries if isinstance(entry, NewMessage)] == [
        ("t", b'"one"'),
        ("t", b'"{\\"n\\":2}"'),
    ]


async def test_garbage_of_the_queue_is_survived(queue: StubPublisher, publisher: Service, dial: Dial) -> None:
    """A queue that answers nonsense is connected to again, and nothing is lost."""
    client = await dial(publisher, "/publish")
    queue.script.append(Do.IGNORE)
    await client.send('{"topic":"t","content":1,"id":"a"}')
    await queue.until(lambda: len(queue.frames) == 1)
    await queue.send("garbage")
    assert await answers(client, 1) == [{"ok": "a", "seq": 1}]
    queue.script.append(Do.IGNORE)
    await client.send('{"topic":"t","content":2,"id":"b"}')
    await queue.until(lambda: len(queue.frames) == 3)
    await queue.send('{"ok":"someone else","seq":9}')
    assert await answers(client, 1) == [{"ok": "b", "seq": 2}]


async def test_readiness_follows_the_queue(
    queue: StubPublisher, start_service: StartService, dial: Dial
) -> None:
    """``/readyz`` says what is missing, and flips when it is there."""
    publisher = await start_service(open_publisher, queue_url=queue.url)
    await queue.until(lambda: bool(queue.connections))
    await until(lambda: publisher.app.readiness_problem() is None)
    queue.answer = HTTPStatus.UNAUTHORIZED
    queue.drop()
    await until(lambda: "refuses user" in (publisher.app.readiness_problem() or ""))
    assert "test" not in (publisher.app.readiness_problem() or "")


async def test_not_ready_while_messages_wait_too_long(
    queue: StubPublisher, start_service: StartService, dial: Dial
) -> None:
    """``/readyz`` tells of a queue that is connected and answers nothing for longer than ``queue_wait``."""
    publisher = await start_service(open_publisher, queue_url=queue.url, queue_wait=0.2)
    await until(lambda: publisher.app.readiness_problem() is None)
    queue.holding = True
    client = await dial(publisher, "/publish")
    await client.send('{"topic":"t","content":1,"id":"a"}')
    problem = "msgqueue has not answered a message for more than 0.2 s"
    await until(lambda: publisher.app.readiness_problem() == problem)
    await queue.release()
    await until(lambda: publisher.app.readiness_problem() is None)
