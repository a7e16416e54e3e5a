"""Progress of a run, as it is shown."""

import asyncio
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from fanline.verify.run import Run

_REFRESH_SECONDS: Final = 0.25
LINE_SECONDS: Final = 5.0


async def show(run: Run, console: Console) -> None:
    """Show a run's progress until cancelled.

    It is live on a terminal, otherwise a line every few seconds.
    """
    await (_show_live(run, console) if console.is_terminal else _show_lines(run, console))


async def _show_live(run: Run, console: Console) -> None:
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(_picture(run), refresh=True)
            await asyncio.sleep(_REFRESH_SECONDS)


async def _show_lines(run: Run, console: Console) -> None:
    """Print a line every few seconds, and when something else begins."""
    phase, since = "", 0.0
    while True:
        since += _REFRESH_SECONDS
        if run.phase != phase or since >= LINE_SECONDS:
            phase, since = run.phase, 0.0
            console.print(_line(run), markup=False, soft_wrap=True)
        await asyncio.sleep(_REFRESH_SECONDS)


def _picture(run: Run) -> Group:
    bar = ProgressBar(total=run.options.duration, completed=min(run.seconds, run.options.duration), width=60)
    now = ", ".join(run.injector.current) if run.injector else ""
    return Group(
        bar,
        Text(_state(run), style="bold"),
        Text(", ".join(_traffic(run))),
        Text(", ".join(_troubles(run))),
        Text(f"now: {now or 'no fault'}", style="dim"),
    )


def _line(run: Run) -> str:
    figures = ", ".join(_traffic(run) + _troubles(run))
    return f"{_state(run)}: {figures}" if figures else _state(run)


def _state(run: Run) -> str:
    return f"{run.seconds:4.0f} s  {run.phase}"


def _traffic(run: Run) -> list[str]:
    load = run.load
    if load is None:
        return []
    return [f"{load.published:,} published", f"{load.acked:,} acknowledged", f"{load.delivered:,} delivered"]


def _troubles(run: Run) -> list[str]:
    if run.load is None:
        return []
    faults = sum(run.injector.counts.values()) if run.injector else 0
    return [f"{faults:,} faults", f"{run.load.reconnects:,} reconnects"]
