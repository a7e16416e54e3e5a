"""``fanline consumer``: the durable consumers of msgqueue."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fanline.protocol import ConsumerState
from fanline.queue.remote import RemoteQueue
from fanline.setting_sources import read
from fanline.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Look after the durable consumers of msgqueue.")


@app.command("list")
def show() -> None:
    """Show the durable consumers: their positions, backlogs and connections."""
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
    return await RemoteQueue.from_settings(read(Settings)).consumers()


async def _delete(name: str) -> None:
    await RemoteQueue.from_settings(read(Settings)).forget(name)
