"""A keyboard, a person at it, and the lines that a stub of chat has."""

import os
import pty
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.clientdemo.stub_chat import StubChat

GUEST = "Coral Otter"


def lines_of(stub: StubChat) -> list[str]:
    return [message for _, message in stub.said]


@pytest.fixture
def idle() -> Iterator[int]:
    """A standard input on which nothing comes."""
    reading, writing = os.pipe()
    yield reading
    os.close(reading)
    os.close(writing)


class Keyboard:
    """A terminal that is there to be typed on.

    Attributes:
        terminal: What a program reads from.
    """

    def __init__(self) -> None:
        self._keys, self.terminal = pty.openpty()

    def type(self, keys: str) -> None:
        os.write(self._keys, keys.encode())

    def close(self) -> None:
        os.close(self._keys)
        os.close(self.terminal)


@pytest.fixture
def keyboard() -> Iterator[Keyboard]:
    with closing(Keyboard()) as made:
        yield made
