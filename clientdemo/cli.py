"""The command line: interactive without a command, for scripts with one."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import msgspec
import typer

from clientdemo.commands.chat_session import event_as_json, event_as_text, run_chat, send_to_room
from clientdemo.commands.interactive import interact
from clientdemo.commands.publish import Item, publish_lines, publish_one, read_json, read_text
from clientdemo.commands.subscribe import Begin, as_json, as_text, follow
from clientdemo.console.lines import STDIN, read_lines
from clientdemo.console.output import abandon_output
from clientdemo.exit_codes import ExitCode, code_of, tell
from clientdemo.login import (
    ChatLogin,
    PipelineLogin,
    local_url,
    read_chat_password,
    read_password,
    trust,
)
from fanline import (
    FanlineError,
    Rejected,
    require_pattern,
    require_service_url,
    require_topic,
)
from fanline.setting_sources import read, read_service
from fanline.settings import Settings

EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 something was refused, a line could not be sent, or the room was deleted; 2 a "
    "wrong argument, setting, login or certificate; 3 no connection, or no answer in time; 130 Ctrl-C."
)

PublisherUrl = Annotated[
    str | None,
    typer.Option(
        "--publisher",
        metavar="URL",
        envvar="CLIENTDEMO_PUBLISHER",
        help="The publisher service, wss://HOST:PORT.",
        show_default="on this machine",
    ),
]
SubscriberUrl = Annotated[
    str | None,
    typer.Option(
        "--subscriber",
        metavar="URL",
        envvar="CLIENTDEMO_SUBSCRIBER",
        help="The subscriber service, wss://HOST:PORT.",
        show_default="on this machine",
    ),
]
ChatUrl = Annotated[
    str | None,
    typer.Option(
        "--chat",
        metavar="URL",
        envvar="CLIENTDEMO_CHAT",
        help="The chat service, wss://HOST:PORT.",
        show_default="on this machine",
    ),
]
User = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        envvar="CLIENTDEMO_USER",
        help="User name; not for chat.",
        show_default="the link_user setting",
    ),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        envvar="CLIENTDEMO_PASSWORD_FILE",
        help="File whose first line is the password. CLIENTDEMO_PASSWORD takes precedence; without both "
        "the password comes from the settings, or is asked for.",
        show_default=False,
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        envvar="CLIENTDEMO_CAFILE",
        help="CA certificates that verify the services.",
        show_default="ca.crt in the cert_dir setting",
    ),
]
CertFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        envvar="CLIENTDEMO_CERT",
        help="Client certificate to log in to publisher and subscriber with, instead of a password.",
        show_default="the link_cert_file setting",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", envvar="CLIENTDEMO_KEY", help="Its private key.", show_default="in the same file"
    ),
]
Words = Annotated[
    list[str],
    typer.Argument(metavar="WORD", help="Topic and message, as above.", show_default=False),
]
Topics = Annotated[
    list[str],
    typer.Argument(metavar="TOPIC", help="Topics, or patterns with * and >.", show_default=False),
]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def main() -> None:
    """Run the command that the arguments name, and exit."""
    app(prog_name="python -m clientdemo")


@dataclass(frozen=True)
class ConnectionOptions:
    """Options of the connection: services and credentials."""

    publisher: str | None
    subscriber: str | None
    chat: str | None
    user: str | None
    password_file: Path | None
    cafile: Path | None
    cert: Path | None
    key: Path | None

    def login(self) -> PipelineLogin:
        """Return the login for publisher and subscriber, completed from the settings.

        Raises:
            ConfigurationError: If a setting, the password or the CA is wrong or missing.
        """
        settings = read(Settings)
        user, password = self._who(settings)
        cert, key = self.cert, self.key
        if cert is None:
            cert, key = settings.link_cert_file, settings.link_key_file
        return PipelineLogin(
            publisher_url=self.publisher or local_url("publisher"),
            subscriber_url=self.subscriber or local_url("subscriber"),
            user=user,
            password=password,
            tls=trust(self.cafile, settings.cert_dir, cert, key),
        )

    def _who(self, settings: Settings) -> tuple[str | None, str | None]:
        """Return user and password; neither if a client certificate is the login."""
        if self.cert is not None and self.user is None:
            return None, None
        password = read_password(self.user, self.password_file, settings)
        return (None, None) if password is None else (self.user or settings.link_user, password)

    def chat_login(self, name: str | None) -> ChatLogin:
        """Return the login for chat, completed from the settings.

        Args:
            name: The display name; None for a guest.

        Raises:
            ConfigurationError: If a setting, the URL, the password or the CA is wrong or missing.
        """
        settings = read_service("chat")
        url = (self.chat or local_url("chat")).rstrip("/")
        require_service_url(url)
        tls = trust(self.cafile, settings.cert_dir)
        password = "" if name is None else read_chat_password(name, url, self.password_file, settings)
        return ChatLogin(url, name, password, tls)


@app.callback(invoke_without_command=True, epilog=EXIT_CODES)
def connect(  # noqa: PLR0913, PLR0917 - each is one option
    context: typer.Context,
    publisher: PublisherUrl = None,
    subscriber: SubscriberUrl = None,
    chat: ChatUrl = None,
    user: User = None,
    password_file: PasswordFile = None,
    cafile: CaFile = None,
    cert: CertFile = None,
    key: KeyFile = None,
) -> None:
    """Publish, subscribe and chat: interactively without a command, or with one."""
    connection = context.obj = ConnectionOptions(
        publisher, subscriber, chat, user, password_file, cafile, cert, key
    )
    if context.invoked_subcommand is None:
        _run(lambda: interact(connection.login()))


@app.command(epilog=EXIT_CODES)
def pub(
    context: typer.Context,
    words: Words,
    json: Annotated[bool, typer.Option("--json", help="The messages are JSON, not text.")] = False,
    timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0.001, help="Longest time to wait for the ack of a message."),
    ] = 30.0,
) -> None:
    """Publish messages; exit with 0 only if all are stored.

    \b
    pub TOPIC MESSAGE...     one message
    pub TOPIC -              each line of standard input, to TOPIC
    pub -                    each line of standard input, of the form TOPIC MESSAGE...
    pub --json TOPIC VALUE   one message, a JSON value
    pub --json TOPIC -       each line of standard input, a JSON value, to TOPIC
    pub --json -             each line of standard input, an object {"topic", "content", "id"?}
    """  # noqa: D301 - click wants this backslash: it keeps the lines below it as they are
    topic = None if words[0] == "-" else _topic(words[0])
    message = words[1:] if topic is not None else words
    login = _connection(context).login
    if message == ["-"]:
        parse = read_json(topic) if json else read_text(topic)
        _run(lambda: publish_lines(login(), read_lines(STDIN), parse, timeout=timeout))
    if topic is None or not message:
        raise typer.BadParameter("expected TOPIC MESSAGE..., TOPIC -, or -")
    item = Item(topic, _content(" ".join(message), json=json))
    _run(lambda: publish_one(login(), item, timeout=timeout))


@app.command(epilog=EXIT_CODES)
def sub(  # noqa: PLR0913, PLR0917 - each is one option
    context: typer.Context,
    topics: Topics,
    after: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Begin after this position.", show_default="now")
    ] = None,
    last: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Begin with the N newest messages of each topic.")
    ] = None,
    latest: Annotated[
        bool, typer.Option("--latest", help="Begin with the newest message of each topic that matches.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Write whole messages, as JSON.")] = False,
    count: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Exit after N messages.", show_default="never")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.001,
            help="Give up after this time without a message.",
            show_default="never",
        ),
    ] = None,
) -> None:
    """Write the messages of topics to standard output, a line for each."""
    for topic in topics:
        _checked(require_pattern, topic)
    if (after is not None) + (last is not None) + latest > 1:
        raise typer.BadParameter("--after, --last and --latest exclude each other")
    render = as_json if json else as_text
    login = _connection(context).login
    begin = Begin(after, last, latest=latest)
    _run(lambda: follow(login(), topics, render, begin, count=count, timeout=timeout))


@app.command(epilog=EXIT_CODES)
def chat(
    context: typer.Context,
    room: Annotated[str, typer.Argument(metavar="ROOM", help="The id of the room.", show_default=False)],
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            envvar="CLIENTDEMO_NAME",
            help="Display name; its password is that of the service. Without a name you enter as a guest.",
            show_default="a guest",
        ),
    ] = None,
    last: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Begin with the N newest messages.",
            show_default="20, or 0 if standard input is not a terminal",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Write whole events, as JSON.")] = False,
    timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0.001,
            help="Longest time that a script waits for the room, and for the ack of each line.",
        ),
    ] = 30.0,
) -> None:
    """Take part in a chat room: send lines and show events.

    If standard input is not a terminal, each of its lines is sent, except blank ones, and the exit code is 0
    only if all are stored.
    """
    render = event_as_json if json else event_as_text
    login = _connection(context).chat_login
    if os.isatty(STDIN):
        _run(lambda: run_chat(login(name), room, render, last=20 if last is None else last))
    _run(lambda: send_to_room(login(name), room, read_lines(STDIN), render, last=last or 0, timeout=timeout))


def _connection(context: typer.Context) -> ConnectionOptions:
    connection: ConnectionOptions = context.obj
    return connection


def _run(start: Callable[[], Coroutine[Any, Any, ExitCode]]) -> NoReturn:
    raise typer.Exit(_outcome(start))


def _outcome(start: Callable[[], Coroutine[Any, Any, ExitCode]]) -> ExitCode:
    try:
        return asyncio.run(start())
    except FanlineError as error:
        tell(str(error))
        return code_of(error)
    except BrokenPipeError:
        abandon_output()
        return ExitCode.DONE
    except OSError as error:  # errors of connections have been translated: what is left is the output
        abandon_output()
        tell(f"cannot write to standard output: {error.strerror}")
        return ExitCode.REFUSED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


def _topic(word: str) -> str:
    _checked(require_topic, word)
    return word


def _checked(require: Callable[[str], None], word: str) -> None:
    try:
        require(word)
    except Rejected as rejected:
        raise typer.BadParameter(rejected.reason) from None


def _content(text: str, *, json: bool) -> msgspec.Raw:
    try:
        return msgspec.Raw(text.encode() if json else msgspec.json.encode(text))
    except UnicodeEncodeError:
        raise typer.BadParameter("the message is not valid UTF-8") from None
