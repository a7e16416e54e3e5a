"""``fanline verify``: its options, and the run."""

import asyncio
import random
import signal
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import typer
import uvloop
from rich.console import Console

from fanline import setting_sources
from fanline.errors import ConfigurationError
from fanline.security.client_tls import client_context
from fanline.settings import Settings
from fanline.tasks import running_task
from fanline.verify import progress
from fanline.verify.hostile.report import text as hostile_text
from fanline.verify.hostile.run import HostileRun
from fanline.verify.options import Options
from fanline.verify.run import Run
from fanline.verify.system.installation import Place
from fanline.verify.verdict.report import Report, text

Seed = Annotated[
    int | None, typer.Option(min=0, help="Repeat the faults of an earlier run.", show_default="a random one")
]
Duration = Annotated[float, typer.Option(min=1, max=3_600, help="Seconds that the load lasts.")]
Publishers = Annotated[int, typer.Option(min=1, max=100, help="How many publish.")]
Subscribers = Annotated[int, typer.Option(min=0, max=1_000, help="How many subscribe.")]
Rate = Annotated[float, typer.Option(min=1, max=10_000, help="Messages a second of each publisher, at most.")]
Every = Annotated[float, typer.Option(min=0.1, help="Seconds between two faults, on average.")]
Faults = Annotated[bool, typer.Option(help="Kill, freeze and restart the services, and cut their links.")]
PublisherUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Verify a running pipeline: where to publish; needs --no-faults."),
]
SubscriberUrl = Annotated[
    str | None, typer.Option(metavar="URL", help="Verify a running pipeline: where to subscribe.")
]
UserName = Annotated[
    str | None, typer.Option("--user", metavar="NAME", help="Its user.", show_default="`link_user`")
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH", help="File with the user's password.", show_default="the setting `link_password`"
    ),
]
Keep = Annotated[bool, typer.Option("--keep", help="Keep the services' files, also if all is well.")]
Hostile = Annotated[
    bool,
    typer.Option("--hostile", help="Attack the services within all limits, and see what others notice."),
]
IsCluster = Annotated[
    bool, typer.Option("--cluster", help="Verify a cluster: two msgqueues on three NATS servers.")
]
Json = Annotated[bool, typer.Option("--json", help="Write the report as JSON.")]


def verify(  # noqa: PLR0913 - each is one option
    *,
    duration: Duration = Options.duration,
    seed: Seed = None,
    publishers: Publishers = Options.publishers,
    subscribers: Subscribers = Options.subscribers,
    rate: Rate = Options.rate,
    every: Every = Options.every,
    faults: Faults = True,
    hostile: Hostile = False,
    is_cluster: IsCluster = False,
    publisher_url: PublisherUrl = None,
    subscriber_url: SubscriberUrl = None,
    user: UserName = None,
    password_file: PasswordFile = None,
    keep: Keep = False,
    as_json: Json = False,
) -> None:
    """Test every promise: publish, receive, and look for losses, during faults.

    Starts a pipeline of its own in a temporary folder, or takes one that runs, which it only loads.

    Ctrl-C ends the load early. The exit code is 0 if every promise was kept, 1 if not, 2 if it was not tried.
    """
    if (publisher_url is None) != (subscriber_url is None):
        raise ConfigurationError("--publisher-url and --subscriber-url belong together: give both or none")
    if publisher_url is not None and faults:
        raise ConfigurationError("a running pipeline is not to be harmed: add --no-faults")
    if hostile and publisher_url is not None:
        raise ConfigurationError("a running pipeline is not to be harmed: leave out --hostile")
    if is_cluster and (hostile or publisher_url is not None):
        raise ConfigurationError("--cluster starts a cluster: leave out --hostile and the URLs")
    if hostile:
        _attack(HostileRun(duration=duration, keep=keep), as_json=as_json)
    place = None
    if publisher_url is not None and subscriber_url is not None:
        place = _running(publisher_url, subscriber_url, user, password_file)
    options = Options(
        seed=random.getrandbits(32) if seed is None else seed,
        duration=duration,
        publishers=publishers,
        subscribers=subscribers,
        rate=rate,
        every=every,
        faults=faults,
        keep=keep,
        place=place,
        is_cluster=is_cluster,
    )
    report = _run(options)
    typer.echo(msgspec.json.encode(report) if as_json else text(report))
    raise typer.Exit(0 if report.ok else 1)


def _attack(run: HostileRun, *, as_json: bool) -> NoReturn:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(run.perform())
    typer.echo(msgspec.json.encode(report) if as_json else hostile_text(report))
    raise typer.Exit(0 if report.ok else 1)


def _running(publisher_url: str, subscriber_url: str, user: str | None, password_file: Path | None) -> Place:
    given = {"link_user": user, "link_password_file": password_file}
    values = setting_sources.read(
        Settings, **{name: value for name, value in given.items() if value is not None}
    )
    return Place(
        publisher_url=publisher_url.rstrip("/"),
        subscriber_url=subscriber_url.rstrip("/"),
        user=values.link_user,
        password=_password(values),
        tls=client_context(values.cert_dir),
        patience=values.queue_wait,
    )


def _password(values: Settings) -> str:
    secret = values.link_secret()
    if secret is None:
        raise ConfigurationError("link_cert_file: verify logs in by password; name one with --password-file")
    return secret


def _run(options: Options) -> Report:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(_perform(options))
        except asyncio.CancelledError:
            raise typer.Exit(128 + signal.SIGTERM) from None


async def _perform(options: Options) -> Report:
    run = Run(options)
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None

    def end_early() -> None:
        run.stop.set()
        loop.remove_signal_handler(signal.SIGINT)  # the next one ends it at once

    loop.add_signal_handler(signal.SIGINT, end_early)
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    console = Console(stderr=True, highlight=False)
    console.print(f"Verifying with seed {options.seed}")
    async with running_task(progress.show(run, console)):
        return await run.perform()
