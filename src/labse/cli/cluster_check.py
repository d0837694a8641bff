"""The command `labse cluster check`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import print_json, print_table, say
from labse.cli.options import JsonOption, ModelOption
from labse.cluster.on_ray import RayExecutor
from labse.encoder.check.cluster_check import ClusterReport, check_cluster
from labse.errors import ResourceError

__all__ = ["check"]

_HEADERS = ("node", "CPUs", "GPUs", "memory", "free disk", "clock", "state")


def check(
    shared: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder that all nodes share, in which inputs or outputs are to lie. Small files "
            "are written there and removed.",
        ),
    ] = Path(),
    cluster: Annotated[
        str,
        typer.Option(
            "--cluster",
            metavar="auto|ray://HOST:PORT",
            help="Ray cluster: auto is the one that this machine belongs to.",
        ),
    ] = "auto",
    model: ModelOption = None,
    json: JsonOption = False,
) -> None:
    """Look at each node: versions, the model, the shared folder, free disk, its clock.

    The exit code is 4 if a node cannot do the work; a note says what may make its bytes differ.

    [bold]Examples[/bold]

    labse cluster check /shared/corpus

    labse cluster check /shared/corpus --cluster ray://head:10001 --model /shared/model --json
    """
    with RayExecutor(cluster) as executor:
        report = check_cluster(executor, shared, model=model)
    if json:
        print_json({"is_well": report.is_well, **asdict(report)})
    else:
        _print_report(report)
    if not report.is_well:
        failed = [node for node in report.nodes if node.problems]
        if not failed:
            raise ResourceError(f"--cluster {cluster}: it has no node")
        more = f" ({len(failed) - 1} more)" if len(failed) > 1 else ""
        raise ResourceError(f"node {failed[0].node}: {failed[0].problems[0]}{more}")


def _print_report(report: ClusterReport) -> None:
    rows = []
    for node in report.nodes:
        clock, free = node.clock_seconds, node.free_bytes
        rows.append(
            (
                node.node,
                str(node.num_cpus),
                str(node.num_gpus),
                f"{node.memory_bytes / 1e9:,.1f} GB",
                "" if free is None else f"{free / 1e9:,.0f} GB",
                "" if clock is None else f"{clock:+.0f} s",
                "; ".join(node.problems) or "ok",
            )
        )
    print_table(_HEADERS, rows, align="lrrrrrl")
    for node in report.nodes:
        for note in node.notes:
            say(f"note: {node.node} has {note}")
    say(
        f"labse {report.labse_version}; model {report.model_sha256[:12]}; {report.shared}: "
        f"{report.shared_free_bytes / 1e9:,.0f} GB free"
    )
