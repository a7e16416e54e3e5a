"""A signal that any number of waiters can wait for."""

import asyncio


class ChangeNotifier:
    """Tells all who wait that something has changed; what it was, they look at themselves.

    Take :attr:`next` *before* looking at the state, and wait for it after: a change between the two is then
    never missed. The future is shared, so shield it or use :func:`asyncio.wait`, which does not cancel it.
    """

    def __init__(self) -> None:
        self.next: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fire(self) -> None:
        """Wake everybody who waits."""
        fired = self.next
        self.next = asyncio.get_running_loop().create_future()
        fired.set_result(None)
