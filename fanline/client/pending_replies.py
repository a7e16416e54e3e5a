"""Calls that wait for the answer to a command."""

import asyncio
from collections import defaultdict
from typing import Generic, TypeVar

T = TypeVar("T")


class PendingReplies(Generic[T]):
    """Calls that wait for a command's answer, by its pattern."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, list[asyncio.Future[T]]] = defaultdict(list)

    def expect(self, pattern: str) -> asyncio.Future[T]:
        """Return what the answer will be put into."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting[pattern].append(answer)
        return answer

    def resolve(self, pattern: str, value: T) -> None:
        """Give the answer to the calls that wait for it."""
        for answer in self._claim(pattern):
            answer.set_result(value)

    def fail(self, pattern: str, error: BaseException) -> bool:
        """Reject the waiting calls; return whether there were any."""
        answers = self._claim(pattern)
        for answer in answers:
            answer.set_exception(error)
        return bool(answers)

    def resolve_all(self, value: T) -> None:
        """Give the same answer to all calls."""
        for pattern in tuple(self._waiting):
            self.resolve(pattern, value)

    def fail_all(self, error: BaseException) -> None:
        """Reject all calls for the same reason."""
        for pattern in tuple(self._waiting):
            self.fail(pattern, error)

    def _claim(self, pattern: str) -> list[asyncio.Future[T]]:
        return [answer for answer in self._waiting.pop(pattern, ()) if not answer.done()]
