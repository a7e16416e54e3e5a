"""The command line: one command for each part, one for all, and one that writes the report."""

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from bench import durable as durable_part
from bench import fanout as fanout_part
from bench import machine, plan, report, samples
from bench import peak as peak_part
from bench.layouts import LAYOUTS
from bench.plan import Options, Step
from bench.rig import Load
from bench.setup import PEERS, choose, site
from bench.tables import tables
from fanline.errors import ConfigurationError, FanlineError
from fanline.server.process import raise_file_limit

RESULTS: Final = Path(__file__).parent / "results" / "full.json"

Rounds = Annotated[int, typer.Option(min=1, max=20, help="How often each measurement is made.")]
Quick = Annotated[bool, typer.Option("--quick", help="See that all works, and roughly where things are.")]
Peers = Annotated[str, typer.Option(metavar="NAMES", help=f"Which servers, of {', '.join(PEERS)}.")]
Save = Annotated[Path | None, typer.Option(metavar="FILE", help="Write what was measured, as JSON.")]
Log = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", exists=True, help="A log by bench.make_log, to be measured with as well."),
]
Subscribers = Annotated[int | None, typer.Option(min=1, max=20_000, help="How many subscribers.")]
Rate = Annotated[float | None, typer.Option(min=1, max=100_000, help="Messages a second.")]
Size = Annotated[int, typer.Option(min=90, max=1_000_000, help="Bytes of a message as delivered.")]
Seconds = Annotated[float, typer.Option(min=0.1, max=60, help="How long each measurement takes.")]

EVERY: Final = ",".join(PEERS)

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Measure the services beside other servers, on this machine and in one run.",
)


@app.command()
def fanout(  # noqa: PLR0913 - each is one option
    *,
    subscribers: Subscribers = None,
    rate: Rate = None,
    size: Size = 120,
    seconds: Seconds = 2.0,
    topics: Annotated[str, typer.Option(help=f"Who subscribes to what: {', '.join(LAYOUTS)}.")] = "one",
    rounds: Rounds = 3,
    quick: Quick = False,
    peers: Peers = "fanline,nats",
    save: Save = None,
) -> None:
    """CPU of a delivery: the whole grid, or one point of it with --subscribers or --rate."""
    options = _options(rounds, peers, quick=quick)
    if subscribers is None and rate is None:
        _run(plan.fan_out(options), options, save)
        return
    point = fanout_part.Point(topics, subscribers or 100, Load(rate or 500, size, seconds))
    _run([plan.fan_out_step(options, options.peers, [point])], options, save)


@app.command()
def peak(
    subscribers: Subscribers = None,
    size: Size = 120,
    seconds: Seconds = 1.5,
    rounds: Rounds = 2,
    quick: Quick = False,
    peers: Peers = "fanline,nats",
    save: Save = None,
) -> None:
    """Highest rate of deliveries that is sustained."""
    options = _options(rounds, peers, quick=quick)
    if subscribers is None:
        _run(plan.highest(options), options, save)
        return
    _run([plan.peak_step(options, [peak_part.Case(subscribers, size, seconds)])], options, save)


@app.command()
def durable(  # noqa: PLR0913 - each is one option
    *,
    clients: Annotated[int | None, typer.Option(min=1, max=1_000, help="How many publish.")] = None,
    window: Annotated[int, typer.Option(min=1, max=10_000, help="Messages that each has on the way.")] = 1,
    together: Annotated[int, typer.Option(min=1, max=1_000, help="Messages to a frame.")] = 1,
    seconds: Seconds = 3.0,
    rounds: Rounds = 3,
    quick: Quick = False,
    peers: Peers = EVERY,
    save: Save = None,
) -> None:
    """Messages stored and acknowledged: in every way, or in one with --clients."""
    options = _options(rounds, peers, quick=quick)
    if clients is None:
        _run(plan.durable_publishing(options), options, save)
        return
    case = durable_part.Case(clients, window, together, seconds=seconds)
    _run([plan.durable_step(options, [case])], options, save)


@app.command()
def latency(
    rate: Rate = None,
    size: Size = 120,
    seconds: Seconds = 3.0,
    rounds: Rounds = 3,
    quick: Quick = False,
    peers: Peers = EVERY,
    save: Save = None,
) -> None:
    """Time from publishing to delivery, stored on the way."""
    options = _options(rounds, peers, quick=quick)
    if rate is None:
        _run(plan.end_to_end(options), options, save)
        return
    _run([plan.latency_step(options, [Load(rate, size, seconds)])], options, save)


@app.command()
def idle(
    subscribers: Subscribers = None,
    rounds: Rounds = 2,
    quick: Quick = False,
    peers: Peers = EVERY,
    save: Save = None,
) -> None:
    """Memory of a connection that waits, and how fast connections come."""
    options = _options(rounds, peers, quick=quick)
    if subscribers is None:
        _run(plan.waiting(options), options, save)
        return
    _run([plan.idle_step(options, options.peers, [subscribers])], options, save)


@app.command()
def reconnect(
    subscribers: Subscribers = None,
    rounds: Rounds = 2,
    quick: Quick = False,
    peers: Peers = EVERY,
    save: Save = None,
) -> None:
    """Time until all are back after their server was killed, and have what they missed."""
    options = _options(rounds, peers, quick=quick)
    if subscribers is None:
        _run(plan.coming_back(options), options, save)
        return
    _run([plan.reconnect_step(options, [subscribers])], options, save)


@app.command()
def growth(
    rows: Annotated[
        list[int] | None, typer.Option(help="Length of the log; may be given repeatedly.")
    ] = None,
    log: Log = None,
    rounds: Rounds = 3,
    quick: Quick = False,
    save: Save = None,
) -> None:
    """What a longer log costs, and what a second process of each edge gains."""
    options = _options(rounds, EVERY, quick=quick)._replace(log=log)
    is_log_alone = rows is not None or log is not None
    _run([plan.log_step(options, rows or [])] if is_log_alone else plan.growing(options), options, save)


@app.command()
def chat(
    members: Annotated[int | None, typer.Option(min=2, max=5_000, help="How many are in the room.")] = None,
    rate: Rate = None,
    size: Annotated[int, typer.Option(min=220, max=16_000, help="Bytes of a message as delivered.")] = 300,
    rounds: Rounds = 3,
    quick: Quick = False,
    save: Save = None,
) -> None:
    """CPU of a chat message to a member, and memory of a member."""
    options = _options(rounds, EVERY, quick=quick)
    if members is None and rate is None:
        _run(plan.chatting(options), options, save)
        return
    _run([plan.chat_step(options, [members or 100], [Load(rate or 100, size, 2.0)])], options, save)


@app.command(name="all")
def everything(
    rounds: Rounds = 3,
    quick: Quick = False,
    peers: Peers = EVERY,
    log: Log = None,
    save: Save = None,
) -> None:
    """Everything; unless --quick or --save is given, what is found is written into bench/results and docs."""
    options = _options(rounds, peers, quick=quick)._replace(log=log)
    steps = [step for part in plan.PARTS.values() for step in part(options)]
    is_for_good = save is None and not quick
    _run(steps, options, RESULTS if is_for_good else save)
    if is_for_good:
        report.write(samples.load(RESULTS))


@app.command(name="report")
def write_report(results: Annotated[Path, typer.Argument(help="What a run has saved.")] = RESULTS) -> None:
    """Write docs/benchmarks.md, and its images, from what a run has saved."""
    if not results.is_file():
        raise ConfigurationError(f"{results}: there is no such file; --save writes one")
    report.write(samples.load(results))


def _options(rounds: int, peers: str, *, quick: bool) -> Options:
    return Options(1 if quick else rounds, quick, peers.split(","))


def _run(steps: Sequence[Step], options: Options, save: Path | None) -> None:
    """Measure, show what comes of it while it does, and keep it."""
    console = Console(stderr=True, highlight=False)
    chosen, missing = choose(options.peers)
    for reason in missing:
        console.print(reason)
    raise_file_limit()
    run = samples.Run(machine.command(), machine.describe(chosen), [])
    _measure(steps, run, console)
    if save is not None:
        samples.save(run, save)
    for table in tables(run.samples):
        Console().print(table.rich())


def _measure(steps: Sequence[Step], run: samples.Run, console: Console) -> None:
    total, seconds = sum(step.samples for step in steps), sum(step.seconds for step in steps)
    console.print(f"{total} measurements, about {_minutes(seconds)}; Ctrl-C ends it")
    began = time.monotonic()
    with site() as place:
        for step in steps:
            for sample in step.measure(place):
                run.samples.append(sample)
                done = f"[{len(run.samples)}/{total}, {_minutes(time.monotonic() - began)}]"
                console.print(f"{done} {sample.line()}", markup=False)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def main() -> None:
    """Run the command; the whole body of ``__main__.py``."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # every server is stopped then
    try:
        app()
    except FanlineError as error:
        print(f"bench: {error}", file=sys.stderr)
        raise SystemExit(2) from None
