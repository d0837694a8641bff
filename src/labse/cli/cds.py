"""The commands `labse cds ...`: their group."""

import typer

from labse.cli.lazy import LazyGroup, add_rows

__all__ = ["app"]

_COMMANDS = (
    (
        "train",
        "cds_train",
        "Learn word models of trusted pairs and of a pool, and the chance that a pair is good.",
    ),
)

app = typer.Typer(
    cls=LazyGroup,
    help="Learn from trusted pairs which of a pool to keep (contrastive data selection).",
)
add_rows(app, _COMMANDS)
