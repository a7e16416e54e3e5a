"""Tests of the order of messages on their way, without a socket."""

import pytest

from fanline.client.flight import Flight, Parcel


def ids(parcels: list[Parcel]) -> list[str]:
    return [parcel.id for parcel in parcels]


@pytest.fixture
def flight() -> Flight[Parcel]:
    """Four parcels of 10, 20, 30 and 40 bytes, waiting to be sent."""
    flight: Flight[Parcel] = Flight()
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
    assert flight.rewind() == []
    assert ids(flight.take(1_000)) == ["b", "c", "d"]


def test_withdrawn_before_it_was_sent(flight: Flight[Parcel]) -> None:
    """A parcel that still waits is out at once."""
    parcel = list(flight)[1]
    assert flight.withdraw(parcel)
    assert ids(flight.take(1_000)) == ["a", "c", "d"]


def test_withdrawn_after_it_was_sent(flight: Flight[Parcel]) -> None:
    """A parcel on its way keeps its place for the answer, but is not sent again."""
    parcel = flight.take(30)[1]
    assert not flight.withdraw(parcel)
    assert len(flight) == 4
    assert flight.rewind() == [parcel]
    assert ids(flight.take(1_000)) == ["a", "c", "d"]


def test_the_largest_sent_can_be_taken_out(flight: Flight[Parcel]) -> None:
    """Of the parcels sent, not of those that wait, the largest is found."""
    assert flight.take_largest_sent() is None
    flight.take(60)
    largest = flight.take_largest_sent()
    assert largest is not None
    assert largest.id == "c"
    assert ids(list(flight)) == ["a", "b", "d"]
