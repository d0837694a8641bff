"""The command `labse vocab`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import print_json, say
from labse.cli.options import JsonOption

__all__ = ["vocab"]


def vocab(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES",
            help="Pairs (.parquet, .tsv, .jsonl), of which both sides count, or text, one "
            "sentence a line; .gz and .zst too.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder to make. A vocabulary that this command made there before is replaced; "
            "anything else is refused.",
            show_default=False,
        ),
    ],
    vocab_size: Annotated[
        int, typer.Option(min=1, help="The most pieces (paper: 501,153).")
    ] = 120_000,
    smoothing_exponent: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Weight of languages: 0 makes all equal, 1 leaves them as they are."
        ),
    ] = 0.3,
    min_count: Annotated[
        float, typer.Option(min=0, help="The least smoothed count of a piece.")
    ] = 2,
    lang: Annotated[
        str | None,
        typer.Option(help="Language of the text files, such as de, deu or German."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Learn a word-piece vocabulary shared by all languages.

    [bold]Examples[/bold]

    labse vocab pairs.parquet --out vocab --vocab-size 20000

    labse vocab news.deu.txt.zst --lang deu --out vocab
    """
    from labse.vocab.folder import learn_vocabulary

    summary = learn_vocabulary(
        files,
        out,
        vocab_size=vocab_size,
        smoothing_exponent=smoothing_exponent,
        min_count=min_count,
        lang=lang,
    )
    if summary.num_pieces < vocab_size:
        say(f"the words give fewer than {vocab_size:,} pieces")
    say(
        f"{out}: {summary.num_pieces:,} pieces from {summary.num_word_tokens:,} words "
        f"({summary.num_words:,} distinct) of {summary.num_langs} languages"
    )
    if json:
        print_json({"out": str(out), **asdict(summary)})
