"""``fanline consumer``: the durable consumers of msgqueue."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fanline.errors import FanlineError
from fanline.protocol import ConsumerState
from fanline.queue.remote import RemoteQueue
from fanline.setting_sources import read
from fanline.settings import Settings

# One of several msgqueues that is away is left out after so many seconds.
ONE_OF_SEVERAL_SECONDS: Final = 5.0

app = typer.Typer(no_args_is_help=True, help="Look after the durable consumers of msgqueue.")


@app.command("list")
def show() -> None:
    """Show the durable consumers: their positions, backlogs and connections.

    Every msgqueue of `queue_url` is asked, and counts the connections, failures and dead letters of its own.
    """
    fields = ConsumerState.__struct_fields__
    table = Table(*(field.replace("_", " ") for field in fields))
    for state in asyncio.run(_list()):
        table.add_row(*(Text(str(getattr(state, field))) for field in fields))
    Console().print(table)


@app.command("delete")
def delete(name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)]) -> None:
    """Delete a durable consumer and its position; it must have no connections."""
    asyncio.run(_delete(name))
    typer.echo(f"{name}: forgotten")


async def _list() -> Sequence[ConsumerState]:
    settings = read(Settings)
    urls = settings.queue_url.split(",")
    if len(urls) == 1:
        return await RemoteQueue.from_settings(settings).consumers()
    wait = min(settings.queue_wait, ONE_OF_SEVERAL_SECONDS)
    ones = (settings.model_copy(update={"queue_url": url, "queue_wait": wait}) for url in urls)
    asking = (RemoteQueue.from_settings(one).consumers() for one in ones)
    answers = await asyncio.gather(*asking, return_exceptions=True)
    counted = [answer for answer in answers if not isinstance(answer, BaseException)]
    for answer in answers:
        if isinstance(answer, BaseException):
            if not isinstance(answer, FanlineError) or not counted:
                raise answer
            typer.echo(f"not counted: {answer}", err=True)
    return total(counted)


def total(answers: Iterable[Sequence[ConsumerState]]) -> list[ConsumerState]:
    """Return the consumers of a cluster from what its msgqueues say."""
    found: dict[str, ConsumerState] = {}
    for state in chain.from_iterable(answers):
        other = found.get(state.name, state)
        found[state.name] = state if other is state else _sum(state, other)
    return list(found.values())


def _sum(one: ConsumerState, other: ConsumerState) -> ConsumerState:
    return ConsumerState(
        one.name,
        max(one.position, other.position),
        min(one.behind, other.behind),
        one.connections + other.connections,
        one.failing + other.failing,
        one.dead_letters + other.dead_letters,
    )


async def _delete(name: str) -> None:
    await RemoteQueue.from_settings(read(Settings)).forget(name)
