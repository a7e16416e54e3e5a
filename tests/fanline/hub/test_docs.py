"""Every example of the page about the hub is run, and prints what the page says."""

import re
from pathlib import Path

import pytest

import fanline.hub

PAGE = Path(__file__).resolve().parents[3] / "docs/hub.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_prints_what_it_says(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each is a program of its own (lines 32, 33, 35 and 36)."""
    monkeypatch.chdir(tmp_path)
    exec(compile(example, PAGE, "exec"), {"__name__": "__main__"})
    said = re.findall(r"^# prints: (.*)$", example, re.MULTILINE)
    assert said
    assert capsys.readouterr().out.splitlines() == said


def test_there_are_examples() -> None:
    """None is lost to a fence that is spelled otherwise."""
    assert len(EXAMPLES) == PAGE.read_text().count("```python") == 5


def test_every_error_is_in_the_table() -> None:
    """Exactly the names that the package exports (line 34)."""
    table = PAGE.read_text().partition("\n## Errors\n")[2].partition("\n## ")[0]
    errors = {name for name in fanline.hub.__all__ if isinstance(getattr(fanline.hub, name), type)}
    errors = {name for name in errors if issubclass(getattr(fanline.hub, name), fanline.hub.HubError)}
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == errors - {"HubError"}


def test_every_event_type_is_in_the_table() -> None:
    """In the order of the code or any other (line 33)."""
    table = PAGE.read_text().partition("\n## Events\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(fanline.hub.EventType)
