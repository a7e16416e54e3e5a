"""The command line of ``python -m certs``."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from certs import report
from certs.folder import Outcome, ensure, make_client
from certs.folder import renew as renew_certificates
from certs.names import spell
from fanline import setting_sources
from fanline.errors import ConfigurationError
from fanline.security.client_tls import CA_CERT
from fanline.security.tls import SERVER_CERT, names_of, read_certificates
from fanline.settings import Settings

Folder = Annotated[
    Path | None,
    typer.Option("--dir", help="Folder of the certificates.", show_default="the cert_dir setting"),
]
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--name", metavar="NAME", help="Another DNS name or IP address to be valid for; repeatable."
    ),
]

DEFAULT_COMMAND: Final = "make"

app = typer.Typer(
    help="Make, show and renew the certificates of an installation. Without a command: make.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name, and exit.

    Raises:
        SystemExit: With 0; 1 if ``show`` found a problem; 2 if an argument or a file is wrong.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or (arguments[0].startswith("-") and arguments[0] != "--help"):
        arguments.insert(0, DEFAULT_COMMAND)
    try:
        app(arguments, prog_name="python -m certs")
    except ConfigurationError as error:
        typer.echo(f"certs: {error}", err=True)
        sys.exit(2)


@app.command()
def make(folder: Folder = None, names: Names = None) -> None:
    """Make a CA and a server certificate, if they are missing."""
    path, port = _folder(folder), setting_sources.read_service("publisher").port
    _tell(path, ensure(path, names or []))
    _tell_use(path / CA_CERT, port)


@app.command()
def show(folder: Folder = None) -> None:
    """List the certificates; exit with 1 if one has a problem."""
    path = _folder(folder)
    console = Console(highlight=False)
    for table in report.tables(path):
        console.print(table)
    problems = report.problems(path)
    for problem in problems:
        typer.secho(problem, fg=typer.colors.RED)
    if problems:
        raise typer.Exit(1)


@app.command()
def renew(
    folder: Folder = None,
    names: Names = None,
    ca: Annotated[bool, typer.Option("--ca", help="Make a new CA as well.")] = False,
) -> None:
    """Reissue the server certificate, for the same names and those given."""
    path = _folder(folder)
    _tell(path, renew_certificates(path, names or [], ca=ca))
    typer.echo("\nServices that run take it over by themselves.")
    if ca:
        typer.echo(f"Give every client that trusted the old CA the new {path / CA_CERT}.")


@app.command()
def client(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the user.", show_default=False)],
    folder: Folder = None,
) -> None:
    """Make a certificate with which a client logs in as a user."""
    path = _folder(folder)
    made = make_client(path, name)
    typer.echo(f"{made}: made, for the user {name}; expires {report.lifetime(read_certificates(made)[0])}")
    typer.echo(f"{made.with_suffix('.key')}: its private key")
    typer.echo(f"\nServices accept it if the setting client_ca_file is {path / CA_CERT}.")


def _folder(given: Path | None) -> Path:
    configured = setting_sources.read(Settings).cert_dir
    return given or configured


def _tell(folder: Path, outcome: Outcome) -> None:
    for path, done in zip((folder / CA_CERT, folder / SERVER_CERT), outcome, strict=True):
        certificate = read_certificates(path)[0]
        typer.echo(f"{path}: {done}; expires {report.lifetime(certificate)}")
        if names := names_of(certificate):
            typer.echo(f"  for {spell(names)}")


def _tell_use(ca: Path, port: int) -> None:
    url = f"https://localhost:{port}/healthz"
    typer.echo(f"\ncurl      curl --cacert {shlex.quote(str(ca))} {url}")
    typer.echo(f"browsers  import {ca} as a certificate authority (settings: certificates, authorities)")
