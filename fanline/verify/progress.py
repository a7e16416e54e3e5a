"""What can be seen of a run while it is under way."""

import asyncio
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from fanline.verify.run import Run

FRAMES_PER_SECOND: Final = 4
LINE_SECONDS: Final = 5.0


async def show(run: Run, console: Console) -> None:
    """Show how a run is going until cancelled: live on a terminal, otherwise by a line every few seconds."""
    if not console.is_terminal:
        while True:
            await asyncio.sleep(LINE_SECONDS)
            console.print(_line(run), markup=False, soft_wrap=True)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(_picture(run), refresh=True)
            await asyncio.sleep(1 / FRAMES_PER_SECOND)


def _picture(run: Run) -> Group:
    bar = ProgressBar(total=run.options.duration, completed=min(run.seconds, run.options.duration), width=60)
    return Group(bar, Text(_line(run)), Text(_now(run), style="dim"))


def _line(run: Run) -> str:
    if run.load is None:
        return run.phase
    load = run.load
    faults = sum(run.injector.counts.values()) if run.injector else 0
    return (
        f"{run.seconds:4.0f} s  {run.phase}: {load.published:,} published, {load.acked:,} acknowledged, "
        f"{load.delivered:,} delivered, {faults} faults, {load.reconnects:,} reconnects"
    )


def _now(run: Run) -> str:
    return "now: " + (", ".join(run.injector.current) or "no fault") if run.injector else ""
