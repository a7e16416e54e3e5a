"""The judge of ``fanline verify``: every kind of violation in records made by hand, and none in good ones."""

import pytest

from fanline.verify.verdict.checker import Evidence, check
from fanline.verify.verdict.findings import MAX_EXAMPLES, Breach, Findings
from fanline.verify.verdict.observations import UNKNOWN, Received, Sent, key_of

TOPICS = ["t.a", "t.b"]
PATIENCE = 10.0


def sent(*seqs: int, name: str = "p", waited: float = 0.1) -> Sent:
    """A publisher whose messages, on both topics in turn, have acks at these positions; 0 is no ack."""
    publisher = Sent(name, TOPICS, patience=PATIENCE)
    for _ in seqs:
        publisher.hand_over(0.0)
    for number, seq in enumerate(seqs):
        if seq:
            publisher.ack(number, seq, waited)
    return publisher


def received(*entries: tuple[int, int], patterns: tuple[str, ...] = ("t.>",), start: int = 0) -> Received:
    """A reader that got messages of the first publisher: each by its position and number."""
    reader = Received("r", patterns, start)
    for seq, number in entries:
        reader.note(seq, number if number == UNKNOWN else key_of(0, number))
    return reader


LOG = ((1, 0), (2, 1), (4, 2), (5, 3))
SENT = (1, 2, 4, 5)


def judge(*readers: Received, publisher: Sent | None = None, log: Received | None = None) -> Findings:
    return check(Evidence([publisher or sent(*SENT)], readers, log or received(*LOG)))


def found(findings: Findings) -> dict[Breach, list[str]]:
    return dict(findings.examples)


@pytest.mark.parametrize(
    "reader",
    [
        pytest.param(received(*LOG), id="everything"),
        pytest.param(received(*LOG[2:], start=2), id="from the middle on"),
        pytest.param(received(*LOG[1::2], patterns=("t.b",)), id="one topic"),
        pytest.param(
            received(*LOG[1::2], *LOG[0::2], patterns=("t.b", "t.a")), id="one topic behind the other"
        ),
        pytest.param(received(*LOG, patterns=("t.b", "t.>")), id="subscriptions that overlap"),
        pytest.param(received(patterns=("other",)), id="nothing of what was sent"),
    ],
)
def test_all_is_well(reader: Received) -> None:
    """A reader that gets all messages in order and once has no findings."""
    assert not judge(reader)


def test_positions_may_have_holes_and_publishers_may_wait() -> None:
    """A second publisher between the first one's messages is no violation, nor is an empty run."""
    other = sent(3, name="q")
    log = received(*LOG[:2])
    log.note(3, key_of(1, 0))
    for seq, number in LOG[2:]:
        log.note(seq, key_of(0, number))
    assert not check(Evidence([sent(*SENT), other], [log], log))
    assert not check(Evidence([], [], received()))


def test_lost() -> None:
    """Acknowledged, and not in the log."""
    findings = judge(log=received(*LOG[:2], LOG[3]))
    assert found(findings) == {Breach.LOST: ["p, message 2: acknowledged at 4"]}


def test_removed_by_retention_is_not_lost() -> None:
    """Messages before an announced gap were there."""
    log = received(*LOG[2:])
    log.gaps.append((1, 3))
    assert not judge(received(*LOG), log=log)


def test_moved() -> None:
    """Acknowledged at one position, and found at another."""
    findings = judge(publisher=sent(1, 2, 3, 5))
    assert found(findings) == {Breach.MOVED: ["p, message 2: acknowledged at 3, found at 4"]}


def test_stored_twice() -> None:
    """One message at two positions of the log."""
    again = (7, 1)
    findings = judge(received(*LOG, again), log=received(*LOG, again))
    assert found(findings) == {Breach.STORED_TWICE: ["p, message 1: at 2 and at 7"]}


def test_acknowledged_twice_at_different_positions() -> None:
    """Sent again with the same id, and told to be elsewhere."""
    publisher = sent(*SENT)
    publisher.ack(1, 2, 0.2)
    publisher.ack(1, 9, 0.3)
    findings = judge(publisher=publisher)
    assert found(findings) == {Breach.STORED_TWICE: ["p, message 1: acknowledged at 2 and at 9"]}


def test_disagreement() -> None:
    """A reader has another message at a position than the log."""
    findings = judge(received((1, 0), (2, 3), *LOG[2:]))
    assert found(findings) == {Breach.DISAGREEMENT: ["r: 2 is p, message 3, in the log p, message 1"]}


@pytest.mark.parametrize(
    ("reader", "example"),
    [
        pytest.param(received(LOG[1], LOG[0], *LOG[2:]), "r: 1 behind 2", id="swapped"),
        pytest.param(received(*LOG, LOG[3]), "r: 5 behind 5", id="again"),
        pytest.param(received(*LOG, start=1), "r: 1 behind 1", id="before the start"),
        pytest.param(
            received(LOG[2], *LOG[:2], LOG[3], patterns=("t.a", "t.b")), "r: 1 behind 4", id="within a topic"
        ),
    ],
)
def test_out_of_order(reader: Received, example: str) -> None:
    """Delivered out of order, or a second time."""
    findings = judge(reader)
    assert findings.examples[Breach.OUT_OF_ORDER] == [example]


def test_overtaken() -> None:
    """Stored in another order than sent, over all topics."""
    log = received((1, 0), (2, 2), (4, 1), (5, 3))
    findings = judge(publisher=sent(1, 4, 2, 5), log=log)
    assert found(findings) == {Breach.OVERTAKEN: ["p, message 1: at 4, behind message 2"]}


@pytest.mark.parametrize(("waited", "is_excused"), [(PATIENCE - 0.1, False), (PATIENCE, True)])
def test_overtaken_when_refused(waited: float, is_excused: bool) -> None:
    """A message refused because it waited too long may be overtaken."""
    log = received((1, 0), (2, 2), (4, 1), (5, 3))
    assert bool(judge(publisher=sent(1, 4, 2, 5, waited=waited), log=log)) is not is_excused


def test_only_those_in_flight_are_excused() -> None:
    """Messages sent after the answers to the refused ones may not be overtaken."""
    publisher = sent(1, 2, waited=PATIENCE)
    for number, seq in ((2, 4), (3, 3)):
        publisher.hand_over(20.0)
        publisher.ack(number, seq, 20.1)
    assert [publisher.may_be_overtaken(number) for number in range(4)] == [True, True, False, False]
    findings = judge(publisher=publisher, log=received((1, 0), (2, 1), (3, 3), (4, 2)))
    assert findings.counts == {Breach.OVERTAKEN: 1}


def test_silent_gap() -> None:
    """Something behind it came, but not this."""
    findings = judge(received(LOG[0], *LOG[2:]))
    assert found(findings) == {Breach.SILENT_GAP: ["r: 2"]}


def test_silent_gap_at_the_start() -> None:
    """Missing the first message is found too."""
    findings = judge(received(*LOG[1:]))
    assert found(findings) == {Breach.SILENT_GAP: ["r: 1"]}


def test_announced_gap() -> None:
    """Announced gaps are no findings."""
    reader = received(*LOG[3:])
    reader.gaps.append((2, 4))
    findings = judge(reader)
    assert found(findings) == {Breach.SILENT_GAP: ["r: 1"]}


def test_undelivered() -> None:
    """The last ones never came."""
    findings = judge(received(*LOG[:3]))
    assert found(findings) == {Breach.UNDELIVERED: ["r: 5"]}


@pytest.mark.parametrize(
    "reader",
    [
        pytest.param(received(*LOG[:2], (3, 2), *LOG[2:]), id="at no position of the log"),
        pytest.param(received(*LOG[:3:2], LOG[3], patterns=("t.a",)), id="not subscribed to"),
    ],
)
def test_not_in_log(reader: Received) -> None:
    """Delivered, but the log has no such thing for the subscription."""
    findings = judge(reader)
    assert findings.counts == {Breach.NOT_IN_LOG: 1}


@pytest.mark.parametrize("key", [UNKNOWN, key_of(0, 4), key_of(1, 0)])
def test_altered(key: int) -> None:
    """A delivered message that no publisher has sent in this form is found."""
    reader = received(*LOG[:3])
    reader.note(5, key)
    findings = judge(reader)
    assert findings.examples[Breach.ALTERED] == ["r: at 5"]


def test_unacked() -> None:
    """No ack at all; that it is stored does not count."""
    findings = judge(publisher=sent(1, 2, 4, 0))
    assert found(findings) == {Breach.UNACKED: ["p, message 3"]}


def test_refused() -> None:
    """Errors reported to either side are shown in its words."""
    publisher, reader = sent(*SENT), received(*LOG)
    publisher.troubles.append("too-big")
    reader.troubles.append("bad-position")
    findings = judge(reader, publisher=publisher)
    assert found(findings) == {Breach.REFUSED: ["p: too-big", "r: bad-position"]}


def test_a_flood_is_counted_and_cut_short() -> None:
    """All are counted, and the first few shown, also when the findings of several parts come together."""
    findings = check(Evidence([sent(*range(1, 101))], [], received()))
    assert findings.counts == {Breach.LOST: 100}
    assert len(findings.examples[Breach.LOST]) == MAX_EXAMPLES
    everything = Findings()
    everything.add(Breach.LOST, "first")
    everything.update(findings)
    assert everything.counts == {Breach.LOST: 101}
    assert everything.examples[Breach.LOST] == ["first", *findings.examples[Breach.LOST][:-1]]


def test_every_kind_has_a_meaning() -> None:
    """Each kind of finding has its sentence in the report."""
    assert all(kind.meaning for kind in Breach)
