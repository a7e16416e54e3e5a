"""Check the wording of the project (line 41): ``python -m tests.words [PATHS]``.

Reports words that docs/glossary.md replaces, docstrings that begin with a riddle or a long line, long test
names, classes and constants imported by name though several modules define them, and, by codespell, spelling.
"""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.tree import PACKAGES, ROOT, project_files

LONGEST_TEST_NAME = 60
LONGEST_FIRST_LINE = 12
CHECKED = {".py", ".md", ".js", ".css", ".html", ".toml", ".yaml", ".yml", ".sh", ""}
EXEMPT = {ROOT / "tests/words.py", ROOT / "docs/glossary.md", ROOT / "LICENSE"}

INSTEAD = {
    r"somebody": "name them: a user, a client, another process",
    r"nobody(?! waits for the slow|\")": "name them: no client, no subscriber, no process",
    r"everybody": "name them: all clients, all members",
    r"anybody": "name them: any client, any user",
    r"whoever": "name them: a client that …",
    r"meanwhile": "in the meantime, or while …",
    r"for good": "permanently, or finally",
    r"in the moment": "as soon as",
    r"(?:is|are|was|were) due": "say when: at …, after …, has expired",
    r"(?:has|have|had) nothing to say": "say what is missing",
    r"behind (?:an?|the|its|this|that|his)? ?(?:position|seq|cursor|head|record)s?": "after",
    r"beside": "next to, along with, or in a task of its own",
    r"anew": "again",
    r"amid": "during",
    r"house": "conventions (rules), ChatService (chat)",
    r"hall": "connected members",
    r"farewells?": "pending leave",
    r"neighbou?rs?": "queue (a client's), dependency, or another service",
    r"flight(?<!in flight)(?<!in-flight)(?<!in_flight)": "outbox",
    r"audiences?(?= of|s? that|\.)": "subscriber group",
    r"uplinks?": "pipeline connection",
    r"unexpect(?!ed)": "cancel_pending",
    r"orphans?": "child process",
    r"transcripts?": "room history",
    r"catchup": "backlog",
    r"dissolve": "discard",
    r"converse": "chat session",
    r"unready": "not ready",
    r"pop_protocol": "protocol.queue",
}
ROW = re.compile(r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)


def replaced_words(glossary: str) -> dict[str, str]:
    """Return the words of the last column of the glossary, and the term for each.

    Those in italics have other uses, and those in parentheses are remarks.
    """
    return {
        f"{word}(?:e?s)?": f"{term} (docs/glossary.md)"
        for term, words in ROW.findall(glossary)
        for word in re.split(r", ", re.sub(r" \(.*?\)", "", words))
        if word.strip() and not word.startswith(("*", "-", "Not"))
    }


BANNED = [
    (re.compile(rf"(?<![a-z`])(?:{word})(?![a-z])", re.IGNORECASE), instead)
    for word, instead in (INSTEAD | replaced_words((ROOT / "docs/glossary.md").read_text())).items()
]
RIDDLES = {"What", "Who", "Whoever", "Whether", "Let", "Those"}

Finding = tuple[Path, int, str, str]


def banned_words(path: Path, text: str) -> Iterator[Finding]:
    """Yield the words that have a plain replacement, in code, comments, strings and prose alike."""
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, instead in BANNED:
            for match in pattern.finditer(line):
                yield path, number, match[0], instead


def unclear_docstrings(path: Path, tree: ast.Module) -> Iterator[Finding]:
    """Yield the docstrings that begin with a riddle or, in the product, with a long line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            words = (ast.get_docstring(node) or "-").partition("\n")[0].split()
            if words[0] in RIDDLES:
                instead = "begin with a verb (functions) or the noun (classes, modules)"
                yield path, node.body[0].lineno, f"{words[0]} …", instead
            if len(words) > LONGEST_FIRST_LINE and not path.is_relative_to(ROOT / "tests"):
                instead = f"at most {LONGEST_FIRST_LINE} words in the first line of a docstring"
                yield path, node.body[0].lineno, f"{' '.join(words[:4])} …", instead


def long_test_names(path: Path, tree: ast.Module) -> Iterator[Finding]:
    """Yield the names of tests that exceed the limit."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test_")
            and len(node.name) > LONGEST_TEST_NAME
        ):
            yield path, node.lineno, node.name, f"at most {LONGEST_TEST_NAME} characters"


def ambiguous_imports(trees: dict[Path, ast.Module]) -> Iterator[Finding]:
    """Yield imports by name, from another folder, of what several modules of the product define.

    These are classes and constants. A package may export a class, which gives it its one public name.
    """
    homes = defaultdict(set)
    for path, tree in trees.items():
        for name in names_defined(tree):
            homes[name].add(module_name(path))
    for path, tree in trees.items():
        if path.name == "__init__.py":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    modules = homes.get(alias.name, set())
                    if len(modules) > 1 and node.module in modules and not is_next_to(path, node.module):
                        instead = f"in {', '.join(sorted(modules))}: rename, or import the module"
                        yield path, node.lineno, alias.name, instead


def names_defined(tree: ast.Module) -> Iterator[str]:
    """Yield the classes and constants that a module defines."""
    for statement in tree.body:
        match statement:
            case ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                if name.isupper():
                    yield name


def is_next_to(path: Path, module: str) -> bool:
    """Return whether a file is in the folder of a module."""
    return module.rpartition(".")[0] == ".".join(path.relative_to(ROOT).parent.parts)


def module_name(path: Path) -> str:
    """Return the dotted name under which a file is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def is_checked(path: Path) -> bool:
    """Return whether a file holds words that a person wrote."""
    return path.suffix in CHECKED and path not in EXEMPT


def findings(paths: list[Path]) -> list[Finding]:
    """Return everything to rewrite in the files given."""
    found: list[Finding] = []
    for path in paths:
        text = path.read_text()
        found += banned_words(path, text)
        if path.suffix == ".py":
            tree = ast.parse(text)
            found += unclear_docstrings(path, tree)
            found += long_test_names(path, tree)
    product = {
        path: ast.parse(path.read_text())
        for package in PACKAGES
        for path in project_files(ROOT / package)
        if path.suffix == ".py"
    }
    found += (finding for finding in ambiguous_imports(product) if finding[0] in paths)
    return found


def main(arguments: list[str]) -> int:
    """Print what to rewrite below the paths given, by default everything; return the exit code."""
    roots = [Path(argument).resolve() for argument in arguments] or [ROOT]
    paths = [path for root in roots for path in project_files(root) if is_checked(path)]
    found = findings(paths)
    for path, line, word, instead in sorted(found):
        print(f"{path.relative_to(ROOT)}:{line}: {word!r}: {instead}")
    codespell = Path(sys.executable).with_name("codespell")
    spelling = subprocess.run([codespell, *(path.relative_to(ROOT) for path in paths)], cwd=ROOT, check=False)
    return int(bool(found) or spelling.returncode != 0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
