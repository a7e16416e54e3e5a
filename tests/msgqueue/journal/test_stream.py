"""Requests to JetStream and its answers, without a server."""

import msgspec
import pytest

from msgqueue.journal.base import Ends, Entry, JournalError
from msgqueue.journal.stream import (
    StreamState,
    differences,
    ends_of,
    read_answer,
    read_delivery,
    stream_config,
)


def test_the_place_of_a_delivery_is_in_its_subject() -> None:
    """With and without a domain; the time is in milliseconds."""
    tail = "FANLINE.c.1.42.7.1700000000123456789.0"
    for subject in (f"$JS.ACK.{tail}", f"$JS.ACK.hub.hash.{tail}", f"$JS.ACK._.hash.{tail}.random"):
        assert read_delivery(subject, b"f") == Entry(42, 1_700_000_000_123, b"f")
    for wrong in ("", "_INBOX.x", "$JS.ACK.a.b.c.d.e.f.g"):
        with pytest.raises(JournalError, match="not known"):
            read_delivery(wrong, b"")


def test_a_stream_that_drops_frames_is_told_apart() -> None:
    """Its own settings are right, also with the defaults left out; any that lose frames are named."""
    config = stream_config("F", 1 << 30)
    assert differences("F", config) == []
    assert differences("F", {name: value for name, value in config.items() if value not in (0, False)}) == []
    for name, value in (
        ("max_age", 1),
        ("discard", "old"),
        ("storage", "memory"),
        ("num_replicas", 1),
        ("subjects", ["other"]),
        ("max_msg_size", 100),
        ("persist_mode", "async"),
    ):
        [words] = differences("F", config | {name: value})
        assert name in words


def test_answers_are_read() -> None:
    """A refusal is an error in words; only that there is no stream is an answer."""
    assert ends_of(StreamState()) == Ends(1, 0)
    assert ends_of(read_answer(b'{"state": {"first_seq": 3, "last_seq": 9}, "more": 1}').state) == Ends(3, 9)
    missing = read_answer(b'{"error": {"code": 404, "err_code": 10059, "description": "stream not found"}}')
    assert missing.error is not None
    full = msgspec.json.encode({"error": {"err_code": 10077, "description": "maximum bytes exceeded"}})
    with pytest.raises(JournalError, match=r"JetStream refuses: maximum bytes exceeded \(10077\)"):
        read_answer(full)
    with pytest.raises(JournalError, match="cannot be understood"):
        read_answer(b"noise")
