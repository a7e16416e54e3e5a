"""Tables of a run, and its images."""

import importlib
from pathlib import Path

from bench.samples import Run, Sample, Setting, Spread, Summary
from bench.tables import tables, written

SETTING: Setting = {"topics": "one", "subscribers": 100, "rate": 500, "size": 120}


def sample(peer: str, cpu: float, *warnings: str) -> Sample:
    figures = {"cpu": cpu, "cpu_all": cpu, "cores": 0.5, "p50": 0.001, "p99": 0.002}
    if peer == "fanline":
        figures["cpu_all"] = 2 * cpu
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
    summary = Summary(RUN.samples)
    assert summary.figure(SETTING, "fanline", "cpu") == (2e-6, 1e-6, 3e-6)
    assert summary.figure(SETTING, "naive", "cpu") is None


def test_table_compares_servers() -> None:
    """A table has each server's figures and the ratio; all processes only where there are several."""
    lines = next(tables(RUN.samples)).splitlines()
    header, cells = ([cell.strip() for cell in line.strip("|").split("|")] for line in (lines[2], lines[4]))
    row = dict(zip(header, cells, strict=True))
    assert row["fanline µs"] == "2.00 (1.00 to 3.00)"
    assert row["nats µs"] == "6.00 (4.00 to 8.00) †"
    assert row["nats ÷ fanline"] == "3.00"
    assert row["fanline all processes µs"] == "4.00 (2.00 to 6.00)"
    assert "nats all processes µs" not in row


def test_notes_follow_the_tables() -> None:
    *_, notes = tables(RUN.samples)
    assert "fanout, nats, topics one, subscribers 100, rate 500, size 120: the machine was full" in notes
    assert "at most half of NATS's at 1 of the 1 points" in notes


def test_equal_rounds_have_no_brackets() -> None:
    assert written(Spread(1.04, 1.0, 1.0), 1) == "1.0"


def test_saved_run_is_loaded(tmp_path: Path) -> None:
    RUN.save(tmp_path / "results" / "run.json")
    assert Run.load(tmp_path / "results" / "run.json") == RUN


def test_draws_an_image_of_each_part(tmp_path: Path) -> None:
    # Matplotlib takes half a second to import, which a worker of another file need not spend.
    importlib.import_module("bench.plots").draw(RUN.samples, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["fanout.png"]
    assert (tmp_path / "fanout.png").read_bytes().startswith(b"\x89PNG")
