"""State shared by all publishers and subscribers of a run."""

import asyncio
import random

from fanline.verify.clients.workload import Workload
from fanline.verify.system.installation import Place
from fanline.verify.verdict.observations import Received, Sent, split_key


class Load:
    """The traffic of one run: its pipeline, its notes, its end.

    Args:
        place: The pipeline.
        workload: What is published.
        seed: What all random choices follow from.
        publishers: How many publishers there are.
        rate: Messages a second that each of them publishes at most.

    Attributes:
        sent: What each publisher notes.
        received: What each subscriber notes.
        is_over: Set when nothing new is to be published.
        is_healed: Set when there are no more faults: slow and resting clients hurry up.
        reconnects: Connections that were made again after a loss.
        longest_delivery: The most seconds between a message and its delivery to a prompt subscriber.
    """

    def __init__(self, place: Place, workload: Workload, *, seed: int, publishers: int, rate: float) -> None:
        self.place = place
        self.workload = workload
        self.rate = rate
        self.sent = [
            Sent(f"publisher {number}", workload.topics(number), patience=place.patience)
            for number in range(publishers)
        ]
        self.received: list[Received] = []
        self.is_over = asyncio.Event()
        self.is_healed = asyncio.Event()
        self.reconnects = 0
        self.longest_delivery = 0.0
        self._seed = seed
        self._clock = asyncio.get_running_loop().time

    @property
    def now(self) -> float:
        """The time, in seconds."""
        return self._clock()

    @property
    def published(self) -> int:
        """Messages handed over so far."""
        return sum(len(sent) for sent in self.sent)

    @property
    def acked(self) -> int:
        """Messages that have their ack."""
        return sum(sent.acked for sent in self.sent)

    @property
    def delivered(self) -> int:
        """Messages that came, counted once for each subscriber."""
        return sum(len(received) for received in self.received)

    def heads(self) -> dict[str, int]:
        """Return the position of the newest acknowledged message of each topic."""
        heads: dict[str, int] = {}
        for sent in self.sent:
            for number, seq in enumerate(sent.seqs):
                topic = sent.topic(number)
                heads[topic] = max(heads.get(topic, 0), seq)
        return heads

    def rng(self, name: str) -> random.Random:
        """Return a participant's source of randomness, which follows from the seed."""
        return random.Random(f"{self._seed} {name}")  # noqa: S311 - repeatable, guards no secret

    def note_delay(self, key: int) -> None:
        """Note how long a message took to its subscriber.

        To be called when it has just arrived.
        """
        by, number = split_key(key)
        if number < len(self.sent[by]):
            self.longest_delivery = max(self.longest_delivery, self.now - self.sent[by].handed_over[number])

    def count_reconnects(self) -> "Reconnects":
        """Return what is to be told of the state of one connection."""
        return Reconnects(self)


class Reconnects:
    """Counts every connection of a client but its first; the client's ``on_state``."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._is_first = True

    def __call__(self, problem: str | None) -> None:
        """Note a new connection, or the problem without one."""
        if problem is not None:
            return
        if not self._is_first:
            self._load.reconnects += 1
        self._is_first = False
