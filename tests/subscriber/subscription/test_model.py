"""Any sequence of events: every subscriber gets every record that it asked for, once and in order."""

import random
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fanline.errors import Rejected
from fanline.protocol import GapRange, PageAnswer, Read
from fanline.protocol.topics import matches
from subscriber.backlog import Need, Steps
from subscriber.commands import Command
from subscriber.fanout import Fanout
from tests.subscriber.lines import decode_lines
from tests.subscriber.subscription.conftest import Client, Log


class Want:
    """One pattern of a subscriber by itself; everything up to ``reached`` was written, or never wanted.

    Up to ``latest``, only the newest record of each topic is wanted.
    """

    def __init__(self, pattern: str, reached: int, latest: int) -> None:
        self.pattern = pattern
        self.reached = reached
        self.latest = latest


class CheckedClient(Client):
    """Checks every record against each of its patterns, and lets a step happen at a time."""

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self.wants: dict[str, Want] = {}
        self.told: list[GapRange] = []
        self.steps: tuple[Steps[None], Need] | None = None
        self.page: tuple[Read, PageAnswer] | None = None

    def write(self, frames: bytes) -> None:
        for entry in decode_lines(frames):
            self.check_record(entry) if isinstance(entry, int) else self.check_notice(entry)
        super().write(frames)

    def check_record(self, seq: int) -> None:
        topic = self.log.stored[seq - 1].topic
        takers = [each for each in self.wants.values() if matches(each.pattern, topic) and each.reached < seq]
        assert takers, f"{seq} was written again, or is not wanted"
        assert not all(self.is_superseded(each, seq) for each in takers), f"{seq} is not the newest"
        for want in takers:
            self.pass_over(want, seq - 1)
            want.reached = seq

    def is_superseded(self, want: Want, seq: int) -> bool:
        """Return whether a record is not wanted because its topic has a newer one."""
        topic = self.log.stored[seq - 1].topic
        return any(self.log.stored[newer - 1].topic == topic for newer in range(seq + 1, want.latest + 1))

    def check_notice(self, notice: dict[str, Any]) -> None:
        if gap := notice.get("gap"):
            self.told.append(GapRange(gap["from"], gap["to"]))
        if pattern := notice.get("subscribed"):
            want = self.wants.setdefault(pattern, Want(pattern, notice["seq"], notice.get("latest", 0)))
            self.pass_over(want, notice["seq"])
        elif pattern := notice.get("unsubscribed"):
            self.wants.pop(pattern, None)

    def pass_over(self, want: Want, position: int) -> None:
        """Check that everything of a pattern up to a position was removed, and that the gap was told."""
        for seq in range(want.reached + 1, position + 1):
            if matches(want.pattern, self.log.stored[seq - 1].topic) and not self.is_superseded(want, seq):
                assert seq in self.log.removed, f"{seq} is missing, before {position + 1}"
                if seq <= want.latest:
                    continue  # a topic that has no newest record any more
                assert any(gap.first <= seq <= gap.last for gap in self.told), f"{seq} is a silent gap"
        want.reached = max(want.reached, position)

    def start(self, command: Command) -> None:
        """Start a command, and execute it if it needs nothing."""
        if self.steps is None and not self.subscription.is_sending_newest:
            steps = self.subscription.execute(command)
            self.proceed(steps, lambda: next(steps))

    def proceed(self, steps: Steps[None], resume: Callable[[], Need]) -> None:
        self.steps = None
        try:
            self.steps = steps, resume()
        except StopIteration:
            pass
        except Rejected:
            pass  # a position after the end

    def step(self) -> None:
        """Receive the next page, or ask for it."""
        if self.steps is not None:
            steps, needs = self.steps
            answer = self.log.read(needs) if isinstance(needs, Read) else None
            self.proceed(steps, lambda: steps.send(answer))
        elif self.page is not None:
            read, page = self.page
            self.page = None
            self.subscription.take_page(read, page)
        elif (next_read := self.subscription.advance()) is not None:
            self.page = next_read, self.log.read(next_read)


class World:
    """A log that grows and is trimmed, and subscribers that come, go, are slow and catch up.

    What happens next is left to a generator and not to strategies, which seldom get to where much is going
    on. There are few topics and patterns, so that subscribers often share a group.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        fanout = Fanout(60, busy_rate=0, max_shared_patterns=2, max_pending_bytes=8, max_cached_routes=2)
        self.log = Log(cache_bytes=300, fanout=fanout)
        self.log.feed.begin(0, epoch=None, can_resume=True)
        self.clients = [CheckedClient(self.log) for _ in range(3)]

    def turn(self) -> None:
        """Do one thing."""
        self.log.page_records = self.rng.randint(1, 6)
        happenings = [
            self.commit, self.follow, self.trim, self.subscribe, self.unsubscribe, self.drain, self.catch_up
        ]  # fmt: skip
        self.rng.choices(happenings, weights=[4, 5, 1, 4, 2, 1, 4])[0]()
        for client in self.clients:
            assert not (client.paused and self.log.feed.fanout.is_member(client.subscription))

    def commit(self) -> None:
        self.log.commit(*self.rng.choices(["a", "b", "a.b"], k=self.rng.randint(1, 3)))

    def follow(self) -> None:
        """Deliver what is new, or what was held back; some buffers will be full after the next write."""
        for client in self.clients:
            client.fills_up |= self.rng.random() < 0.2
        self.rng.choice([self.log.follow, self.log.follow, self.log.feed.flush])()

    def trim(self) -> None:
        """Remove the oldest records, of all topics or of one."""
        topic = self.rng.choice(["a", "b", "a.b", None])
        seqs = [each.seq for each in self.log.stored if topic in (None, each.topic)]
        self.log.remove(seqs[: max(0, len(seqs) - self.rng.randint(0, 8))])

    def subscribe(self) -> None:
        pattern = self.rng.choice(["a", "*", ">"])
        after = max(0, self.log.feed.head - self.rng.choice([0, 1, 5, 20, -3]))
        options: dict[str, Any] = self.rng.choice(
            [{}, {}, {"after": after}, {"after": after}, {"last": 2}, {"latest": True}]
        )
        self.rng.choice(self.clients).start(Command(True, pattern, **options))

    def unsubscribe(self) -> None:
        self.rng.choice(self.clients).start(Command(False, self.rng.choice(["a", "*", ">"])))

    def drain(self) -> None:
        for client in self.clients:
            client.fills_up = client.paused = False

    def catch_up(self) -> None:
        for client in self.clients * self.rng.randint(1, 5):
            client.step()

    def end(self) -> None:
        """When all have caught up, none lacks anything."""
        self.drain()
        self.log.publish("b", "b", "b")  # after what some were sent by another service
        for client in self.clients:
            while client.steps is not None or client.page is not None:
                client.step()
            client.catch_up()
            assert not client.subscription.is_catching_up
        self.log.feed.flush()
        for client in self.clients:
            for want in client.wants.values():
                client.pass_over(want, len(self.log.stored))


@settings(max_examples=120)
@given(st.integers(0, 1 << 32))
def test_every_pattern_gets_all_of_its_records_in_order(seed: int) -> None:
    """Each once, to the end of the log; what retention removed is told before the next record."""
    world = World(random.Random(seed))
    for _ in range(80):
        world.turn()
    world.end()
