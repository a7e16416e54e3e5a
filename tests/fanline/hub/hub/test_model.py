"""Any sequence of calls gives the events that a simple model predicts."""

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanline.hub import (
    DuplicateSession,
    Event,
    Hub,
    HubClosed,
    HubError,
    Stream,
    UnknownSession,
)
from tests.fanline.hub.hub.conftest import Fact, fact, facts

Step = tuple[str, str, str]
steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "remove", "remove", "message", "close"]),
        st.sampled_from(["ada", "bob"]),
        st.sampled_from(["1", "2", "3"]),
    ),
    max_size=40,
)


class Model:
    """A hub as it is described: all events, and which ranges of them each session hears."""

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


@settings(max_examples=100)
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
