"""The command ``fanline top``.

It asks the subscriber service, by the same API as the status page; docs/admin.md describes it.
"""

import asyncio
from contextlib import closing, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec
import typer
from rich.console import Console, RenderableType
from rich.live import Live

from fanline.cli.top.screen import Overview, render
from fanline.client.transport.https import HttpsClient
from fanline.client.transport.login import Login
from fanline.errors import Disconnected
from fanline.security.tls import link_context
from fanline.server.status.report import ConnectionPage
from fanline.setting_sources import read
from fanline.settings import Settings, read_secret
from subscriber.admin.api import ConsumerPage
from subscriber.admin.installation import RECENT_SAMPLES, ServiceList

SHOWN_CONNECTIONS: Final = 10

# Longer than the subscriber service waits for the others.
_TIMEOUT: Final = 10.0

# Services of whose connections the worst are shown.
_WITH_CLIENTS: Final = ("publisher", "subscriber", "chat")

Once = Annotated[bool, typer.Option("--once", help="Print one screen as text, and end.")]
Interval = Annotated[float, typer.Option(min=0.5, metavar="SECONDS", help="Time between two looks.")]
User = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="A user with the role admin.", show_default="the setting link_user"),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="File whose first line is its password.", show_default=False),
]

T = TypeVar("T")


def top(
    once: Once = False, interval: Interval = 5.0, user: User = None, password_file: PasswordFile = None
) -> None:
    """Show services, connected users and delays; Ctrl-C ends it."""
    settings = read(Settings)
    secret = read_secret("--password-file", None, password_file) or settings.link_secret()
    client = HttpsClient(
        settings.subscriber_url,
        tls=link_context(settings),
        timeout=_TIMEOUT,
        login=Login.of_user(user or settings.link_user, secret),
    )
    with suppress(KeyboardInterrupt):
        asyncio.run(_show(client, Console(highlight=False), None if once else interval))


async def look(client: HttpsClient) -> Overview:
    """Ask for everything that is shown.

    Args:
        client: A client of the subscriber service.

    Raises:
        Disconnected: If it does not answer, or refuses.
    """
    services = await _get(client, f"/admin/services?samples={RECENT_SAMPLES}", ServiceList)
    reached = [each.name for each in services.services if each.status and each.name in _WITH_CLIENTS]
    pages = await asyncio.gather(
        *(
            _get(client, f"/admin/at/{name}/admin/connections?limit={SHOWN_CONNECTIONS}", ConnectionPage)
            for name in reached
        )
    )
    try:
        consumers = (await _get(client, "/admin/consumers", ConsumerPage)).consumers
    except Disconnected:
        consumers = []  # without msgqueue there is no answer; its row says so
    return Overview(services, pages, consumers)


async def _show(client: HttpsClient, console: Console, interval: float | None) -> None:
    """Print one screen, or one after each interval."""
    with closing(client):
        if interval is None:
            console.print(render(await look(client)))
        else:
            await _follow(client, console, interval)


async def _follow(client: HttpsClient, console: Console, interval: float) -> None:
    shown: RenderableType
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            try:
                shown = render(await look(client))
            except Disconnected as error:
                shown = f"{error}\n\nTrying again …"
            live.update(shown, refresh=True)
            await asyncio.sleep(interval)


async def _get(client: HttpsClient, path: str, kind: type[T]) -> T:
    response = await client.request("GET", path)
    if response.status != HTTPStatus.OK:
        said = response.body[:300].decode(errors="replace")
        raise Disconnected(f"{client.url} answers {response.status}: {said}")
    return msgspec.json.decode(response.body, type=kind)
