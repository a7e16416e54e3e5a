"""Tests of the order of messages on their way, without a socket."""

from collections.abc import Callable

import pytest

from fanline.client.outbox import Flight, Parcel


def ids(parcels: list[Parcel]) -> list[str]:
    return [parcel.id for parcel in parcels]


@pytest.fixture
def flight() -> Flight[Parcel]:
    """Four parcels of 10, 20, 30 and 40 bytes, waiting to be sent."""
    flight: Flight[Parcel] = Flight(max_count=5, max_bytes=1_000)
    for name, size in (("a", 10), ("b", 20), ("c", 30), ("d", 40)):
        flight.add(Parcel(name, b"x" * size))
    return flight


def test_takes_as_many_as_fit(flight: Flight[Parcel]) -> None:
    """Parcels that are sent together stay within the limit, and in order."""
    assert ids(flight.take(60)) == ["a", "b", "c"]
    assert ids(flight.take(60)) == ["d"]
    assert flight.take(60) == []


def test_takes_one_that_is_too_large_alone(flight: Flight[Parcel]) -> None:
    """A parcel over the limit does not block the way."""
    assert ids(flight.take(5)) == ["a"]


def test_answers_are_for_the_oldest_sent(flight: Flight[Parcel]) -> None:
    """An answer takes out the oldest parcel sent, by its id or by its turn."""
    flight.take(30)
    first, second = flight.answered("a"), flight.answered(None)
    assert first is not None
    assert second is not None
    assert ids([first, second]) == ["a", "b"]
    assert ids(list(flight)) == ["c", "d"]


def test_an_answer_out_of_order_takes_nothing(flight: Flight[Parcel]) -> None:
    """An answer for another parcel, or for none that was sent, is seen as wrong."""
    assert flight.answered(None) is None
    flight.take(30)
    assert flight.answered("b") is None
    assert len(flight) == 4


def test_rewinds_to_the_oldest_without_an_answer(flight: Flight[Parcel]) -> None:
    """On a new connection everything unanswered goes again, in the order of before."""
    flight.take(60)
    flight.answered("a")
    flight.rewind()
    assert ids(flight.take(1_000)) == ["b", "c", "d"]


def test_withdrawn_before_it_was_sent(flight: Flight[Parcel]) -> None:
    """A parcel that still waits is out at once."""
    flight.withdraw(list(flight)[1])
    assert len(flight) == 3
    assert ids(flight.take(1_000)) == ["a", "c", "d"]


def test_withdrawn_after_it_was_sent(flight: Flight[Parcel]) -> None:
    """A parcel on its way keeps its place for the answer, but is not sent again."""
    flight.withdraw(flight.take(30)[1])
    assert len(flight) == 4
    flight.rewind()
    assert ids(flight.take(1_000)) == ["a", "c", "d"]


def test_the_largest_sent_can_be_taken_out(flight: Flight[Parcel]) -> None:
    """Of the parcels sent, not of those that wait, the largest is found."""
    assert flight.take_largest_sent() is None
    flight.take(60)
    largest = flight.take_largest_sent()
    assert largest is not None
    assert largest.id == "c"
    assert ids(list(flight)) == ["a", "b", "d"]


def test_can_be_cleared(flight: Flight[Parcel]) -> None:
    """At the end everything is taken out, sent or not."""
    flight.take(30)
    assert ids(flight.clear()) == ["a", "b", "c", "d"]
    assert len(flight) == 0
    assert flight.take(1_000) == []


def test_is_full_by_number(flight: Flight[Parcel]) -> None:
    """The number of parcels is limited, whatever their size; each answer makes room."""
    assert not flight.is_full
    flight.add(Parcel("e", b""))
    assert flight.is_full
    flight.take(10)
    assert flight.is_full
    flight.answered("a")
    assert not flight.is_full


def withdrawn(flight: Flight[Parcel], big: Parcel) -> None:
    flight.withdraw(big)


def withdrawn_on_its_way(flight: Flight[Parcel], big: Parcel) -> None:
    flight.take(10_000)
    flight.withdraw(big)
    flight.rewind()


def answered(flight: Flight[Parcel], big: Parcel) -> None:
    flight.take(10_000)
    while flight.answered(None) is not big:
        pass


def taken_out(flight: Flight[Parcel], _: Parcel) -> None:
    flight.take(10_000)
    flight.take_largest_sent()


def cleared(flight: Flight[Parcel], _: Parcel) -> None:
    flight.clear()


@pytest.mark.parametrize("leave", [withdrawn, withdrawn_on_its_way, answered, taken_out, cleared])
def test_is_full_by_size(flight: Flight[Parcel], leave: Callable[[Flight[Parcel], Parcel], None]) -> None:
    """The bytes of all parcels are limited, however they leave."""
    big = Parcel("big", b"x" * 950)
    flight.add(big)
    assert flight.is_full
    leave(flight, big)
    assert not flight.is_full
    flight.rewind()
    assert not flight.is_full
