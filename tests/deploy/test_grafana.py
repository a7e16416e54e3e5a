"""The dashboard and the alert rules: every metric in them exists."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).resolve().parents[2] / "deploy/grafana"
OPERATIONS = Path(__file__).resolve().parents[2] / "docs/operations.md"

PROCESS = {
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
}  # of the library that makes the metrics


def panels() -> Iterator[dict[str, Any]]:
    for panel in json.loads((FOLDER / "dashboard.json").read_text())["panels"]:
        if panel["type"] != "row":
            yield panel


def rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]:
        yield from group["rules"]


def documented() -> dict[str, str]:
    """Return the type of each metric; a test of the documents holds that they are those of the services."""
    rows = re.findall(r"^\| `(fanline_\w+)` \| [\w, ]+ \| (\w+) \|", OPERATIONS.read_text(), re.MULTILINE)
    return dict(rows)


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]] + [
        rule["expr"] for rule in rules()
    ]


@pytest.mark.parametrize("expression", expressions())
def test_every_metric_exists(expression: str) -> None:
    """Each name in a query is a documented metric, used as its type demands (line 56)."""
    types = documented()
    series = {name for name in types if types[name] != "histogram"} | PROCESS
    buckets = {f"{name}_bucket" for name, kind in types.items() if kind == "histogram"}
    used = set(re.findall(r"\b(?:fanline|process)_\w+", expression))
    assert used <= series | buckets
    for name in used:
        is_rate = f"rate({name}" in expression or f"increase({name}" in expression
        assert is_rate == (name in buckets or name.endswith("_total")), name
    assert used or expression.startswith("up{")


def test_panels_have_ids_of_their_own() -> None:
    """Grafana tells panels apart by them."""
    numbers = [panel["id"] for panel in json.loads((FOLDER / "dashboard.json").read_text())["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_most_metrics_are_shown() -> None:
    """The dashboard leaves out only what belongs to chat, or is an alert."""
    shown = " ".join(target["expr"] for panel in panels() for target in panel["targets"])
    hidden = {name for name in documented() if name not in shown}
    assert hidden == {
        "fanline_certificate_expiry_timestamp_seconds",
        "fanline_chat_members",
        "fanline_chat_rooms",
        "fanline_clock_jump_seconds",
        "fanline_clock_jumps_total",
        "fanline_commands_refused_total",
        "fanline_consumer_failing_messages",
        "fanline_dead_letters_total",
        "fanline_reload_problems",
        "fanline_commit_messages",
        "fanline_connections_cut_total",
        "fanline_messages_damaged_total",
    }


def test_panels_do_not_overlap() -> None:
    """Each place of the dashboard belongs to one panel."""
    places = [
        (x, y)
        for panel in panels()
        for position in [panel["gridPos"]]
        for x in range(position["x"], position["x"] + position["w"])
        for y in range(position["y"], position["y"] + position["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) == 23


def test_every_alert_says_what_to_do() -> None:
    """An alert has a severity, a sentence about what is wrong, and one about what to do."""
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["action"]
