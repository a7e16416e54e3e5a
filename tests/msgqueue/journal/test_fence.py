"""The fence: which frames count."""

from msgqueue.journal.fence import KEEP_MS, Fences


def test_a_frame_counts_once_and_in_order() -> None:
    """A repeated one does not count, nor one given up that comes after the next; numbers may be left out."""
    fences = Fences({})
    assert [fences.admit("a", number, 1) for number in (1, 1, 3, 2, 3, 4)] == [
        True,
        False,
        True,
        False,
        False,
        True,
    ]
    assert fences.admit("b", 1, 1)


def test_fences_survive_a_restart() -> None:
    """A copy, made of its numbers, continues it, and does not change it."""
    fences = Fences({})
    fences.admit("a", 2, 1)
    copy = Fences(fences.numbers)
    assert not copy.admit("a", 2, 2)
    assert copy.admit("a", 3, 2)
    assert fences.numbers == {"a": (2, 1)}


def test_senders_are_forgotten_after_a_day() -> None:
    """A sender that has gone is dropped when a new one comes; one that still sends is kept."""
    fences = Fences({})
    fences.admit("gone", 5, 0)
    fences.admit("here", 5, KEEP_MS + 1)
    fences.admit("new", 1, KEEP_MS + 1)
    assert set(fences.numbers) == {"here", "new"}
