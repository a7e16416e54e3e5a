"""Applying frames: whatever the journal does, all replicas have the same, each acknowledged message once."""

from collections import Counter
from random import Random

import pytest

from fanline.protocol import decode_message
from msgqueue.journal.base import Entry, JournalDamage
from msgqueue.journal.frame import FRAME_VERSION, Append, Frame, encode_frame, to_frame
from msgqueue.store.replica.state import Replica, first_state
from tests.msgqueue.journal.memory_journal import Fault
from tests.msgqueue.store.replica.simulation import JOBS, ListTables, Member, begun, simulate
from tests.msgqueue.store.store_model import new


def spoken(member: Member, topic: str) -> list[int]:
    """Return the counters of what a process has published, as they are in a log."""
    records = [record for record in member.records if record.topic == topic]
    return [int(bytes(decode_message(record.body).content)) for record in records]


def check(members: list[Member]) -> None:
    first = members[0]
    assert first.replica.state.shares[JOBS].position == len(first.records)
    assert all(member.records == first.records for member in members)
    assert all(member.replica.state == first.replica.state for member in members)
    assert all(member.tables.model.cursors == first.tables.model.cursors for member in members)
    assert [record.seq for record in first.records] == list(range(1, len(first.records) + 1))
    for topic in {record.topic for record in first.records}:
        counters = spoken(first, topic)
        assert counters == sorted(set(counters))  # in order, none twice
    for member in members:
        assert member.pending is None
        assert member.replica.problem is None
        for message, result in member.acked:
            stored = decode_message(first.records[result.seq - 1].body)
            assert result.duplicate or (stored.topic, stored.content) == (message.topic, message.content)
            assert not result.duplicate or stored.id == message.id


@pytest.mark.parametrize("seeds", [range(40), pytest.param(range(40, 2_000), marks=pytest.mark.long)])
def test_replicas_agree_on_a_hostile_journal(seeds: range) -> None:
    """Lost, repeated, late frames, elections, partitions: nothing acked is lost, doubled, moved (line 60)."""
    happened: Counter[Fault] = Counter()
    for seed in seeds:
        log, members = simulate(seed)
        happened.update(log.happened)
        try:
            check(members)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error
    assert all(happened[fault] > 0 for fault in Fault)


def entry(index: int, number: int = 1, *, origin: str = "a", log: str = "e1", seen: int = 0) -> Entry:
    frame = Frame(FRAME_VERSION, log, origin, number, 0, seen, b"", [Append([to_frame(new("t"))])])
    return Entry(index, 0, encode_frame(frame))


@pytest.fixture
def replica() -> Replica:
    """A replica that has applied the first entry."""
    log, state = begun(Random(1), rate=0)
    replica = Replica(state, "me")
    replica.commit(replica.apply(log.entries, ListTables()))
    return replica


def test_a_late_frame_is_left_out(replica: Replica) -> None:
    """One that its sender gave up does not count after the next one (line 60)."""
    tables = ListTables()
    step = replica.apply([entry(2, 2), entry(3, 1), entry(4, 2), entry(5, 3)], tables)
    assert [frame.number for frame in step.frames] == [2, 3]
    assert len(tables.model.records) == 2


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (entry(3), "has lost entries: 3 came after 1"),
        (entry(1), "entry 1 of the journal is another one"),
        (entry(2, log="e2"), "entry 2 of the journal belongs to another log, e2"),
        (Entry(2, 0, b"noise"), "entry 2 of the journal cannot be read: it is damaged"),
    ],
)
def test_a_damaged_journal_is_noticed(replica: Replica, wrong: Entry, words: str) -> None:
    """Lost, altered and foreign entries are told in words, and nothing is applied (line 62)."""
    tables = ListTables()
    with pytest.raises(JournalDamage, match=words):
        replica.apply([wrong], tables)
    assert not tables.model.records


def test_a_server_that_lags_is_no_damage(replica: Replica) -> None:
    """A server whose copy ended at an earlier entry delivers from there on; it was taken for a loss.

    When it comes to the last entry that was applied, that must be the same as then.
    """
    entries = [entry(2, 1), entry(3, 2), entry(4, 3)]
    replica.commit(replica.apply(entries, ListTables()))
    again = replica.apply([*entries, entry(5, 4)], ListTables())
    assert [frame.number for frame in again.frames] == [4]
    with pytest.raises(JournalDamage, match="entry 4 of the journal is another one"):
        replica.apply([*entries[:2], entry(4, 9)], ListTables())


def test_a_foreign_stream_is_no_journal() -> None:
    """A stream that does not begin with a genesis is something else's."""
    for wrong in (entry(1), Entry(1, 0, b"noise")):
        with pytest.raises(JournalDamage):
            first_state(wrong)


def test_a_replica_that_differs_is_noticed() -> None:
    """One of three computes something else: it stops, and the other two go on (line 62)."""
    random = Random(5)
    log, state = begun(random, rate=0)
    members = [Member(name, log, random, state) for name in "abc"]
    for member in members:
        member.read(10)
    members[2].tables.append_at([new("only here")], 0, 10_000)
    for _ in range(100):
        random.choice(members).step()
    assert members[0].replica.problem is members[1].replica.problem is None
    assert "has computed something else than 2 other(s)" in (members[2].replica.problem or "")


def test_of_two_that_differ_both_stop() -> None:
    """Which of two is right cannot be known (line 62)."""
    random = Random(5)
    log, state = begun(random, rate=0)
    members = [Member(name, log, random, state) for name in "ab"]
    members[1].tables.append_at([new("only here")], 0, 10_000)
    for _ in range(100):
        random.choice(members).step()
    assert all(member.replica.problem for member in members)


def test_a_msgqueue_that_differs_counts_once(replica: Replica) -> None:
    """It does not stop the sound ones by being started again and again, which counted as many (line 62)."""
    sound = Frame(FRAME_VERSION, "e1", "b.1", 1, 0, 1, replica.state.chain, [])
    entries = [Entry(2, 0, encode_frame(sound))]
    entries += [entry(3 + start, origin=f"c.{start}", seen=1) for start in range(3)]
    replica.commit(replica.apply(entries, ListTables()))
    assert replica.problem is None
