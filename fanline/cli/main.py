"""The ``fanline`` command: its groups of commands, put together."""

import sys
import traceback
from importlib import metadata
from typing import Annotated

import typer

from fanline.cli import access, consumers, store, tokens, users
from fanline.cli.doctor.command import doctor
from fanline.cli.serve import serve
from fanline.cli.top.command import top
from fanline.cli.trace import trace
from fanline.cli.up.command import start_all
from fanline.cli.verify import verify
from fanline.errors import EXIT_CONFIGURATION, ConfigurationError, FanlineError

# No pretty tracebacks: they can show the values of variables, and passwords among them.
app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="Run and look after a Fanline installation."
)
for _name, _command in {"up": start_all, "serve": serve}.items():
    app.command(_name, add_help_option=False, context_settings={"ignore_unknown_options": True})(_command)
app.command("verify")(verify)
app.command("top")(top)
app.command("doctor")(doctor)
app.command("trace")(trace)
app.command("token")(tokens.issue)
app.command("disconnect")(access.disconnect)
app.command("revoke")(access.revoke)
app.command("fsck")(store.fsck)
app.command("backup")(store.backup)
app.add_typer(store.journal, name="journal")
app.add_typer(users.app, name="user")
app.add_typer(consumers.app, name="consumer")


def main() -> None:
    """Run the command line.

    An error ends in one sentence on standard error: with exit code 2 if the operator made it, else with 1.
    """
    try:
        app()
    except ConfigurationError as error:
        _fail(str(error), EXIT_CONFIGURATION)
    except (FanlineError, OSError) as error:
        _fail(str(error), 1)
    except Exception as error:  # noqa: BLE001 - a traceback helps no operator; this names the line
        where = traceback.extract_tb(error.__traceback__)[-1]
        _fail(f"this is a defect, please report it: {error!r} in {where.filename}:{where.lineno}", 1)


def _fail(sentence: str, code: int) -> None:
    typer.echo(f"fanline: {sentence}", err=True)
    sys.exit(code)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"fanline {metadata.version('fanline')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""
