"""Tests of the hub itself, most of them without an event loop."""

import ast
import asyncio
import gc
import os
import sys
import tracemalloc
import weakref
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fanline.hub
from fanline.errors import Closed, FanlineError
from fanline.hub import (
    Attachment,
    BadLimit,
    DuplicateSession,
    Event,
    EventType,
    Hub,
    HubClosed,
    HubError,
    JsonLinesFile,
    Missed,
    Stream,
    UnknownSession,
)
from tests.conftest import until
from tests.stubs import DEADLINE

Step = tuple[str, str, str]
Fact = tuple[str, str | None, str | None, str | None]

steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "remove", "remove", "message", "close"]),
        st.sampled_from(["ada", "bob"]),
        st.sampled_from(["1", "2", "3"]),
    ),
    max_size=40,
)


class Model:
    """A hub as it is described: all events, and which stretches of them each session hears."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.heard: dict[tuple[str, str], list[slice]] = {}
        self._sessions: dict[str, set[str]] = {"ada": set(), "bob": set()}
        self._is_closed = False

    def take(self, step: Step) -> type[HubError] | None:
        """Do what a step says; return the error that it deserves."""
        what, user, session = step
        if self._is_closed:
            return HubClosed if what in {"add", "remove"} else None
        error: type[HubError] | None = getattr(self, f"_{what}")(user, session)
        return error

    def _add(self, user: str, session: str) -> type[HubError] | None:
        others = self._sessions[user]
        if session in others:
            return DuplicateSession
        self.heard.setdefault((user, session), []).append(slice(len(self.facts), None))
        self.facts.append(("add" if others else "join", user, session, None))
        others.add(session)
        return None

    def _remove(self, user: str, session: str) -> type[HubError] | None:
        others = self._sessions[user]
        if session not in others:
            return UnknownSession
        others.remove(session)
        self.facts.append(("remove" if others else "leave", user, session, None))
        spans = self.heard[user, session]
        spans[-1] = slice(spans[-1].start, len(self.facts))
        return None

    def _message(self, user: str, session: str) -> None:
        self.facts.append(("message", user, None, f"says {session}"))

    def _close(self, user: str, session: str) -> None:
        self.facts.append(("close", None, None, None))
        self._is_closed = True


def take(hub: Hub, step: Step) -> Stream[Event] | None:
    """Do to a hub what a step says."""
    what, user, session = step
    if what == "message":
        hub.message(user, f"says {session}")
    elif what == "close":
        hub.close_nowait()
    elif what == "remove":
        hub.remove(user, session)
    else:
        return hub.add(user, session)
    return None


def fact(event: Event | Missed) -> Fact:
    assert isinstance(event, Event)
    return event.type.value, event.user, event.session, event.message


def facts(stream: Stream[Event]) -> list[Fact]:
    return [fact(event) for event in stream.take_all()]


def kinds(stream: Stream[Event]) -> list[str]:
    return [kind for kind, *_ in facts(stream)]


@settings(max_examples=100, deadline=None)
@given(steps, st.integers(0, 10))
def test_any_sequence_gives_the_events_that_it_should(steps: list[Step], history: int) -> None:
    """Events, ids, times, streams, history and errors are those of the model (lines 32, 33, 34 and 35)."""
    hub = Hub("lobby", history=history, clock=count(1_000, 7).__next__)
    model = Model()
    streams: dict[tuple[str, str], list[Stream[Event]]] = {}
    seen: list[Event] = []
    for step in steps:
        error = model.take(step)
        if error is not None:
            with pytest.raises(error):
                take(hub, step)
        elif (stream := take(hub, step)) is not None:
            streams.setdefault(step[1:], []).append(stream)
        seen += [event for event in hub.history() if event.id > len(seen)]
    assert [fact(event) for event in hub.history()] == (model.facts[-history:] if history else [])
    if history:
        assert [(event.id, event.hub, event.time) for event in seen] == [
            (number, "lobby", 993 + 7 * number) for number in range(1, len(model.facts) + 1)
        ]
    heard = {key: [facts(stream) for stream in each] for key, each in streams.items()}
    assert heard == {key: [model.facts[span] for span in spans] for key, spans in model.heard.items()}


def test_the_events_of_a_users_sessions() -> None:
    """The first joins, the others are added; the others are removed, the last leaves (line 33)."""
    hub = Hub("lobby", clock=lambda: 1_795_209_095_123)
    witness = hub.add("witness", "w")
    hub.add("ada", "laptop")
    hub.add("ada", "phone")
    hub.message("ada", "hello")
    hub.remove("ada", "laptop")
    hub.remove("ada", "phone")
    hub.close_nowait()
    time = 1_795_209_095_123
    assert witness.take_all() == [
        Event(1, "lobby", EventType.JOIN, time, "witness", "w"),
        Event(2, "lobby", EventType.JOIN, time, "ada", "laptop"),
        Event(3, "lobby", EventType.ADD, time, "ada", "phone"),
        Event(4, "lobby", EventType.MESSAGE, time, "ada", message="hello"),
        Event(5, "lobby", EventType.REMOVE, time, "ada", "laptop"),
        Event(6, "lobby", EventType.LEAVE, time, "ada", "phone"),
        Event(7, "lobby", EventType.CLOSE, time),
    ]


def test_a_session_hears_its_own_beginning_and_its_own_end() -> None:
    """And all that happened between the two, but nothing before or after (line 33)."""
    hub = Hub("lobby")
    hub.message("bob", "too early")
    laptop, phone = hub.add("ada", "laptop"), hub.add("ada", "phone")
    hub.remove("ada", "laptop")
    hub.message("bob", "too late for the laptop")
    hub.remove("ada", "phone")
    hub.message("bob", "too late")
    assert kinds(laptop) == ["join", "add", "remove"]
    assert kinds(phone) == ["add", "remove", "message", "leave"]


def test_users_share_no_sessions() -> None:
    """Two users may name a session alike, and one that has left may come again (line 33)."""
    hub = Hub("lobby")
    ada, bob = hub.add("ada", "1"), hub.add("bob", "1")
    hub.remove("ada", "1")
    again = hub.add("ada", "1")
    hub.message("bob", "welcome back")
    assert kinds(ada) == ["join", "join", "leave"]
    assert kinds(bob) == ["join", "leave", "join", "message"]
    assert kinds(again) == ["join", "message"]


def test_each_error_says_what_was_wrong() -> None:
    """A duplicate session, an unknown one and a closed hub are three errors, and change nothing (line 34)."""
    hub = Hub("lobby")
    stream = hub.add("ada", "1")
    with pytest.raises(
        DuplicateSession, match=r"^hub 'lobby': 'ada' has a session '1' already; give it"
    ) as two:
        hub.add("ada", "1")
    for user, session in (("ada", "2"), ("bob", "1")):
        with pytest.raises(
            UnknownSession, match=f"^hub 'lobby': '{user}' has no session '{session}'"
        ) as none:
            hub.remove(user, session)
        assert (none.value.hub, none.value.user, none.value.session) == ("lobby", user, session)
    assert (two.value.hub, two.value.user, two.value.session) == ("lobby", "ada", "1")
    assert kinds(stream) == ["join"]
    hub.close_nowait()
    with pytest.raises(HubClosed, match=r"^hub 'lobby' is closed$"):
        hub.add("bob", "1")
    with pytest.raises(HubClosed):
        hub.remove("ada", "1")
    assert kinds(stream) == ["close"]


def test_the_errors_are_of_the_one_tree() -> None:
    """All errors are FanlineErrors and HubErrors (line 34)."""
    errors = [DuplicateSession, UnknownSession, HubClosed, BadLimit]
    assert all(issubclass(error, HubError) for error in errors)
    assert issubclass(HubError, FanlineError)
    assert issubclass(HubClosed, Closed)
    assert not any(issubclass(one, other) for one in errors for other in errors if one is not other)


def test_a_message_to_a_closed_hub_is_nothing() -> None:
    """No error, and no event; to close it again neither (line 34)."""
    hub = Hub("lobby")
    stream = hub.add("ada", "1")
    hub.close_nowait()
    hub.message("ada", "anyone there?")
    hub.close_nowait()
    assert kinds(stream) == ["join", "close"]
    assert [event.type for event in hub.history()] == ["join", "close"]


def test_history_is_the_newest_events() -> None:
    """In order, also when the hub is closed; what is done to the list does not concern the hub (line 35)."""
    hub = Hub("lobby", history=3)
    assert hub.history() == []
    for text in "abcd":
        hub.message("ada", text)
    hub.history().clear()
    assert [event.message for event in hub.history()] == ["b", "c", "d"]
    hub.close_nowait()
    assert [event.id for event in hub.history()] == [3, 4, 5]


def test_a_history_of_nothing() -> None:
    """A hub that keeps nothing works as any other (line 35)."""
    hub = Hub("lobby", history=0)
    stream = hub.add("ada", "1")
    hub.message("ada", "hello")
    assert hub.history() == []
    assert kinds(stream) == ["join", "message"]


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"history": -1}, "history must be 0 or more, not -1"),
        ({"max_pending": 0}, "max_pending must be 1 or more, not 0"),
    ],
)
def test_limits_that_nothing_can_have_are_refused(limits: dict[str, Any], sentence: str) -> None:
    """At once, by name."""
    with pytest.raises(BadLimit, match=f"^{sentence}$"):
        Hub("lobby", **limits)


def test_the_clock_is_that_of_the_system() -> None:
    """In Unix milliseconds, unless another is given (line 33)."""
    hub = Hub("lobby")
    hub.message("ada", "now")
    (event,) = hub.history()
    assert event.time > 1_700_000_000_000
    assert event.time < 10_000_000_000_000


def test_an_event_as_json_has_no_empty_fields() -> None:
    """The names are those of the attributes."""
    hub = Hub("lobby", clock=lambda: 5)
    hub.add("ada", "1")
    hub.message("ada", "hi")
    hub.close_nowait()
    assert [msgspec.json.encode(event) for event in hub.history()] == [
        b'{"id":1,"hub":"lobby","type":"join","time":5,"user":"ada","session":"1"}',
        b'{"id":2,"hub":"lobby","type":"message","time":5,"user":"ada","message":"hi"}',
        b'{"id":3,"hub":"lobby","type":"close","time":5}',
    ]


def test_a_stalled_session_misses_what_does_not_fit_and_is_told() -> None:
    """It keeps max_pending events, all others get everything, and it gets the end at last (line 36)."""
    hub = Hub("lobby", max_pending=3)
    stalled, brisk = hub.add("ada", "stalled"), hub.add("bob", "brisk")
    heard: list[str | None] = []
    for number in range(100):
        hub.message("bob", str(number))
        heard += [event[3] for event in facts(brisk) if event[0] == "message"]
    assert heard == [str(number) for number in range(100)]
    hub.close_nowait()
    *first, missed, last = stalled.take_all()
    assert [fact(event)[0] for event in first] == ["join", "join", "message"]
    assert missed == Missed(99)
    assert fact(last)[0] == "close"
    assert stalled.missed == 99


def test_a_message_to_a_thousand_sessions_is_one_event() -> None:
    """All share it: each has but a reference, and no task or future is made for any (line 36)."""
    hub = Hub("lobby")
    streams = [hub.add(f"user {number}", "1") for number in range(1_000)]
    hub.message("user 0", "hello, all")
    (event,) = hub.history()[-1:]
    assert all(stream.take_all()[-1] is event for stream in streams)


def imported(module: Path) -> set[str]:
    """The names of the modules that a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def test_the_hub_knows_no_protocol_and_no_socket() -> None:
    """It stands on the standard library, on msgspec and on the base of the errors alone (line 32)."""
    modules = list(Path(fanline.hub.__file__).parent.glob("*.py"))
    names = {name for module in modules for name in imported(module)}
    foreign = {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {name for name in foreign if not name.startswith("fanline.hub")} == {"msgspec", "fanline.errors"}
    assert not names & {"socket", "ssl", "http", "asyncio.streams", "socketserver", "selectors"}


async def visit(hub: Hub, user: str) -> None:
    """Come, hear oneself come, speak and leave; and listen to oneself leave."""
    stream = hub.add(user, "1")
    hub.add(user, "2")
    hub.message(user, "hello " * 20)
    hub.remove(user, "1")
    hub.remove(user, "2")
    assert [event.type async for event in stream if isinstance(event, Event)][-1] == EventType.REMOVE


async def use(path: Path) -> None:
    """The life of a hub with many visitors and some listeners, one of which is detached early."""
    hub = Hub("lobby", history=10, max_pending=10)
    hub.attach_listener(JsonLinesFile(path))
    early = hub.attach_listener(JsonLinesFile(path))
    async with asyncio.TaskGroup() as visitors:
        for number in range(50):
            visitors.create_task(visit(hub, f"user {number}"))
    await early.stop()
    hub.add("bob", "never reads")
    await hub.close()


def descriptors() -> int:
    """Return how many files and sockets this process has open."""
    return len(os.listdir("/proc/self/fd"))


def alive(*kinds: type) -> int:
    """Return how many objects of some classes there are."""
    gc.collect()
    return sum(type(each) in kinds for each in gc.get_objects())


def traced_memory() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def tracing() -> Iterator[None]:
    """Trace the memory that is taken."""
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("tracing")
async def test_nothing_is_kept_of_what_has_gone(tmp_path: Path) -> None:
    """Tasks, descriptors and memory are back where they were when all have left (line 37)."""
    path = tmp_path / "events.jsonl"
    async with asyncio.timeout(DEADLINE):
        await use(path)
        before = len(asyncio.all_tasks()), descriptors()
        objects = alive(Hub, Stream, Attachment)
        memory = traced_memory()
        for _ in range(20):
            await use(path)
        await until(lambda: (len(asyncio.all_tasks()), descriptors()) <= before)
    assert alive(Hub, Stream, Attachment) <= objects
    # Events are not tracked one by one; those of one round are 40 kB.
    assert traced_memory() - memory < 20_000


@pytest.mark.usefixtures("tracing")
def test_a_hub_that_lives_on_forgets_who_has_left() -> None:
    """Its users come and go, under new names each, and it does not grow (line 37)."""
    hub = Hub("lobby", history=5)

    def come_and_go(users: range) -> None:
        for number in users:
            hub.add(f"user {number}", "1")
            hub.add(f"user {number}", "2")
            hub.remove(f"user {number}", "1")
            hub.remove(f"user {number}", "2")

    come_and_go(range(100))
    memory = traced_memory()
    come_and_go(range(100, 2_100))
    assert traced_memory() - memory < 10_000


async def test_a_hub_that_lives_on_forgets_its_listeners() -> None:
    """Once they are detached (line 37)."""
    hub = Hub("lobby")
    before = alive(Attachment)

    async def ignore(events: Sequence[Event | Missed]) -> None:
        pass

    async with asyncio.timeout(DEADLINE):
        for _ in range(3):
            await hub.attach_listener(ignore).stop()
    assert hub.history() == []
    await until(lambda: alive(Attachment) <= before)


def test_a_closed_hub_holds_its_history_only() -> None:
    """Not the streams of those who were there (line 37)."""
    hub = Hub("lobby")
    stream = weakref.ref(hub.add("ada", "1"))
    assert stream() is not None
    hub.close_nowait()
    assert stream() is None


async def test_iterating_ends_with_the_session() -> None:
    """A task that listens ends by itself when its session is removed, or the hub closed (line 32)."""
    hub = Hub("lobby")

    async def listen(stream: Stream[Event]) -> list[Any]:
        return [fact(event)[0] async for event in stream]

    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        ada = tasks.create_task(listen(hub.add("ada", "1")))
        bob = tasks.create_task(listen(hub.add("bob", "1")))
        await asyncio.sleep(0)
        hub.message("bob", "hello")
        hub.remove("ada", "1")
        await asyncio.sleep(0)
        await hub.close()
    assert ada.result() == ["join", "join", "message", "leave"]
    assert bob.result() == ["join", "message", "leave", "close"]
