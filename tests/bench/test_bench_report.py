"""Tables, and the page that they are on."""

from pathlib import Path

import pytest

from bench import machine, samples
from bench.report import write
from bench.samples import Run, Sample, Summary
from bench.stats import Spread
from bench.tables import tables, written

SETTING: samples.Setting = {"topics": "one", "subscribers": 100, "rate": 500, "size": 120}


def sample(peer: str, cpu: float, *warnings: str) -> Sample:
    figures = {"cpu": cpu, "cpu_all": 2 * cpu, "cores": 0.5, "p50": 0.001, "p99": 0.002}
    return Sample("fanout", peer, SETTING, figures, list(warnings))


RUN = Run(
    "python -m bench fanout",
    {"kernel": "Linux"},
    [
        sample("fanline", 1e-6),
        sample("nats", 4e-6),
        sample("fanline", 3e-6),
        sample("nats", 8e-6, "the machine was full"),
        sample("fanline", 2e-6),
        sample("nats", 6e-6),
    ],
)


def test_rounds_become_a_median() -> None:
    """The samples of a server in one setting become one figure."""
    found = Summary(RUN.samples).figure(SETTING, "fanline", "cpu")
    assert found == (2e-6, 1e-6, 3e-6)


def test_a_figure_that_was_not_measured() -> None:
    """There is nothing where nothing was measured."""
    assert Summary(RUN.samples).figure(SETTING, "naive", "cpu") is None


def test_a_table_compares() -> None:
    """A table has the figures of each server, the ratio, and what is to be read with care."""
    table = next(tables(RUN.samples))
    row = dict(zip(table.header, table.rows[0], strict=True))
    assert row["fanline µs"] == "2.00 (1.00 to 3.00)"
    assert row["nats µs"] == "6.00 (4.00 to 8.00) †"
    assert row["nats ÷ fanline"] == "3.00"
    assert "mosquitto µs" not in row
    assert any("at 1 of the 1 points" in note for note in table.notes)


def test_rounds_that_agree_have_no_brackets() -> None:
    """Where the rounds cannot be told apart, there is one number."""
    assert written(Spread(1.04, 1.0, 1.0), 1) == "1.0"


def test_a_run_is_kept(tmp_path: Path) -> None:
    """What is saved is what is loaded."""
    samples.save(RUN, tmp_path / "results" / "run.json")
    assert samples.load(tmp_path / "results" / "run.json") == RUN


def test_the_page_is_whole(tmp_path: Path) -> None:
    """The page has command, machine, tables, reservations, and an image that is there."""
    write(RUN, tmp_path)
    page = (tmp_path / "benchmarks.md").read_text()
    assert "    python -m bench fanout\n" in page
    assert "| kernel | Linux |" in page
    assert "2.00 (1.00 to 3.00)" in page
    assert "topics one, subscribers 100, rate 500, size 120: the machine was full" in page
    assert "](images/fanout.png)" in page
    assert (tmp_path / "images" / "fanout.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_names_no_path_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run says of itself can be read, and called, elsewhere."""
    monkeypatch.setattr("sys.argv", ["bench/__main__.py", "all", "--rounds", "3", "--log", "/var/tmp/long"])
    assert machine.command() == "python -m bench all --rounds 3 --log long"
