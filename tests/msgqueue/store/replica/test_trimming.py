"""How much of the journal may go: never what a msgqueue still needs, or what only one has on disk."""

import itertools

from msgqueue.store.replica.trimming import FORGET_MS, MARK_MS, TrimRule, with_mark, with_member

DAY = 86_400_000
RULE = TrimRule()
MARKS = [(0, 10), (DAY, 500), (2 * DAY, 900)]
NOW = 2 * DAY + 1


def test_what_is_old_and_on_all_msgqueues_is_not_needed() -> None:
    """An entry goes a day after it came, if every msgqueue of the last week has it on disk."""
    assert RULE.first_needed({"a": (700, NOW), "b": (800, NOW)}, MARKS, NOW) == 500
    assert RULE.first_needed({"a": (300, NOW), "b": (800, NOW)}, MARKS, NOW) == 300
    assert RULE.first_needed({"a": (300, NOW - 6 * DAY), "b": (800, NOW)}, MARKS, NOW) == 300
    assert RULE.first_needed({"a": (800, NOW), "b": (800, NOW)}, [], NOW) == 0
    assert RULE.first_needed({"a": (800, NOW), "b": (800, NOW)}, [(NOW, 700)], NOW) == 0


def test_a_lone_msgqueue_keeps_the_journal() -> None:
    """The journal is the only other copy; a msgqueue that is gone for more than a week has none."""
    assert RULE.first_needed({}, MARKS, NOW) == 0
    assert RULE.first_needed({"a": (800, NOW)}, MARKS, NOW) == 0
    assert RULE.first_needed({"a": (800, NOW), "b": (800, NOW - 8 * DAY)}, MARKS, NOW) == 0
    three = {"a": (800, NOW), "b": (800, NOW), "gone": (5, NOW - 8 * DAY)}
    assert RULE.first_needed(three, MARKS, NOW) == 500


def test_a_late_frame_takes_nothing_back() -> None:
    """A msgqueue has what it had said; one that was silent for a month is forgotten."""
    members = with_member({}, "a", 7, 0)
    members = with_member(members, "a", 5, 1)
    assert members == {"a": (7, 1)}
    assert with_member(members, "b", 9, FORGET_MS + 2) == {"b": (9, FORGET_MS + 2)}


def test_marks_are_an_hour_apart_and_few() -> None:
    """Of those older than two days the last is kept, which tells what is older than that."""
    marks: list[tuple[int, int]] = []
    for minute in range(60 * 24 * 5):
        marks = with_mark(marks, minute + 1, minute * 60_000)
    assert 48 <= len(marks) <= 51
    assert all(later[0] - earlier[0] == MARK_MS for earlier, later in itertools.pairwise(marks))
