"""Notification of any number of waiters about a change."""

import asyncio


class ChangeNotifier:
    """Wakes all waiters when some state has changed.

    Take :attr:`next` *before* reading the state, and await it afterwards: no change is then missed. The
    future is shared, so shield it or use :func:`asyncio.wait`, which does not cancel it.
    """

    def __init__(self) -> None:
        self._next: asyncio.Future[None] | None = None

    @property
    def next(self) -> asyncio.Future[None]:
        """A future that is done at the next change.

        To be called on the event loop.
        """
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        return self._next

    def fire(self) -> None:
        """Wake all waiters."""
        fired, self._next = self._next, None
        if fired is not None:
            fired.set_result(None)
