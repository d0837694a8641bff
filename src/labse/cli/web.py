"""The commands `labse web ...`: their group; the commands stand in `web_stages`."""

import typer

from labse.cli.lazy import LazyGroup, add_rows

__all__ = ["app"]

# In the order of the pipeline.
_COMMANDS = (
    ("pages", "web_stages", "Read web archives or HTML: pages with their sentences and links."),
    ("pairs", "web_stages", "Find the pages that are one document in two languages."),
    ("align", "web_stages", "Align the sentences of these pages."),
    ("bitext", "web_stages", "Score the sentence pairs, leave out copies, and write a release."),
    ("run", "web_stages", "All four, from archives to a release."),
)

app = typer.Typer(
    cls=LazyGroup, help="From web pages to bitext, with the addresses that each pair comes from."
)
add_rows(app, _COMMANDS)
