"""The conventions of CONTRIBUTING.md that a machine can check: imports, sizes, names, secrets, links."""

import ast
import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import fanline
from tests.tree import PACKAGES, ROOT, SERVICES, project_files

LONGEST_BODY = 40
LONGEST_FILE = 400
MOST_FILES = 12
REPEATED_LINES = 6
COVERED_BY: dict[str, str] = tomllib.loads((ROOT / "tests/covered_by.toml").read_text())

PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{32}")
PACKAGE_INDEX = re.compile(
    r"py[p]i\.|python[h]osted|index-[u]rl|find-[l]inks|PIP_INDEX_[U]RL|registry\.npm[j]s"
)
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)")
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines of a function without its signature and its docstring."""
    start = function.body[1:] if ast.get_docstring(function, clean=False) else function.body
    return (function.end_lineno or 0) - start[0].lineno + 1 if start else 0


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders or (".",):
        yield from (path for path in project_files(ROOT / folder) if path.suffix == ".py")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [command, "--no-logo", "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )


def test_import_contracts_are_kept() -> None:
    """Every contract about imports in pyproject.toml is kept (line 38)."""
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


# Breaches of each kind: which module may not import which, directly or through others.
BREACHES = {
    "publisher": ["msgqueue"],
    "subscriber": ["publisher.app"],
    "msgqueue": ["certs"],
    "fanline.server": ["subscriber", "fanline.client"],
    "fanline.server.request": ["fanline.server.front"],
    "fanline.client": ["fanline.server"],
    "fanline.protocol": ["asyncio", "fanline.errors"],
    "fanline.security": ["certs"],
    "certs": ["msgqueue"],
    "clientdemo": ["fanline.server.service", "publisher"],
}


def test_forbidden_imports_are_caught(tmp_path: Path) -> None:
    """The contracts about imports catch each kind of breach."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    for module, targets in BREACHES.items():
        breach = tmp_path / module.replace(".", "/") / "breach.py"
        breach.write_text("".join(f"import {target}\n" for target in targets))
    result = lint_imports(tmp_path)
    assert result.returncode == 1
    found = {f"{module}.breach -> {target} " for module, targets in BREACHES.items() for target in targets}
    assert not {each for each in found if each not in result.stdout}
    assert "import in a circle BROKEN" in result.stdout


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_a_program(service: str) -> None:
    """``python -m SERVICE`` starts each service."""
    assert (ROOT / service / "__main__.py").is_file()


def test_no_private_key_is_committed() -> None:
    """No file of the project holds a private key."""
    found = [path for path in project_files() if PRIVATE_KEY.search(path.read_text(errors="replace"))]
    assert not found


def test_no_package_index_is_named() -> None:
    """No file of the project names the address of a package index: that is the machine's own affair."""
    found = [path for path in project_files() if PACKAGE_INDEX.search(path.read_text(errors="replace"))]
    assert not found


def test_functions_are_short() -> None:
    """No function has more than forty lines, besides its signature and its docstring."""
    long = [
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}: {body_length(function)} lines"
        for path in python_files()
        for function in functions(path)
        if body_length(function) > LONGEST_BODY
    ]
    assert not long


def test_files_are_short() -> None:
    """No Python file has more than 400 lines."""
    lengths = {path: len(path.read_text().splitlines()) for path in python_files()}
    assert not [path for path, length in lengths.items() if length > LONGEST_FILE]


def test_folders_are_small() -> None:
    """No folder has more than twelve Python files."""
    counts = Counter(path.parent for path in python_files())
    assert not [folder for folder, count in counts.items() if count > MOST_FILES]


def statements_in_row(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each run of statements of so many lines, declarations of fields left out."""
    source = path.read_text()
    lines = [line.strip() for line in source.splitlines()]
    for node in ast.walk(ast.parse(source)):
        for block in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            if isinstance(node, ast.Module) or not isinstance(block, list):
                continue
            row = [each for each in block if not isinstance(each, ast.AnnAssign | ast.Expr | ast.ImportFrom)]
            for start in range(len(row)):
                text: list[str] = []
                for statement in row[start:]:
                    text += lines[statement.lineno - 1 : statement.end_lineno]
                    if len(text) >= REPEATED_LINES:
                        yield "\n".join(text), row[start].lineno
                        break


def test_no_mechanism_stands_twice() -> None:
    """No run of statements of six lines is the same in two places of the product (line 40)."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path in python_files(*PACKAGES):
        for text, line in statements_in_row(path):
            places[text].append(f"{path.relative_to(ROOT)}:{line}")
    assert not [found for found in places.values() if len(found) > 1]


def test_every_package_explains_itself_in_one_sentence() -> None:
    """The docstring of each package begins with a sentence of one line."""
    packages = [path for path in python_files(*PACKAGES, "bench") if path.name == "__init__.py"]
    docstrings = {path: ast.get_docstring(ast.parse(path.read_text())) or "" for path in packages}
    assert not [path for path, text in docstrings.items() if not re.match(r"[\w`].*[.`](\n\n|$)", text)]


def test_tests_follow_the_tree() -> None:
    """Each module has a test file or folder at the same place, or is listed as covered by another."""
    untested = {
        str(path.relative_to(ROOT))
        for path in python_files(*PACKAGES)
        if not path.name.startswith("__") and not any(place.exists() for place in places_of_tests(path))
    }
    assert untested == COVERED_BY.keys()
    assert not [test for test in COVERED_BY.values() if not (ROOT / "tests" / test).exists()]


def places_of_tests(path: Path) -> tuple[Path, Path]:
    mirrored = ROOT / "tests" / path.relative_to(ROOT)
    return mirrored.with_name(f"test_{path.name}"), mirrored.with_suffix("")


def test_exported_names_exist() -> None:
    """Every name that a module of fanline exports with ``__all__`` is there."""
    names = ["fanline", *(found.name for found in pkgutil.walk_packages(fanline.__path__, "fanline."))]
    modules = [importlib.import_module(name) for name in names]
    missing = [
        f"{module.__name__}.{name}"
        for module in modules
        for name in getattr(module, "__all__", ())
        if not hasattr(module, name)
    ]
    assert not missing


def test_every_document_can_be_found_from_the_readme() -> None:
    """The README links to a page, or a page that it links to does."""
    found, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        found.add(page)
        links = [(page.parent / link).resolve() for link in LINK.findall(FENCED.sub("", page.read_text()))]
        waiting += [link for link in links if link.suffix == ".md" and link.is_file() and link not in found]
    assert not {*(ROOT / "docs").glob("*.md")} - found


def test_links_between_documents_lead_somewhere() -> None:
    """Every relative link in a Markdown file points to a file of the project."""
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in project_files()
        if path.suffix == ".md"
        for target in LINK.findall(FENCED.sub("", path.read_text()))
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert not broken


def entries_of(requirements: str) -> dict[str, tuple[str, bool]]:
    """Return the version of each package in a file of requirements, and whether it is for other systems."""
    lines = (ROOT / requirements).read_text().replace("\\\n", " ").splitlines()
    entries = {}
    for line in lines:
        if line.startswith("#"):
            continue
        assert " --hash=sha256:" in line
        assert "://" not in line
        specifier, _, rest = line.partition(" ")
        name, version = specifier.split("==")
        entries[normalized(name)] = version, "win32" in rest
    return entries


def normalized(name: str) -> str:
    """Return the name of a package as all spellings of it have it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize(
    ("requirements", "extras"),
    [("requirements.txt", ["cli", "cluster", "otel"]), ("requirements-dev.txt", ["dev"])],
)
def test_requirements_are_pinned_by_hashes(requirements: str, extras: list[str]) -> None:
    """They have all that the extras need, in the pinned versions; if not, run `make hashes`."""
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    pins = (line.split("==") for line in constraints if not line.startswith("#"))
    pinned = {normalized(name): version for name, version in pins}
    entries = entries_of(requirements)
    versions = {name: version for name, (version, is_elsewhere) in entries.items() if not is_elsewhere}
    assert versions.items() <= pinned.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    needed = {*project["dependencies"], *(name for each in extras for name in names_in(optional, each))}
    assert {normalized(re.split(r"[^\w.-]", each)[0]) for each in needed} <= versions.keys()


def names_in(extras: dict[str, list[str]], extra: str) -> set[str]:
    """Return what an extra needs, also by the extras that it is built on."""
    found = set()
    for each in extras[extra]:
        if inner := re.fullmatch(r"fanline\[(.*)\]", each):
            found |= {name for part in inner[1].split(",") for name in names_in(extras, part)}
        else:
            found.add(each)
    return found
