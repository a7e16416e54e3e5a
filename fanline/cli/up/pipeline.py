"""``fanline up``: the whole pipeline and chat, by one command.

Makes what is missing, starts the services as child processes, puts their names before their log lines, says
when all are ready and what to type next, restarts one that dies, and stops all of them on Ctrl-C.
"""

import asyncio
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar

from rich.console import Console
from rich.markup import escape

from chat.settings import ChatSettings
from fanline import setting_sources
from fanline.addresses import join_host_port
from fanline.cli.up.children import STOP_GRACE, Child, run_children
from fanline.errors import CannotListen, ConfigurationError
from fanline.files import typed
from fanline.security.tokens import TokenKey
from fanline.security.users import UsersFile
from fanline.server.child_process import die_with_parent, module_command
from fanline.server.healthcheck import reachable_host
from fanline.server.workers import reserve_port
from fanline.setting_sources import Sources
from fanline.settings import DEMO_PASSWORD, DEMO_USER, ServiceSettings, Settings
from msgqueue.settings import MsgQueueSettings
from publisher.settings import PublisherSettings
from subscriber.settings import SubscriberSettings

COLORS: Final = {"chat": "magenta", "publisher": "green", "msgqueue": "yellow", "subscriber": "cyan"}

# Hosts for which every certificate of ours is valid, and that clients look for first.
_LOCAL_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})

AnyService = TypeVar("AnyService", bound=ServiceSettings)


@dataclass(frozen=True)
class PipelineSettings:
    """The settings of all services, with a port for each."""

    chat: ChatSettings
    publisher: PublisherSettings
    msgqueue: MsgQueueSettings
    subscriber: SubscriberSettings

    @classmethod
    def read(cls, sources: Sources, reserved: ExitStack, *, step: int = 0) -> Self:
        """Read the settings, and replace port 0 by free, reserved ports.

        Args:
            sources: The settings.
            reserved: Keeps the free ports.
            step: Added to the other ports.

        Raises:
            ConfigurationError: If a setting is wrong, or there is no free port.
        """
        return cls(
            _with_port(sources.section(ChatSettings), reserved, step),
            _with_port(sources.section(PublisherSettings), reserved, step),
            _with_port(sources.section(MsgQueueSettings), reserved, step),
            _with_port(sources.section(SubscriberSettings), reserved, step),
        )

    @property
    def services(self) -> Sequence[ServiceSettings]:
        """The services in the order in which messages pass them.

        This is the order to stop them in: each can then pass on what it holds.
        """
        return self.chat, self.publisher, self.msgqueue, self.subscriber

    def flags(self) -> list[str]:
        """Return the flags that tell a service all ports."""
        return [word for each in self.services for word in (f"--{each.service}-port", str(each.port))]

    def environment(self) -> dict[str, str]:
        """Return an environment in which the services find each other."""
        links = {
            "queue_url": self.msgqueue,
            "publisher_url": self.publisher,
            "subscriber_url": self.subscriber,
            "chat_url": self.chat,
        }
        given, defaults = self.chat.model_dump(include=set(links)), ChatSettings.fields()
        return dict(os.environ) | {
            setting_sources.variable_of(name): url_of(service)
            for name, service in links.items()
            if given[name] == defaults[name].default
        }


async def up(installation: PipelineSettings, argv: Sequence[str]) -> None:
    """Run the pipeline until SIGINT or SIGTERM.

    Args:
        installation: The settings of all services.
        argv: The flags to pass to every service.

    Raises:
        ConfigurationError: If a service cannot start as configured; it has said why on standard error.
    """
    console = make_console()
    await make_certificates(installation.chat)
    create_keys(installation.chat)
    children = [
        Child(
            name=each.service,
            color=COLORS[each.service],
            command=module_command(each.service, *argv, *installation.flags()),
            environment=installation.environment(),
            service=each,
        )
        for each in installation.services
    ]
    await run_children(
        children,
        console,
        lambda: welcome(installation, console),
        stop_timeout=stop_timeout(installation.chat),
    )


def make_console() -> Console:
    """Return the console on standard error."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def stop_timeout(common: ServiceSettings) -> float:
    """Return the seconds that a service may take to stop."""
    return common.shutdown_delay + common.drain_timeout + STOP_GRACE


def _with_port(section: AnyService, reserved: ExitStack, step: int) -> AnyService:
    if section.port != 0:
        return section.model_copy(update={"port": section.port + step})
    try:
        free = reserved.enter_context(reserve_port(section.host))
        return section.model_copy(update={"port": free[0].getsockname()[1]})
    except OSError as error:
        raise CannotListen(section.name_of("port"), section.host, 0, error) from error


def create_keys(chat: ChatSettings) -> None:
    """Create the missing keys of tokens and of logins to chat."""
    TokenKey.from_settings(chat).create_if_missing()
    TokenKey(chat.chat_token_key_file, "chat_token_key_file").create_if_missing()


async def make_certificates(common: Settings) -> None:
    """Create missing certificates for the names of this installation.

    Raises:
        ConfigurationError: If they cannot be made; the reason is on standard error.
    """
    names = [] if (host := reachable_host(common)) in _LOCAL_HOSTS else ["--name", host]
    command = module_command("certs", "make", "--dir", str(common.cert_dir), *names)
    # In a session of its own it is not what Ctrl-C interrupts, and so shows no traceback.
    making = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, start_new_session=True, preexec_fn=die_with_parent()
    )
    output, _ = await making.communicate()
    if making.returncode != 0:
        raise ConfigurationError("no certificates could be made; see above")
    if b": made" in output:
        sys.stderr.write(output.decode())


def welcome(installation: PipelineSettings, console: Console) -> None:
    """Print the addresses of everything, and what to try."""
    chat, publisher, subscriber = installation.chat, installation.publisher, installation.subscriber
    is_demo = chat.users_file is None
    login = f"{DEMO_USER} / {DEMO_PASSWORD}" if is_demo else f"a user of {chat.users_file}"
    console.print(
        f"""
[bold]Fanline is ready.[/]  Ctrl-C stops it.

  publish to      {url_of(publisher)}/publish
  subscribe at    {url_of(subscriber)}/subscribe
  CA certificate  {escape(str(chat.cert_dir / "ca.crt"))}
  login           {escape(login)}
  status page     {url_of(subscriber).replace("wss", "https")}/admin

  chat            [bold]{url_of(chat).replace("wss", "https")}/[/]
  chat login      {escape(chat_login(chat))}

In a second terminal:   [bold]{escape(_demo(subscriber, "sub greetings"))}[/]
and in a third:         [bold]{escape(_demo(publisher, 'pub greetings "Hello, world"'))}[/]
"""
    )


def chat_login(chat: ChatSettings) -> str:
    """Return how people log in to chat.

    The demo's password is the only one shown.
    """
    if chat.chat_password_file is not None:
        login = f"the password in {chat.chat_password_file}"
    elif chat.chat_password is not None:
        login = "the password that is set"
    else:
        login = f"the password {DEMO_PASSWORD}"
    return f"{login}, or enter as a guest" if chat.guests_allowed else login


def url_of(service: ServiceSettings) -> str:
    """Return the URL under which this machine reaches a service."""
    host = reachable_host(service)
    return f"wss://{join_host_port('localhost' if host in _LOCAL_HOSTS else host, service.port)}"


def _demo(service: ServiceSettings, words: str) -> str:
    """Return a command to try a service, with only necessary options."""
    options = [typed("python"), "-m clientdemo"]
    fields = type(service).model_fields
    if url_of(service) != f"wss://localhost:{fields['port'].default}":
        options.append(f"--{service.service} {url_of(service)}")
    if service.cert_dir != fields["cert_dir"].default:
        options.append(f"--cafile {shlex.quote(str(service.cert_dir / 'ca.crt'))}")
    if service.users_file is not None:
        options.append(f"--user {shlex.quote(_some_user(service.users_file))}")
    return " ".join([*options, words])


def _some_user(path: Path) -> str:
    """Return the first user in a users file that is no service."""
    users = (account.user for account in UsersFile(path).read().values())
    return next((user.name for user in users if not user.is_service), "NAME")
