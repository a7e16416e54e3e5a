"""The command ``fanline doctor``."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib import metadata
from typing import Annotated, Final

import typer

from fanline.cli.doctor import files, machine, services
from fanline.cli.doctor.findings import Finding, Level, problem
from fanline.errors import ConfigurationError
from fanline.protocol import encode
from fanline.security.tokens import TokenKey
from fanline.setting_sources import SERVICES, memory_limit, read, section_of
from fanline.settings import ServiceSettings, Settings
from msgqueue.settings import MsgQueueSettings
from subscriber.admin.installation import RECENT_SAMPLES, KnownServices, ServiceEntry, addresses

_MARKS: Final = {Level.OK: "ok     ", Level.WARNING: "warning", Level.PROBLEM: "PROBLEM"}

Json = Annotated[bool, typer.Option("--json", help="Print a JSON array, for programs.")]


def doctor(as_json: Json = False) -> None:
    """Check certificates, users, disk, ports and services, and give advice.

    The exit code is 1 if there is a problem, and 0 if there are none, or warnings only.
    """
    findings = list(examine())
    if as_json:
        typer.echo(encode([each._asdict() for each in findings]))
    else:
        for each in findings:
            typer.echo(f"{_MARKS[each.level]}  {each.check:<12}  {each.text}")
            if each.advice:
                typer.echo(f"{'':23}→ {each.advice}")
    if any(each.level is Level.PROBLEM for each in findings):
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    """Yield what is found, from the settings to the running services."""
    sections, mistakes = _read_settings()
    yield from mistakes
    if mistakes:
        return
    settings = sections[0]
    hosts = files.hosts_of(addresses(settings).values())
    yield from files.check_certificates(settings.cert_dir, hosts, files.now_in_utc())
    yield from files.check_client_ca(settings.client_ca_file, files.now_in_utc())
    yield from files.check_token_key(TokenKey.from_settings(settings))
    yield from files.check_users(settings)
    yield from files.check_proxies(settings)
    yield from machine.check_limits(machine.hard_file_limit())
    yield from machine.check_memory(memory_limit(), settings)
    queue = next(each for each in sections if isinstance(each, MsgQueueSettings))
    yield from machine.check_disk(queue.data_dir, queue.disk_reserve, machine.time_fsyncs)
    try:
        entries = asyncio.run(_ask(settings))
    except ConfigurationError as error:
        yield problem("services", f"the services cannot be asked: {error}", "see above")
        return
    answering = [each.status.service for each in entries if each.status is not None]
    yield from machine.check_ports(sections, answering)
    yield from services.check_services(entries, metadata.version("fanline"))


def _read_settings() -> tuple[list[ServiceSettings], list[Finding]]:
    """Return the settings of all services; or what is wrong with them."""
    sections: list[ServiceSettings] = []
    mistakes: list[Finding] = []
    for name in SERVICES:
        try:
            sections.append(read(section_of(name)))
        except ConfigurationError as error:
            mistakes.append(problem("settings", f"{name}: {error}", "this service does not start"))
    return sections, mistakes


async def _ask(settings: Settings) -> Sequence[ServiceEntry]:
    with closing(KnownServices.from_settings(settings)) as installation:
        return (await installation.ask_all(RECENT_SAMPLES)).services
