"""The judge, which finds violations in sent, received and stored messages.

No I/O. The log is taken for the truth of what is stored. Against it is held what the publishers were told,
and what each reader got, position by position.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from fanline.protocol.topics import matches_any
from fanline.verify.verdict.findings import Breach, Findings
from fanline.verify.verdict.observations import Received, Sent, split_key

Entry = tuple[int, int]  # position and key

_END: Final = (2**64, 0)


class Evidence(NamedTuple):
    """All that is known of a run.

    Attributes:
        sent: The publishers, by number.
        received: The readers; each should have received all of its messages.
        log: All topics of the run, read once everything was over.
    """

    sent: Sequence[Sent]
    received: Sequence[Received]
    log: Received


def check(evidence: Evidence) -> Findings:
    """Return every violation of the promises."""
    return _Checker(evidence).check()


class _Checker:
    def __init__(self, evidence: Evidence) -> None:
        self._sent = evidence.sent
        self._received = evidence.received
        self._log = evidence.log
        self._findings = Findings()

    def check(self) -> Findings:
        stored = [array("Q", bytes(8 * len(sent))) for sent in self._sent]
        self._check_log(stored)
        for sent, positions in zip(self._sent, stored, strict=True):
            self._check_answers(sent, positions)
        for reader in (self._log, *self._received):
            self._check_order(reader)
        for reader in self._received:
            self._check_deliveries(reader)
        return self._findings

    # The log.

    def _check_log(self, stored: Sequence["array[int]"]) -> None:
        """Find messages stored twice or in disorder; note each one's position."""
        newest = [-1] * len(self._sent)
        for seq, key in _entries(self._log):
            if not self._is_known(key):
                continue
            by, number = split_key(key)
            if stored[by][number]:
                self._add(Breach.STORED_TWICE, f"{self._name(key)}: at {stored[by][number]} and at {seq}")
                continue
            stored[by][number] = seq
            if number < newest[by] and not self._sent[by].may_be_overtaken(number):
                self._add(Breach.OVERTAKEN, f"{self._name(key)}: at {seq}, behind message {newest[by]}")
            newest[by] = max(newest[by], number)

    # The publishers.

    def _check_answers(self, sent: Sent, stored: "array[int]") -> None:
        for number, (acked, found) in enumerate(zip(sent.seqs, stored, strict=True)):
            if not acked:
                self._add(Breach.UNACKED, f"{sent.name}, message {number}")
            elif acked != found:
                self._check_absence(sent, number, found)
        for number, seq in sent.changed:
            first = sent.seqs[number]
            self._add(
                Breach.STORED_TWICE, f"{sent.name}, message {number}: acknowledged at {first} and at {seq}"
            )
        for trouble in sent.troubles:
            self._add(Breach.REFUSED, f"{sent.name}: {trouble}")

    def _check_absence(self, sent: Sent, number: int, found: int) -> None:
        acked = sent.seqs[number]
        what = f"{sent.name}, message {number}: acknowledged at {acked}"
        if found:
            self._add(Breach.MOVED, f"{what}, found at {found}")
        elif not self._log.was_told_of(acked):
            self._add(Breach.LOST, what)

    # The readers.

    def _check_order(self, reader: Received) -> None:
        """Find messages out of order.

        The order is that of one subscription, or, with several, of each topic.
        """
        newest: defaultdict[str, int] = defaultdict(lambda: reader.start)
        for seq, key in _entries(reader):
            if not self._is_known(key):
                self._add(Breach.ALTERED, f"{reader.name}: at {seq}")
                continue
            lane = self._topic(key) if len(reader.patterns) > 1 else ""
            if seq <= newest[lane]:
                self._add(Breach.OUT_OF_ORDER, f"{reader.name}: {seq} behind {newest[lane]}")
            newest[lane] = max(newest[lane], seq)
        for trouble in reader.troubles:
            self._add(Breach.REFUSED, f"{reader.name}: {trouble}")

    def _check_deliveries(self, reader: Received) -> None:
        """Compare a reader's messages with the log, position by position."""
        for seq, stored, came in _join(self._due_to(reader), _sorted(reader)):
            where = f"{reader.name}: {seq}"
            if came is None and not reader.was_told_of(seq):
                kind = Breach.SILENT_GAP if seq < reader.position else Breach.UNDELIVERED
                self._add(kind, where)
            elif stored is None and not self._log.was_told_of(seq):
                self._add(Breach.NOT_IN_LOG, where)
            elif stored is not None and came is not None and stored != came:
                self._add(
                    Breach.DISAGREEMENT, f"{where} is {self._name(came)}, in the log {self._name(stored)}"
                )

    def _due_to(self, reader: Received) -> Iterator[Entry]:
        is_wanted: dict[str, bool] = {}
        for seq, key in _sorted(self._log):
            if seq <= reader.start or not self._is_known(key):
                continue
            topic = self._topic(key)
            if topic not in is_wanted:
                is_wanted[topic] = matches_any(reader.patterns, topic)
            if is_wanted[topic]:
                yield seq, key

    # Keys.

    def _is_known(self, key: int) -> bool:
        by, number = split_key(key)
        return by < len(self._sent) and number < len(self._sent[by])

    def _topic(self, key: int) -> str:
        by, number = split_key(key)
        return self._sent[by].topic(number)

    def _name(self, key: int) -> str:
        by, number = split_key(key)
        return f"{self._sent[by].name}, message {number}" if self._is_known(key) else "an unknown message"

    def _add(self, kind: Breach, example: str) -> None:
        self._findings.add(kind, example)


def _entries(reader: Received) -> Iterable[Entry]:
    return zip(reader.seqs, reader.keys, strict=True)


def _sorted(reader: Received) -> Iterator[Entry]:
    """Yield the first message of each position, in the log's order."""
    seqs, keys = reader.seqs, reader.keys
    last = 0
    for index in sorted(range(len(seqs)), key=seqs.__getitem__):
        if seqs[index] != last:
            last = seqs[index]
            yield last, keys[index]


def _join(left: Iterator[Entry], right: Iterator[Entry]) -> Iterator[tuple[int, int | None, int | None]]:
    """Yield positions of either side with both keys.

    A key is None where it is missing.
    """
    one, other = next(left, _END), next(right, _END)
    while (seq := min(one[0], other[0])) != _END[0]:
        here, there = one[0] == seq, other[0] == seq
        yield seq, one[1] if here else None, other[1] if there else None
        if here:
            one = next(left, _END)
        if there:
            other = next(right, _END)
