"""The files of the project, found with or without git."""

import fnmatch
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("msgqueue", "publisher", "subscriber", "chat")
PACKAGES = ("fanline", *SERVICES, "clientdemo", "certs")


def ignored_patterns() -> list[str]:
    """Return the patterns of .gitignore, each of them a name or a top-level path."""
    lines = (ROOT / ".gitignore").read_text().splitlines()
    return [line.rstrip("/") for line in lines if line and not line.startswith("#")]


def is_ignored(path: Path, patterns: list[str]) -> bool:
    """Return whether .gitignore excludes a path."""
    anchored = f"/{path.relative_to(ROOT)}"
    return path.name == ".git" or any(
        fnmatch.fnmatch(anchored if pattern.startswith("/") else path.name, pattern) for pattern in patterns
    )


def project_files(path: Path = ROOT) -> Iterator[Path]:
    """Yield every file that belongs to the project, or those below one path."""
    patterns = ignored_patterns()
    if path.is_file():
        yield path
        return
    for child in sorted(path.iterdir()):
        if not is_ignored(child, patterns):
            yield from project_files(child)
