"""Notify any number of waiters of a change."""

import asyncio


class ChangeNotifier:
    """Wakes all waiters when some state has changed.

    Take :attr:`next` *before* reading the state, and await it afterwards: no change is then missed. The
    future is shared, so shield it or use :func:`asyncio.wait`, which does not cancel it.
    """

    def __init__(self) -> None:
        self.next: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fire(self) -> None:
        """Wake all waiters."""
        fired = self.next
        self.next = asyncio.get_running_loop().create_future()
        fired.set_result(None)
