"""Injector of a plan's faults, which repairs everything at the end."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager

from fanline.verify.plan import Event, Fault
from fanline.verify.system.installation import Installation
from fanline.verify.wait_for import happens


class Injector:
    """Injects faults.

    Args:
        installation: What they befall.
        events: The plan.

    Attributes:
        counts: The faults so far, by what happened and to whom.
        current: Those under way, in words.
    """

    def __init__(self, installation: Installation, events: Sequence[Event]) -> None:
        self.counts: Counter[tuple[Fault, str]] = Counter()
        self.current: list[str] = []
        self._installation = installation
        self._events = events
        self._targets = installation.targets
        special = [target for _, target in self._targets.special]
        names = (*self._targets.services, *self._targets.links, *special)
        self._locks = {name: asyncio.Lock() for name in names}

    async def run(self, stop: asyncio.Event) -> None:
        """Inject every fault at its time, until ``stop`` is set.

        This returns when the last fault is over. A target has one fault at a time; the next one waits.
        """
        loop = asyncio.get_running_loop()
        start = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for event in self._events:
                if await happens(stop, start + event.at - loop.time()):
                    return
                tasks.create_task(self._inject(event))

    async def heal(self) -> None:
        """Start each service that has ended by itself.

        All other faults are over when :meth:`run` returns.
        """
        for name in self._targets.services:
            await self._installation.start(name)

    async def _inject(self, event: Event) -> None:
        targets = await self._installation.hit_by(event.target)
        async with AsyncExitStack() as locked:
            for name in targets:
                await locked.enter_async_context(self._locks[name])
            with self._shown(event):
                if (inject := self._installation.special.get(event.fault)) is not None:
                    await inject(event.target, event.seconds)
                elif event.target in self._targets.links:
                    await self._fail_link(event)
                else:
                    await self._fail_services(event, targets)

    @contextmanager
    def _shown(self, event: Event) -> Iterator[None]:
        words = f"{event.fault} {event.target}"
        self.counts[event.fault, event.target] += 1
        self.current.append(words)
        try:
            yield
        finally:
            self.current.remove(words)

    async def _fail_link(self, event: Event) -> None:
        link = self._installation.links[event.target]
        match event.fault:
            case Fault.CUT:
                link.cut()
            case Fault.TEAR:
                await link.tear(event.seconds)
            case Fault.STALL:
                await link.stall(event.seconds)
            case _:
                await link.block(event.seconds)

    async def _fail_services(self, event: Event, names: Sequence[str]) -> None:
        services = [self._installation.services[name] for name in names]
        if event.fault is Fault.FREEZE:
            for service in services:
                service.freeze()
            await asyncio.sleep(event.seconds)
            for service in services:
                service.thaw()
            return
        if event.fault is Fault.KILL:
            await asyncio.gather(*(service.kill() for service in services))
        else:
            await asyncio.gather(*(self._installation.terminate(name) for name in names))
        await asyncio.sleep(event.seconds)
        await asyncio.gather(*(self._installation.start(name) for name in names))
