"""``fanline fsck``, ``fanline backup``, ``fanline journal``: tools for msgqueue's log."""

import subprocess
from pathlib import Path
from typing import Annotated

import typer

from fanline.server.child_process import module_command

Data = Annotated[
    Path, typer.Argument(metavar="DATA", help="The data folder of msgqueue.", show_default=False)
]


journal = typer.Typer(no_args_is_help=True, help="Look after a replica of a cluster's log.")


def fsck(data: Data) -> None:
    """Check the log while msgqueue is stopped; nothing is changed.

    The exit code is 0 if it is sound, 1 if it is damaged, 2 if there is none, or it could not be checked.
    """
    _run_tool("msgqueue.tools.fsck", data)


def backup(
    data: Data,
    target: Annotated[
        Path,
        typer.Argument(metavar="TARGET", help="A new file, or a folder to put it into.", show_default=False),
    ],
) -> None:
    """Copy the log, also while msgqueue runs, and check the copy.

    The exit code is 0 if there is a sound back-up now, 1 if there is none, 2 if something was given wrongly.
    """
    _run_tool("msgqueue.tools.backup", data, target)


@journal.command("status")
def journal_status(data: Data) -> None:
    """Show how far a replica has got in the journal.

    msgqueue may run.
    """
    _run_tool("msgqueue.tools.journal", "status", data)


@journal.command("rebuild")
def journal_rebuild(data: Data) -> None:
    """Make a stopped msgqueue's log the beginning of a new journal.

    With the setting store=sqlite it is a log of one machine again.
    """
    _run_tool("msgqueue.tools.journal", "rebuild", data)


def _run_tool(module: str, *arguments: Path | str) -> None:
    """Run a program of msgqueue, and exit with its code."""
    command = module_command(module, "--", *map(str, arguments))
    raise typer.Exit(subprocess.run(command, check=False).returncode)
