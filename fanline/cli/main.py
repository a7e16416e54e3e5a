"""The ``fanline`` command."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fanline import settings
from fanline.cli.up import up
from fanline.errors import EXIT_CONFIGURATION, ConfigurationError, FanlineError
from fanline.protocol import ConsumerState
from fanline.queue.remote import RemoteQueue
from fanline.security.authenticator import Authenticator
from fanline.security.tokens import PIPELINE, Claims, TokenKey
from fanline.security.users import User, UsersFile
from fanline.verify.cli import verify

DEFAULT_USERS_FILE: Final = Path("var/users")

DAY: Final = 86_400
LONGEST_LIFETIME: Final = 366 * DAY

# No pretty tracebacks: they can show the values of variables, and passwords among them.
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run and look after a Fanline installation.",
)
user_app = typer.Typer(no_args_is_help=True, help="Add, remove and list the users who may log in.")
app.add_typer(user_app, name="user")
app.command()(verify)
consumer_app = typer.Typer(no_args_is_help=True, help="Look after the durable consumers of msgqueue.")
app.add_typer(consumer_app, name="consumer")


def main() -> None:
    """Run the command line; an error ends in one sentence, and in exit code 2 if the operator made it."""
    try:
        app()
    except ConfigurationError as error:
        typer.echo(f"fanline: {error}", err=True)
        sys.exit(EXIT_CONFIGURATION)
    except FanlineError as error:
        typer.echo(f"fanline: {error}", err=True)
        sys.exit(1)


@app.command("up", add_help_option=False, context_settings={"ignore_unknown_options": True})
def start_all(flags: Annotated[list[str] | None, typer.Argument(metavar="[SETTINGS]")] = None) -> None:
    """Start the whole pipeline on this machine; --help lists the settings, which all services share."""
    argv = flags or []
    values = settings.load(
        argv, program="fanline up", description="Start the whole pipeline on this machine."
    )
    asyncio.run(up(values, argv))


UserName = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.", show_default=False)]
Service = Annotated[
    bool | None,
    typer.Option(help="Let the user use /pushmsg and /popmsg, and set `from`.", show_default=False),
]
Publish = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Topics to publish on; may be repeated.", show_default="everything"),
]
Subscribe = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN", help="Topics to subscribe to; may be repeated.", show_default="everything"
    ),
]
Update = Annotated[
    bool, typer.Option("--update", help="Change a user: the password, and those rights that are given.")
]
Stdin = Annotated[
    bool, typer.Option("--stdin", help="Read the password from standard input even if it is a terminal.")
]
File = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help=f"The users file, instead of the `users_file` setting or else {DEFAULT_USERS_FILE}.",
        show_default=False,
    ),
]


@user_app.command("add")
def add_user(
    name: UserName,
    service: Service = None,
    publish: Publish = None,
    subscribe: Subscribe = None,
    update: Update = False,
    stdin: Stdin = False,
    file: File = None,
) -> None:
    """Add a user; the password is asked for, or is the first line of a standard input that is no terminal."""
    users = _users(file)
    accounts = users.read(missing_ok=True)
    if name in accounts and not update:
        raise ConfigurationError(
            f"{users.path}: there is a user {name} already; --update changes the password"
        )
    before = accounts[name].user if name in accounts else User(name)
    user = User(
        name,
        publish=tuple(publish or before.publish),
        subscribe=tuple(subscribe or before.subscribe),
        is_service=before.is_service if service is None else service,
    )
    users.put(user, _read_password(stdin=stdin))
    typer.echo(f"{name}: {'changed in' if name in accounts else 'added to'} {users.path}")
    if users.path != settings.build().users_file:
        typer.echo(f"Services read it when FANLINE_USERS_FILE={users.path} is set.")


@user_app.command("remove")
def remove_user(name: UserName, file: File = None) -> None:
    """Remove a user, who can then log in no more."""
    users = _users(file)
    users.remove(name)
    typer.echo(f"{name}: removed from {users.path}")


@user_app.command("list")
def list_users(file: File = None) -> None:
    """Show the users and their rights."""
    table = Table("name", "role", "publish", "subscribe")
    for account in _users(file).read().values():
        user = account.user
        role = "service" if user.is_service else "user"
        cells = (user.name, role, " ".join(user.publish), " ".join(user.subscribe))
        table.add_row(*(Text(cell) for cell in cells))  # a bare string would be read as markup
    Console().print(table)


TokenName = Annotated[
    str, typer.Argument(metavar="NAME", help="Who it is for; not the name of a user.", show_default=False)
]
TokenPublish = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Topics to publish on; may be repeated.", show_default="none"),
]
TokenSubscribe = Annotated[
    list[str] | None,
    typer.Option(metavar="PATTERN", help="Topics to subscribe to; may be repeated.", show_default="none"),
]
Lifetime = Annotated[
    int, typer.Option(metavar="SECONDS", min=1, max=LONGEST_LIFETIME, help="For how long it is good.")
]


@app.command("token")
def issue_token(
    name: TokenName, publish: TokenPublish = None, subscribe: TokenSubscribe = None, lifetime: Lifetime = DAY
) -> None:
    """Print a token: a login for web pages, to publisher and subscriber, with no rights but those given.

    The key that it is signed with is made if there is none. To take a token back takes a new key.
    """
    bearer = User(name, tuple(publish or ()), tuple(subscribe or ()))
    if not (bearer.publish or bearer.subscribe):
        raise ConfigurationError("a token without rights opens nothing: add --publish or --subscribe PATTERN")
    values = settings.build()
    if Authenticator(values.users_file).knows(name):
        raise ConfigurationError(f"{name} is a user with a password: choose another name for the token")
    key = TokenKey(values.token_key_file)
    key.create_if_missing()
    claims = Claims.new(name, lifetime=lifetime, publish=bearer.publish, subscribe=bearer.subscribe)
    typer.echo(key.issue(claims, PIPELINE))


@consumer_app.command("list")
def list_consumers() -> None:
    """Show the durable consumers: how far each is, and how many connections share it."""
    table = Table("name", "position", "behind", "connections")
    for state in asyncio.run(_list_consumers()):
        table.add_row(*(Text(str(getattr(state, str(column.header)))) for column in table.columns))
    Console().print(table)


@consumer_app.command("delete")
def delete_consumer(name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)]) -> None:
    """Forget a durable consumer, and with it how far it is; nobody may be using it."""
    asyncio.run(_forget_consumer(name))
    typer.echo(f"{name}: forgotten")


Data = Annotated[
    Path, typer.Argument(metavar="DATA", help="The data folder of msgqueue.", show_default=False)
]


@app.command()
def fsck(data: Data) -> None:
    """Check the log while msgqueue is stopped; nothing is changed.

    The exit code is 0 if it is sound, 1 if it is damaged, 2 if there is none, or it could not be checked.
    """
    _run_beside("msgqueue.tools.fsck", data)


@app.command()
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
    _run_beside("msgqueue.tools.backup", data, target)


def _run_beside(module: str, *arguments: Path) -> None:
    """Run a program of a service, which this package knows by name alone, and end with its exit code."""
    command = [sys.executable, "-m", module, "--", *map(str, arguments)]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


async def _list_consumers() -> Sequence[ConsumerState]:
    return await RemoteQueue.from_settings(settings.build()).consumers()


async def _forget_consumer(name: str) -> None:
    await RemoteQueue.from_settings(settings.build()).forget(name)


def _users(file: Path | None) -> UsersFile:
    configured = settings.build().users_file
    return UsersFile(file or configured or DEFAULT_USERS_FILE)


def _read_password(*, stdin: bool) -> str:
    if not stdin and sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    try:
        return sys.stdin.buffer.readline().decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigurationError("the password on standard input is not UTF-8 text") from None
