"""``fanline up``: starts one of each service, or a cluster."""

import asyncio
from contextlib import ExitStack
from typing import Annotated

import typer

from fanline import setting_sources
from fanline.cli.up.cluster import Cluster
from fanline.cli.up.pipeline import PipelineSettings, up


def start_all(
    flags: Annotated[list[str] | None, typer.Argument(metavar="[SETTINGS]")] = None,
    is_cluster: Annotated[bool, typer.Option("--cluster")] = False,
) -> None:
    """Start the whole pipeline on this machine; --help lists the settings.

    All services share the settings.
    """
    sources = setting_sources.parse(
        flags or [],
        program="fanline up",
        description="Start the whole pipeline on this machine; with --cluster, two of each service and three"
        " NATS servers, in var/cluster.",
        listed=setting_sources.all_fields(),
    )
    with ExitStack() as reserved:
        if is_cluster:
            asyncio.run(Cluster.read(sources, reserved).run(flags or []))
        else:
            asyncio.run(up(PipelineSettings.read(sources, reserved), flags or []))
