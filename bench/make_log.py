"""Makes a large log: ``python -m bench.make_log FOLDER --rows 100000000``; that many take some 20 GB."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.logfile import fill
from fanline.errors import FanlineError


def make_log(
    folder: Annotated[Path, typer.Argument(help="Where to; must not be there yet.")],
    rows: Annotated[int, typer.Option(min=1, help="How many messages.")] = 1_000_000,
) -> None:
    """Make a log with many messages, as the `data_dir` of a msgqueue."""
    if folder.exists():
        raise typer.BadParameter(f"{folder} is there already")
    with typer.progressbar(length=rows, label="Writing", file=sys.stderr) as bar:
        fill(folder, rows, lambda done: bar.update(done - bar.pos))


def main() -> None:
    """Run the command."""
    try:
        typer.run(make_log)
    except FanlineError as error:
        print(f"make_log: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
