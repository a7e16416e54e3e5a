"""The command line: a command for each part, and one for everything."""

import inspect
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from bench import plots, tables
from bench.load.layouts import LAYOUTS
from bench.peers import logfile
from bench.plan import DEFAULTS, PLANS, Scope, one_case
from bench.runner import Runner
from bench.samples import Run
from fanline.errors import ConfigurationError, FanlineError

_RESULTS: Final = Path("build/bench")

_HELP: Final = {
    "fanout": "CPU of a delivery.",
    "peak": "Highest rate of deliveries that is sustained.",
    "durable": "Messages stored and acknowledged a second.",
    "latency": "Time from publishing to delivery, stored on the way.",
    "idle": "Memory of an idle connection, and new connections a second.",
    "reconnect": "Time until all subscribers are back after a SIGKILL.",
    "growth": "Cost of a longer log, and gain of more processes.",
    "chat": "CPU of a chat message to a member, and memory of a member.",
    "http": "Server-sent events and POST, next to WebSockets.",
    "presence": "Users who are present, and the newest message of each topic.",
    "compare": "The main figures of two source trees, in turns; with --against.",
    "all": "Every part.",
}

_OPTIONS: Final[dict[str, Any]] = {
    "topics": Annotated[str | None, typer.Option(help=f"Layout of topics: {', '.join(LAYOUTS)}.")],
    "subscribers": Annotated[
        int | None,
        typer.Option("--subscribers", "--members", min=1, max=20_000, help="Number of subscribers."),
    ],
    "rate": Annotated[float | None, typer.Option(min=1, max=100_000, help="Messages a second.")],
    "size": Annotated[int | None, typer.Option(min=90, max=1_000_000, help="Bytes of a message.")],
    "clients": Annotated[int | None, typer.Option(min=1, max=1_000, help="Connections that publish.")],
    "window": Annotated[int | None, typer.Option(min=1, max=10_000, help="Unacknowledged messages of each.")],
    "together": Annotated[int | None, typer.Option(min=1, max=1_000, help="Messages to a frame.")],
    "rows": Annotated[int | None, typer.Option(min=0, help="Messages in the log.")],
    "log": Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="A log made by make-log, measured as well."),
    ],
    "seconds": Annotated[float | None, typer.Option(min=0.1, max=60, help="Duration of a measurement.")],
    "rounds": Annotated[int, typer.Option(min=1, max=20, help="How often each measurement is made.")],
    "quick": Annotated[bool, typer.Option("--quick", help="Measure little, and in one round.")],
    "peers": Annotated[str | None, typer.Option(metavar="NAMES", help="Servers, separated by commas.")],
    "against": Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", exists=True, help="Measure this checkout in turns with another, `other`."
        ),
    ],
    "save": Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write the samples, as JSON.")],
}
_COMMON: Final = {"rounds": 3, "quick": False, "peers": None, "against": None, "save": None}

_CASE_OPTIONS: Final = {
    "fanout": ("topics", "subscribers", "rate", "size", "seconds"),
    "peak": ("subscribers", "size", "seconds"),
    "durable": ("clients", "window", "together", "size", "seconds"),
    "latency": ("rate", "size", "seconds"),
    "idle": ("subscribers", "seconds"),
    "reconnect": ("subscribers",),
    "growth": ("rows", "log", "seconds"),
    "chat": ("subscribers", "rate", "size", "seconds"),
    "http": (),
    "presence": (),
    "compare": (),
    "all": ("log",),
}

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Measure the services next to other servers, on this machine and in one run.",
)


def _command(name: str) -> Callable[..., None]:
    """Return the function of a command, with the options that it takes."""

    def run(
        *, rounds: int, quick: bool, peers: str | None, against: Path | None, save: Path | None, **given: Any
    ) -> None:
        changed = {field: value for field, value in given.items() if value is not None}
        if changed and name in DEFAULTS:
            steps = [one_case(name, **changed)]
        else:
            steps = list(PLANS[name](Scope(quick, changed.get("log"))))
        names = peers.split(",") if peers else None
        runner = Runner(1 if quick else rounds, names, against, Console(stderr=True, highlight=False))
        measured = runner.run(steps)
        path = save or _RESULTS / f"{name}.json"
        measured.save(path)
        print("\n\n".join(tables.tables(measured.samples)))
        print(f"The samples are in {path}")

    defaults: dict[str, Any] = dict.fromkeys(_CASE_OPTIONS[name]) | _COMMON
    run.__annotations__ = {option: _OPTIONS[option] for option in defaults}
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=_OPTIONS[option]
            )
            for option, default in defaults.items()
        ]
    )
    return run


for _name, _help in _HELP.items():
    app.command(_name, help=_help)(_command(_name))


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="What a run has saved.")] = _RESULTS / "all.json",
    images: Annotated[Path, typer.Option(help="The folder for the images.")] = _RESULTS,
) -> None:
    """Print the tables of a run in Markdown, and draw its images."""
    if not results.is_file():
        raise ConfigurationError(f"{results}: there is no such file; a run writes it")
    run = Run.load(results)
    print(f"    {run.command}\n\n| | |\n|---|---|")
    print("\n".join(f"| {name} | {value} |" for name, value in run.machine.items()) + "\n")
    print("\n\n".join(tables.tables(run.samples)))
    plots.draw(run.samples, images)


@app.command()
def make_log(
    folder: Annotated[Path, typer.Argument(help="The folder to make.")],
    rows: Annotated[int, typer.Option(min=1, help="Number of messages.")] = 1_000_000,
) -> None:
    """Make a log with many messages, as a msgqueue's `data_dir`.

    100,000,000 messages take 17 GB.
    """
    if folder.exists():
        raise ConfigurationError(f"{folder} exists already")
    with typer.progressbar(length=rows, label="Writing", file=sys.stderr) as bar:
        logfile.fill(folder, rows, lambda done: bar.update(done - bar.pos))


def main() -> None:
    """Run the command; the whole body of ``__main__.py``."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # every server is stopped then
    try:
        app()
    except FanlineError as error:
        print(f"bench: {error}", file=sys.stderr)
        raise SystemExit(2) from None
