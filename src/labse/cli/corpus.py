"""The commands `labse corpus ...`: their group; each command stands in a module of its kind."""

import typer

from labse.cli.lazy import LazyGroup, add_rows

__all__ = ["app"]

# In the order of the pipeline.
_COMMANDS = (
    ("extract", "corpus_text", "Take the text out of web archives and dumps, a paragraph a row."),
    (
        "split",
        "corpus_text",
        "Split paragraphs into sentences, a sentence a row; of raw files too.",
    ),
    (
        "convert",
        "corpus_text",
        "Write pairs in another format: TMX, TSV, JSONL, Parquet or two aligned text files.",
    ),
    (
        "clean",
        "corpus_clean",
        "Score every row, then keep those within the bounds; each drop has a reason and is "
        "counted.",
    ),
    (
        "decide",
        "corpus_clean",
        "Decide anew, with other bounds, from the scores that stand in a folder.",
    ),
    ("quality", "corpus_quality", "A model that tells clean prose from noise: train it, apply it."),
    ("dedup", "corpus_dedup", "Keep each row once, across all files."),
    (
        "overlap",
        "corpus_overlap",
        "Drop the training rows that stand in test sets, by their letters and digits.",
    ),
    (
        "stats",
        "corpus_text",
        "Count sentences and pairs by language, their lengths and scripts (the paper's figure 1).",
    ),
)

app = typer.Typer(
    cls=LazyGroup, help="Raw web text and bitext to clean sentences tagged with their language."
)
add_rows(app, _COMMANDS)
