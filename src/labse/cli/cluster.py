"""The commands `labse cluster ...`: their group."""

import typer

from labse.cli.lazy import LazyGroup, add_rows

__all__ = ["app"]

_COMMANDS = (
    (
        "check",
        "cluster_check",
        "Look at each node: versions, the model, the shared folder, free disk, its clock.",
    ),
)

app = typer.Typer(
    cls=LazyGroup, help="Look at the nodes of a Ray cluster before work is sent to them."
)
add_rows(app, _COMMANDS)
