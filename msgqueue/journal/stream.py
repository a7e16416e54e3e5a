"""JetStream's requests and answers, the stream's settings and deliveries. No I/O."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from msgqueue.journal.base import Ends, Entry, JournalError

REPLICAS: Final = 3

# A frame and what NATS adds to it; a frame has one append that is larger than the others, at most.
MAX_MESSAGE_BYTES: Final = 8 << 20

NO_STREAM: Final = 10059

_SECOND: Final = 1_000_000_000

# Of these a stream may not have others: it would drop frames that no msgqueue has, or not keep them on disk.
_REQUIRED: Final = {
    "retention": "limits",
    "storage": "file",
    "discard": "new",
    "num_replicas": REPLICAS,
    "max_age": 0,
    "max_msgs": -1,
    "max_msgs_per_subject": -1,
    "deny_delete": True,
    "allow_rollup_hdrs": False,
}


class ApiError(msgspec.Struct, frozen=True):
    """Reason why JetStream refuses a request."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class StreamState(msgspec.Struct, frozen=True):
    """Content of a stream."""

    first_seq: int = 0
    last_seq: int = 0


class Answer(msgspec.Struct, frozen=True):
    """Answer to any request; ``config`` and ``state`` describe a stream."""

    error: ApiError | None = None
    config: dict[str, Any] = {}
    state: StreamState = StreamState()


_decode_answer = msgspec.json.Decoder(Answer).decode


def subject_of(stream: str) -> str:
    """Return where the frames of a stream are published."""
    return f"{stream}.log"


def stream_config(stream: str, max_bytes: int) -> dict[str, Any]:
    """Return the settings of a new stream.

    Args:
        stream: Its name.
        max_bytes: The size above which it refuses frames.
    """
    return {
        "name": stream,
        "subjects": [subject_of(stream)],
        "max_bytes": max_bytes,
        "max_msg_size": MAX_MESSAGE_BYTES,
        "allow_direct": True,
        **_REQUIRED,
    }


def differences(stream: str, found: dict[str, Any]) -> list[str]:
    """Return, in words, the settings that make a stream unusable as journal."""
    expected = {"subjects": [subject_of(stream)], **_REQUIRED}
    wrong = [
        f"{name} is {found.get(name)!r}, and must be {value!r}"
        for name, value in expected.items()
        if found.get(name, type(value)()) != value
    ]
    if found.get("max_msg_size", -1) not in (-1, MAX_MESSAGE_BYTES):
        wrong.append(f"max_msg_size is {found['max_msg_size']}, and must be {MAX_MESSAGE_BYTES}")
    if found.get("persist_mode") == "async":
        wrong.append("persist_mode is 'async': it acknowledges what is not on disk")
    return wrong


def consumer_request(stream: str, name: str, deliver_to: str, first: int, heartbeat: float) -> bytes:
    """Return the request for a consumer that delivers entries of a stream.

    Args:
        stream: The stream.
        name: Name of the consumer.
        deliver_to: Subject of the deliveries.
        first: Index of the first entry to deliver.
        heartbeat: Seconds after which it shows that it is alive.
    """
    config = {
        "name": name,
        "deliver_subject": deliver_to,
        "deliver_policy": "by_start_sequence",
        "opt_start_seq": first,
        "ack_policy": "none",
        "max_deliver": 1,
        "replay_policy": "instant",
        "mem_storage": True,
        "num_replicas": 1,
        "flow_control": True,
        "idle_heartbeat": round(heartbeat * _SECOND),
        "inactive_threshold": 30 * _SECOND,
    }
    return msgspec.json.encode({"stream_name": stream, "config": config})


def read_answer(data: bytes) -> Answer:
    """Return the answer to a request.

    Raises:
        JournalError: If it is an error; other than that there is no such stream.
    """
    try:
        answer = _decode_answer(data)
    except msgspec.DecodeError as error:
        raise JournalError(f"JetStream answers what cannot be understood: {error}") from None
    if answer.error is not None and answer.error.err_code != NO_STREAM:
        raise JournalError(f"JetStream refuses: {answer.error.description} ({answer.error.err_code})")
    return answer


def ends_of(state: StreamState) -> Ends:
    """Return the ends of a journal by the state of its stream."""
    return Ends(max(1, state.first_seq), state.last_seq)


def read_delivery(reply: str, frame: bytes) -> Entry:
    """Return a delivered frame with its place, which its reply subject tells.

    ::

        $JS.ACK.                     stream.consumer.deliveries.index.number.time.pending
        $JS.ACK.domain.account hash. stream.consumer.deliveries.index.number.time.pending[.random]

    Raises:
        JournalError: If the subject is none of these.
    """
    parts: Sequence[str] = reply.split(".")
    if len(parts) >= 11:
        parts = parts[2:]
    try:
        return Entry(int(parts[5]), int(parts[7]) // 1_000_000, frame)
    except (IndexError, ValueError):
        raise JournalError(f"JetStream delivers with the subject {reply!a}, which is not known") from None
