"""``fanline user``: the users who may log in with a password."""

import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fanline.errors import ConfigurationError
from fanline.security.users import User, UsersFile
from fanline.setting_sources import read
from fanline.settings import Settings

DEFAULT_USERS_FILE: Final = Path("var/users")

app = typer.Typer(no_args_is_help=True, help="Add, remove and list the users who may log in.")

UserName = Annotated[str, typer.Argument(metavar="NAME", help="The user's name.", show_default=False)]
Service = Annotated[
    bool | None,
    typer.Option(help="Let the user use /pushmsg and /popmsg, and set `from`.", show_default=False),
]
Admin = Annotated[
    bool | None,
    typer.Option(help="Let the user disconnect others and revoke tokens.", show_default=False),
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


@app.command("add")
def add(  # noqa: PLR0913, PLR0917 - each is one option
    name: UserName,
    service: Service = None,
    admin: Admin = None,
    publish: Publish = None,
    subscribe: Subscribe = None,
    update: Update = False,
    stdin: Stdin = False,
    file: File = None,
) -> None:
    """Add a user, whose password is asked for.

    A standard input that is no terminal has it in its first line.
    """
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
        is_admin=before.is_admin if admin is None else admin,
    )
    users.put(user, _read_password(stdin=stdin))
    typer.echo(f"{name}: {'changed in' if name in accounts else 'added to'} {users.path}")
    if users.path != read(Settings).users_file:
        typer.echo(f"Services read it when FANLINE_USERS_FILE={users.path} is set.")


@app.command("remove")
def remove(name: UserName, file: File = None) -> None:
    """Remove a user, who can then log in no more."""
    users = _users(file)
    users.remove(name)
    typer.echo(f"{name}: removed from {users.path}")


@app.command("list")
def show(file: File = None) -> None:
    """Show the users and their rights."""
    table = Table("name", "role", "publish", "subscribe")
    for account in _users(file).read().values():
        user = account.user
        cells = (user.name, user.role, " ".join(user.publish), " ".join(user.subscribe))
        table.add_row(*(Text(cell) for cell in cells))  # a bare string would be read as markup
    Console().print(table)


def _users(file: Path | None) -> UsersFile:
    configured = read(Settings).users_file
    return UsersFile(file or configured or DEFAULT_USERS_FILE)


def _read_password(*, stdin: bool) -> str:
    if not stdin and sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    try:
        return sys.stdin.buffer.readline().decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise ConfigurationError("the password on standard input is not UTF-8 text") from None
