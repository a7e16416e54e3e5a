"""Short forms of a hub's events."""

from fanline.hub import (
    Event,
    Missed,
    Stream,
)

Fact = tuple[str, str | None, str | None, str | None]


def fact(event: Event | Missed) -> Fact:
    assert isinstance(event, Event)
    return event.type.value, event.user, event.session, event.message


def facts(stream: Stream[Event]) -> list[Fact]:
    return [fact(event) for event in stream.take_all()]


def kinds(stream: Stream[Event]) -> list[str]:
    return [kind for kind, *_ in facts(stream)]
