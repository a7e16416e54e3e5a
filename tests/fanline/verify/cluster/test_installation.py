"""``fanline verify --cluster``: two msgqueues on three NATS servers, during faults."""

import json
from pathlib import Path

import pytest

from fanline.verify.cluster.installation import TARGETS
from fanline.verify.plan import EVERYTHING
from tests.fanline.verify.test_verify import CALM, COMMAND, FEW, kinds, verified

# Each kind of process is killed, frozen or stopped, all of them together once, and connections to NATS fail.
STORM = ("--cluster", *FEW, "--seed", "1", "--duration", "45", "--every", "2")


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_a_cluster_keeps_its_promises(tmp_path: Path) -> None:
    """Nothing is lost, doubled or out of order while parts of a cluster fail (line 62)."""
    code, output, problems = await verified(tmp_path, *COMMAND, *STORM, "--json")
    report = json.loads(output)
    assert code == 0, (report["violations"], problems)
    hit = {target for targets in report["faults"].values() for target in targets}
    special = {target for _, target in TARGETS.special}
    assert hit <= {*TARGETS.services, *TARGETS.links, *special, EVERYTHING}
    assert any(target.startswith("nats-") for target in hit)
    assert any(target.startswith("msgqueue-") for target in hit)
    assert report["published"] == report["acked"] > 0


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("mistake", "expected"),
    [
        ("ack_at_publish", {"moved", "lost"}),
        ("one_replica", {"too-few-copies"}),
        ("own_clock", {"copies-differ"}),
    ],
)
async def test_a_broken_cluster_is_found(tmp_path: Path, mistake: str, expected: set[str]) -> None:
    """A mistake built into the msgqueues ends in its name and exit code 1, without any fault (line 62)."""
    code, output, problems = await verified(
        tmp_path, "tests.sabotage", mistake, "verify", "--cluster", *CALM, "--json"
    )
    assert code == 1, problems
    assert expected & kinds(json.loads(output))


async def test_a_cluster_is_not_what_runs_already(tmp_path: Path) -> None:
    """``--cluster`` starts one: it is refused with URLs, and with ``--hostile``."""
    for flags in (
        ("--hostile",),
        ("--no-faults", "--publisher-url", "wss://x:1", "--subscriber-url", "wss://x:2"),
    ):
        code, _, problems = await verified(tmp_path, *COMMAND, "--cluster", *flags)
        assert code == 2
        assert "--cluster starts a cluster" in problems
