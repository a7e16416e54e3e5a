"""``fanline up``: the whole pipeline on this machine, and chat on top of it, from one command.

Makes what is missing, starts the services as child processes, puts their names before their log lines, says
when all are ready and what to type next, starts one that dies again, and stops all of them on Ctrl-C.
"""

import asyncio
import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.markup import escape

from fanline.backoff import Backoff
from fanline.errors import EXIT_CONFIGURATION, ConfigurationError, Disconnected
from fanline.security.tokens import TokenKey
from fanline.server.child_process import die_with_parent
from fanline.server.healthcheck import check
from fanline.settings import DEMO_PASSWORD, DEMO_USER, ENV_PREFIX, Settings

# In the order in which messages pass them, which is the one to stop them in: each can then hand on what it
# holds. The order of starting does not matter.
SERVICES: Final = ("chat", "publisher", "msgqueue", "subscriber")

_COLOURS: Final = {"chat": "magenta", "publisher": "green", "msgqueue": "yellow", "subscriber": "cyan"}

# The settings by which the services find each other, and whom they lead to.
_NEIGHBOURS: Final = {"queue_url": "msgqueue", "publisher_url": "publisher", "subscriber_url": "subscriber"}

READY_POLL_SECONDS: Final = 0.1
SLOW_START_SECONDS: Final = 20.0

# A child that ran this long before it died is started again at once, or nearly.
STEADY_SECONDS: Final = 10.0

# How much longer than its own limit a child may take to stop before it is killed.
STOP_GRACE: Final = 3.0


async def up(settings: Settings, argv: Sequence[str]) -> None:
    """Run the pipeline until SIGINT or SIGTERM.

    Args:
        settings: What ``argv``, the environment and the TOML file say.
        argv: The flags to hand to every service.

    Raises:
        ConfigurationError: If a service cannot start as configured; it has said why on standard error.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    await _make_certificates(settings)
    TokenKey(settings.token_key_file).create_if_missing()
    children = [_Child(name, argv, settings, console) for name in SERVICES]
    failure: ConfigurationError | None = None
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(child.keep_running()) for child in children]
            announcing = tasks.create_task(_announce(children, settings, console))
            await stop.wait()
            announcing.cancel()
            for child, task in zip(children, running, strict=True):
                child.stop.set()
                await asyncio.wait([task])
    except* ConfigurationError as group:
        # Raised only below: raised here, Python 3.11.2 would wrap it in a group again.
        failure = next(error for error in group.exceptions if isinstance(error, ConfigurationError))
    if failure is not None:
        raise failure


async def _make_certificates(settings: Settings) -> None:
    command = [sys.executable, "-m", "certs", "make", "--dir", str(settings.cert_dir)]
    making = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await making.communicate()
    if making.returncode != 0:
        raise ConfigurationError("no certificates could be made; see above")
    if b": made" in said:
        sys.stderr.write(said.decode())


async def _announce(children: Sequence["_Child"], settings: Settings, console: Console) -> None:
    """Wait until every service is ready, and say so, or who is not."""
    for child in children:
        await child.listens.wait()  # before that, another installation may answer on its port
    waited = 0.0
    while problems := await asyncio.to_thread(_not_ready, settings):
        await asyncio.sleep(READY_POLL_SECONDS)
        waited += READY_POLL_SECONDS
        if waited >= SLOW_START_SECONDS:
            console.print(f"[bold]Still waiting:[/] {escape('; '.join(problems))}")
            waited = 0.0
    _welcome(settings, console)


def _not_ready(settings: Settings) -> list[str]:
    problems = []
    for name in SERVICES:
        try:
            check(name, settings, "/readyz")
        except Disconnected as error:
            problems.append(str(error))
    return problems


def _welcome(settings: Settings, console: Console) -> None:
    is_demo = settings.users_file is None
    login = f"{DEMO_USER} / {DEMO_PASSWORD}" if is_demo else f"a user of {settings.users_file}"
    console.print(
        f"""
[bold]Fanline is ready.[/]  Ctrl-C stops it.

  publish to      {_url(settings, "publisher")}/publish
  subscribe at    {_url(settings, "subscriber")}/subscribe
  CA certificate  {escape(str(settings.cert_dir / "ca.crt"))}
  login           {escape(login)}

  chat            [bold]https://localhost:{settings.chat_port}/[/]
  chat login      {escape(_chat_login(settings))}

In a second terminal:   [bold]{escape(_demo(settings, "subscriber", "sub greetings"))}[/]
and in a third:         [bold]{escape(_demo(settings, "publisher", 'pub greetings "Hello, world"'))}[/]
"""
    )


def _chat_login(settings: Settings) -> str:
    """Return how people get into chat, without the password unless everybody knows it."""
    if settings.chat_password_file is not None:
        login = f"the password in {settings.chat_password_file}"
    elif settings.chat_password is not None:
        login = "the password that is set"
    else:
        login = f"the password {DEMO_PASSWORD}"
    return f"{login}, or enter as a guest" if settings.guests_allowed else login


def _url(settings: Settings, service: str) -> str:
    return f"wss://localhost:{getattr(settings, f'{service}_port')}"


def _demo(settings: Settings, service: str, words: str) -> str:
    """Return what to type to try a service out, with only those options that it cannot do without."""
    options = [shlex.quote(_shown_python()), "-m clientdemo", words]
    if getattr(settings, f"{service}_port") != Settings.model_fields[f"{service}_port"].default:
        options.append(f"--{service} {_url(settings, service)}")
    if settings.cert_dir != Settings.model_fields["cert_dir"].default:
        options.append(f"--cafile {shlex.quote(str(settings.cert_dir / 'ca.crt'))}")
    if settings.users_file is not None:
        options.append("--user NAME")
    return " ".join(options)


def _shown_python() -> str:
    """Return the interpreter, as briefly as it can be typed from here."""
    relative = os.path.relpath(sys.executable)
    return relative if not relative.startswith("..") else sys.executable


class _Child:
    """One service as a child process."""

    def __init__(self, name: str, argv: Sequence[str], settings: Settings, console: Console) -> None:
        self._name = name
        self._argv = argv
        self._settings = settings
        self._console = console
        self._backoff = Backoff()
        self.stop = asyncio.Event()
        self.listens = asyncio.Event()

    async def keep_running(self) -> None:
        """Run the service, again and again, until :attr:`stop` is set.

        Raises:
            ConfigurationError: If it cannot start as configured.
        """
        while not self.stop.is_set():
            started = asyncio.get_running_loop().time()
            code = await self._run_once()
            if self.stop.is_set():
                return
            if code == EXIT_CONFIGURATION:
                raise ConfigurationError(f"{self._name} cannot start; it says why above")
            if asyncio.get_running_loop().time() - started > STEADY_SECONDS:
                self._backoff.reset()
            self._say(f"has died ({_cause(code)}) and is started again")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stop.wait(), self._backoff.next())

    async def _run_once(self) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self._name, *self._argv,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            # A session of its own, so that Ctrl-C reaches it through us and only once.
            env=self._environment(), start_new_session=True, preexec_fn=die_with_parent(signal.SIGTERM),
        )  # fmt: skip
        log = asyncio.create_task(self._copy_log(process))
        ending = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(self.stop.wait())
        try:
            await asyncio.wait([ending, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            await self._end(process)
            await log
        return await ending

    def _environment(self) -> dict[str, str]:
        environment = dict(os.environ)
        for setting, service in _NEIGHBOURS.items():
            if getattr(self._settings, setting) == Settings.model_fields[setting].default:
                environment[f"{ENV_PREFIX}{setting.upper()}"] = _url(self._settings, service)
        return environment

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(self._settings.drain_timeout + STOP_GRACE):
                await process.wait()
        except TimeoutError:
            self._say("does not stop and is killed")
            process.kill()
            await process.wait()

    async def _copy_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            if b" listening on " in line:
                self.listens.set()
            self._say(line.decode(errors="replace").rstrip())

    def _say(self, text: str) -> None:
        self._console.print(f"[{_COLOURS[self._name]}]{self._name:>10} │[/] {escape(text)}")


def _cause(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
