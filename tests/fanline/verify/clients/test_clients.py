"""The publishers and subscribers of ``fanline verify``, against stubs that misbehave."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection

from fanline.errors import ErrorCode, Rejected
from fanline.verify.clients import publishers, subscribers
from fanline.verify.clients.load import Load
from fanline.verify.clients.publishers import Sender
from fanline.verify.clients.subscribers import Reader
from fanline.verify.clients.workload import Workload
from fanline.verify.system.installation import Place
from fanline.verify.verdict.checker import Evidence, check
from fanline.verify.verdict.observations import Received
from tests.stubs import DEADLINE, PASSWORD, USER, Do, Stub, StubPublisher, StubSubscriber

TOKEN = "token"
COUNT = 300

MakeLoad = Callable[[Stub], Load]


@pytest.fixture
def make_load(tls: ssl.SSLContext) -> MakeLoad:
    def make(stub: Stub) -> Load:
        place = Place(stub.url, stub.url, USER, PASSWORD, tls, DEADLINE)
        return Load(place, Workload(TOKEN, 1), seed=1, publishers=1, rate=2_000)

    return make


class TextSubscriber(StubSubscriber):
    """Understands the command as people type it, too."""

    async def receive(self, connection: ServerConnection, frame: bytes) -> None:
        verb, pattern, option = frame.decode().split()
        command = {verb: pattern, "after": int(option.removeprefix("after="))}
        await super().receive(connection, msgspec.json.encode(command))


@asynccontextmanager
async def publishing(load: Load, kind: type[Sender]) -> AsyncIterator[Sender]:
    """Publish during the block, and then wait for all acks."""
    sender = kind(load, 0)
    task = asyncio.create_task(sender.run())
    async with asyncio.timeout(DEADLINE):
        yield sender
        load.is_over.set()
        await task


def stored(stub: StubPublisher, load: Load) -> Received:
    """The log of a stub."""
    log = Received("the log", [load.workload.everything], 0)
    for seq, message in enumerate(stub.stored, 1):
        log.note(seq, load.workload.identify(message.topic, bytes(message.content)))
    return log


@pytest.mark.parametrize("kind", publishers.KINDS)
async def test_publisher_during_losses(cert_dir: Path, make_load: MakeLoad, kind: type[Sender]) -> None:
    """Whatever is lost on the way, each message gets its ack, and is stored once and in order."""
    async with StubPublisher(cert_dir) as stub:
        load = make_load(stub)
        losses = (Do.DROP_UNSTORED, Do.DROP_UNACKED, Do.DROP_ACKED)
        stub.script.extend(step for loss in losses for step in (*[Do.ACK] * 10, loss))
        async with publishing(load, kind) as sender:
            await stub.until(lambda: len(stub.stored) >= COUNT)
        assert not check(Evidence([sender.sent], [], stored(stub, load)))
        assert load.reconnects == 3
        assert load.acked == load.published == len(stub.stored)


@pytest.mark.parametrize("kind", publishers.KINDS)
async def test_publisher_told_to_try_again(cert_dir: Path, make_load: MakeLoad, kind: type[Sender]) -> None:
    """That msgqueue is away for a while, or the service stops, is no violation."""
    async with StubPublisher(cert_dir) as stub:
        load = make_load(stub)
        stub.script.append(Rejected(ErrorCode.QUEUE_UNAVAILABLE, "msgqueue is away"))
        async with publishing(load, kind) as sender:
            await stub.until(lambda: len(stub.stored) >= 10)
            await stub.drain(retry_ms=50)
            await stub.until(lambda: len(stub.stored) >= COUNT)
        assert sender.sent.troubles == []
        assert load.acked == load.published


@pytest.mark.parametrize("kind", publishers.KINDS)
async def test_publisher_refused(cert_dir: Path, make_load: MakeLoad, kind: type[Sender]) -> None:
    """A refusal without a cause is noted."""
    async with StubPublisher(cert_dir) as stub:
        load = make_load(stub)
        stub.script.extend([Do.ACK, Rejected(ErrorCode.TOO_BIG, "a byte too much")])
        async with publishing(load, kind) as sender:
            await stub.until(lambda: not stub.script)
        (trouble,) = sender.sent.troubles
        assert "a byte too much" in trouble
        assert load.acked < load.published


@pytest.mark.parametrize(
    ("frame", "trouble"),
    [
        ('{"ok":"another","seq":1}', "an ack for another, where one for verify.token-0-0 was expected"),
        ("nonsense", "what came cannot be read"),
    ],
)
async def test_publisher_answered_wrongly(
    cert_dir: Path, make_load: MakeLoad, frame: str, trouble: str
) -> None:
    """The raw client records invalid frames and continues."""
    async with StubPublisher(cert_dir) as stub:
        load = make_load(stub)
        stub.script.extend([Do.IGNORE] * 10_000)
        async with publishing(load, publishers.ByHand) as sender:
            await stub.until(lambda: bool(stub.frames))
            await stub.send(frame)
            await stub.until(lambda: not stub.connections)
            stub.script.clear()
            await stub.until(lambda: len(stub.stored) >= COUNT)
        assert len(sender.sent.troubles) == 1
        assert sender.sent.troubles[0].startswith(trouble)
        assert load.acked == load.published


class OftenByHand(publishers.ByHand):
    repeat_share = 0.5


async def test_publisher_repeats_what_is_acknowledged(cert_dir: Path, make_load: MakeLoad) -> None:
    """By hand, old messages are sent again, and must be told to be where they were."""
    async with StubPublisher(cert_dir) as stub:
        load = make_load(stub)
        async with publishing(load, OftenByHand) as sender:
            await stub.until(lambda: len(stub.stored) >= COUNT)
        assert sender.sent.repeats > 0
        assert sender.sent.changed == []
        assert len(stub.stored) == load.published


def fill(stub: StubSubscriber, load: Load, count: int) -> None:
    """Put messages into the log of a stub, as if the one publisher had sent them and had its acks."""
    sent = load.sent[0]
    for _ in range(count):
        number = sent.hand_over(load.now)
        content = load.workload.content(0, number)
        message = stub.store(sent.topic(number), msgspec.Raw(content))
        sent.ack(number, message.seq, load.now)


@asynccontextmanager
async def reading(load: Load, kind: type[Reader]) -> AsyncIterator[Reader]:
    """Receive during the block."""
    reader = kind(load, "reader", [load.workload.everything], 0)
    load.received.append(reader.received)
    task = asyncio.create_task(reader.run())
    async with asyncio.timeout(DEADLINE):
        yield reader
    task.cancel()
    await asyncio.wait([task])


async def arrived(reader: Reader, seq: int) -> None:
    while reader.received.position < seq:
        await asyncio.sleep(0.01)


def log_of(load: Load) -> Received:
    """The log that :func:`fill` made."""
    log = Received("the log", [load.workload.everything], 0)
    for number, seq in enumerate(load.sent[0].seqs):
        log.note(seq, number)
    return log


@pytest.mark.parametrize("kind", [kind for kind in subscribers.KINDS if kind is not subscribers.Latecomer])
async def test_subscriber_during_losses(cert_dir: Path, make_load: MakeLoad, kind: type[Reader]) -> None:
    """Each resumes where it was, and has everything once and in order; also what comes in the meantime."""
    quick = type("Quick", (kind,), {"max_stay": 0.5, "max_rest": 0.1})
    by_hand = kind is subscribers.ByHand
    async with (TextSubscriber if by_hand else StubSubscriber)(cert_dir) as stub:
        load = make_load(stub)
        fill(stub, load, COUNT)
        async with reading(load, quick) as reader:
            await arrived(reader, 1)
            await stub.close(1001)
            fill(stub, load, COUNT)
            await arrived(reader, COUNT)
            load.is_healed.set()
            await arrived(reader, 2 * COUNT)
        assert not check(Evidence(load.sent, load.received, log_of(load)))
        assert load.delivered == 2 * COUNT


async def test_latecomer(cert_dir: Path, make_load: MakeLoad) -> None:
    """It wants what comes after it, and nothing of what was there before."""
    async with StubSubscriber(cert_dir) as stub:
        load = make_load(stub)
        fill(stub, load, COUNT)
        load.is_healed.set()
        async with reading(load, subscribers.Latecomer) as reader:
            await stub.until(lambda: stub.is_subscribed(load.workload.everything))
            fill(stub, load, COUNT)
            stub.drop()
            await arrived(reader, 2 * COUNT)
        assert reader.received.start == COUNT
        assert not check(Evidence(load.sent, load.received, log_of(load)))


@pytest.mark.parametrize("kind", [subscribers.Steady, subscribers.ByHand])
async def test_subscriber_told_of_a_gap(cert_dir: Path, make_load: MakeLoad, kind: type[Reader]) -> None:
    """Positions removed by retention are recorded, and are no finding."""
    async with (TextSubscriber if kind is subscribers.ByHand else StubSubscriber)(cert_dir) as stub:
        load = make_load(stub)
        fill(stub, load, COUNT)
        stub.floor = 10
        async with reading(load, kind) as reader:
            await arrived(reader, COUNT)
        assert reader.received.gaps == [(1, 10)]
        assert not check(Evidence(load.sent, load.received, log_of(load)))


@pytest.mark.parametrize("kind", [subscribers.Steady, subscribers.ByHand])
async def test_subscriber_refused(cert_dir: Path, make_load: MakeLoad, kind: type[Reader]) -> None:
    """A refusal without a cause is noted, in the service's words."""
    async with (TextSubscriber if kind is subscribers.ByHand else StubSubscriber)(cert_dir) as stub:
        load = make_load(stub)
        stub.refusals[load.workload.everything] = Rejected(ErrorCode.FORBIDDEN, "not for you")
        async with reading(load, kind) as reader:
            while not reader.received.troubles:
                await asyncio.sleep(0.01)
        (trouble,) = reader.received.troubles
        assert "not for you" in trouble
        assert "forbidden" in trouble


async def test_subscriber_by_hand_told_to_try_again(cert_dir: Path, make_load: MakeLoad) -> None:
    """That msgqueue is away, or the service stops, is no violation; what cannot be read is one."""
    async with TextSubscriber(cert_dir) as stub:
        load = make_load(stub)
        everything = load.workload.everything
        stub.refusals[everything] = Rejected(ErrorCode.QUEUE_UNAVAILABLE, "msgqueue is away")
        async with reading(load, subscribers.ByHand) as reader:
            await stub.until(lambda: len(stub.commands) >= 2)
            stub.refusals.clear()
            fill(stub, load, COUNT)
            await arrived(reader, COUNT)
            await stub.drain(retry_ms=50)
            await stub.until(lambda: stub.is_subscribed(everything))
            assert reader.received.troubles == []
            await stub.send("nonsense")
            await stub.until(lambda: not stub.connections)
        (trouble,) = reader.received.troubles
        assert trouble.startswith("what came cannot be read")


async def test_a_message_of_no_publisher_is_recorded(cert_dir: Path, make_load: MakeLoad) -> None:
    """A message that is not as any was published, or with a number that none has, is a violation."""
    async with StubSubscriber(cert_dir) as stub:
        load = make_load(stub)
        root = load.workload.root
        stub.store(f"{root}.a", {"by": 0, "n": 0, "pad": "other"})
        stub.store(f"{root}.a", {"by": 0, "n": 0, "pad": ""})
        async with reading(load, subscribers.Steady) as reader:
            await arrived(reader, 2)
        findings = check(Evidence(load.sent, [reader.received], Received("the log", [f"{root}.>"], 0)))
        assert findings.examples["altered"] == ["reader: at 1", "reader: at 2"]  # type: ignore[index]
