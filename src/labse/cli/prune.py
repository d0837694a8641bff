"""The command `labse prune`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import print_json, say
from labse.cli.options import JsonOption
from labse.encoder.export.prune import prune_folder

__all__ = ["prune"]


def prune(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model folder.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    langs: Annotated[
        str | None,
        typer.Option(
            metavar="de,ru",
            help="Keep all pieces in the scripts of these languages. With --text, the sides of "
            "pairs that are read.",
        ),
    ] = None,
    text: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Keep the pieces that this text needs, one sentence a line, or pairs (.parquet, "
            ".tsv, .jsonl); may be given many times.",
        ),
    ] = None,
    min_count: Annotated[
        int, typer.Option(min=1, help="Keep a piece that --text needs so many times.")
    ] = 1,
    held_out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Other text, on which the change is counted; without it, the sentences that come "
            "with labse.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make a model smaller: leave out the pieces that some text never needs.

    The vectors of text whose pieces were all kept stay the same.

    [bold]Examples[/bold]

    labse prune LaBSE small --langs de,ru

    labse prune LaBSE smaller --langs de,ru --text pairs.parquet --held-out news.txt
    """
    report = prune_folder(
        model,
        out,
        langs=[lang.strip() for lang in (langs or "").split(",") if lang.strip()],
        text=text or [],
        min_count=min_count,
        held_out=held_out,
    )
    share = report.changed_tokens / max(report.held_out_tokens, 1)
    say(
        f"{out}: {report.vocab_size_after:,} of {report.vocab_size_before:,} pieces, "
        f"{report.parameters_after:,} of {report.parameters_before:,} weights, "
        f"{report.num_bytes_after:,} of {report.num_bytes_before:,} bytes"
    )
    say(
        f"held out: {100 * share:.2f} % of {report.held_out_tokens:,} tokens are in words that are "
        "cut otherwise now"
    )
    if json:
        print_json({**asdict(report), "path": str(out)})
