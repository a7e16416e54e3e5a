"""The conventions of CONTRIBUTING.md that a machine can check: imports, sizes, names, secrets, links."""

import ast
import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fanline
from tests.tree import PACKAGES, ROOT, SERVICES, project_files

DOCUMENTS = ("README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))
LONGEST_BODY = 40

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
    start = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - start[0].lineno + 1 if start else 0


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [command, "--no-logo", "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def packages_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages, to break a rule in."""
    copy = tmp_path_factory.mktemp("packages")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def test_import_contracts_are_kept() -> None:
    """Every contract about imports in pyproject.toml is kept."""
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("publisher", "import msgqueue"),
        ("subscriber", "from publisher import app"),
        ("msgqueue", "import certs"),
        ("publisher", "import clientdemo"),
        ("fanline.server", "import subscriber"),
        ("fanline.server", "import fanline.client"),
        ("fanline.client", "import fanline.server"),
        ("fanline.protocol", "import asyncio"),
        ("fanline.protocol", "import fanline.errors"),
        ("fanline.security", "import certs"),
        ("certs", "import msgqueue"),
        ("clientdemo", "from fanline.server import service"),
        ("clientdemo", "import publisher"),
    ],
)
def test_a_forbidden_import_is_caught(packages_copy: Path, module: str, statement: str) -> None:
    """The contracts about imports catch each kind of breach."""
    breach = packages_copy / module.replace(".", "/") / "breach.py"
    breach.write_text(f"{statement}\n")
    try:
        result = lint_imports(packages_copy)
    finally:
        breach.unlink()
    assert result.returncode == 1
    assert f"{module}.breach -> " in result.stdout


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
        for path in project_files()
        if path.suffix == ".py"
        for function in functions(path)
        if body_length(function) > LONGEST_BODY
    ]
    assert not long


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


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_documents_are_there(name: str) -> None:
    """The pages that the README sends its readers to exist."""
    assert (ROOT / name).is_file()


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
