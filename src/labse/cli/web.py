"""The commands `labse web ...`: their group; they stand in `web_stages` and `web_bitext`."""

import typer

from labse.cli.lazy import LazyGroup, add_rows

__all__ = ["app"]

# In the order of the pipeline.
_COMMANDS = (
    ("pages", "web_stages", "Read web archives or HTML: pages with their sentences and links."),
    ("pairs", "web_stages", "Find the pages that are one document in two languages."),
    ("align", "web_stages", "Align the sentences of these pages."),
    ("mine", "web_stages", "Find translations among all sentences, whatever page they stand on."),
    ("bitext", "web_bitext", "Score the sentence pairs, leave out copies, and write a release."),
    ("report", "web_report", "Count pairs after each stage and text of each language."),
    ("run", "web_stages", "All of it, from archives to a release."),
)

app = typer.Typer(
    cls=LazyGroup, help="From web pages to bitext, with the addresses that each pair comes from."
)
add_rows(app, _COMMANDS)
