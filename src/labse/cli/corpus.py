"""The commands `labse corpus ...`: their group; each command stands in a module of its kind."""

import typer
from typer.core import TyperGroup

from labse.cli.corpus_clean import clean, decide
from labse.cli.corpus_dedup import dedup
from labse.cli.corpus_quality import app as quality_app
from labse.cli.corpus_text import convert, extract, split, stats

__all__ = ["app"]

_ORDER = (
    "extract",
    "split",
    "convert",
    "clean",
    "decide",
    "quality",
    "dedup",
    "stats",
)  # That of the pipeline.


class _Commands(TyperGroup):
    def list_commands(self, ctx: object) -> list[str]:
        return sorted(self.commands, key=_ORDER.index)


app = typer.Typer(
    cls=_Commands, help="Raw web text and bitext to clean sentences tagged with their language."
)
app.command()(extract)
app.command()(split)
app.command()(convert)
app.command()(clean)
app.command()(decide)
app.add_typer(quality_app, name="quality")
app.command()(dedup)
app.command()(stats)


@app.callback()
def _group() -> None:
    pass
