"""The Dockerfile and the compose file, taken apart."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "docker/Dockerfile"
COMPOSE_FILE = ROOT / "docker/compose.yaml"
FIRST_START = ROOT / "docker/first_start.py"
DEPENDENCIES = {"queue_url": "msgqueue", "publisher_url": "publisher", "subscriber_url": "subscriber"}


class Instruction(NamedTuple):
    name: str
    argument: str


class Stage(NamedTuple):
    """One ``FROM … AS name``, with the instructions of the stages that it stands on first."""

    name: str
    instructions: list[Instruction]

    def arguments(self, name: str) -> list[str]:
        return [instruction.argument for instruction in self.instructions if instruction.name == name]

    def last(self, name: str) -> str:
        return self.arguments(name)[-1]

    def environment(self) -> dict[str, str]:
        pairs = (pair for argument in self.arguments("ENV") for pair in argument.split())
        return dict(pair.split("=", 1) for pair in pairs)


def read_stages() -> dict[str, Stage]:
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    stages: dict[str, Stage] = {}
    stage = Stage("", [])
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        instruction = Instruction(*line.split(None, 1))
        if instruction.name == "FROM":
            source, _, name = instruction.argument.split()
            inherited = stages[source].instructions if source in stages else []
            stage = stages[name] = Stage(name, [*inherited])
        stage.instructions.append(instruction)
    return stages


STAGES = read_stages()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_FILE.read_text())


def copied_sources() -> set[str]:
    """Return the paths that the Dockerfile copies from the source tree."""
    arguments = (argument for stage in STAGES.values() for argument in stage.arguments("COPY"))
    return {
        source
        for argument in arguments
        if not argument.startswith("--from")
        for source in argument.split()[:-1]
    }


def mounts(service: str) -> dict[str, str]:
    """Volume by volume, where a service of the compose file mounts it (``/path`` or ``/path:ro``)."""
    return dict(mount.split(":", 1) for mount in COMPOSE["services"][service]["volumes"])
