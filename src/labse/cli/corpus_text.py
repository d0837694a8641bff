"""The commands `labse corpus extract | split | convert | stats`."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from labse.cli.console import print_json, print_lines, progress, say
from labse.cli.options import (
    ClusterOption,
    ColumnsOption,
    JsonOption,
    SkipUnknownOption,
    SourceLangOption,
    TargetLangOption,
    WorkersOption,
    check_work,
    open_workers,
)
from labse.corpus.extract_files import extract_files
from labse.corpus.file_formats import file_lang
from labse.corpus.languages import canonical_tag, canonical_tags
from labse.corpus.pair_files import iter_pairs, iter_rows, orient_pairs
from labse.corpus.records import SentencePair
from labse.corpus.shards import expand_folders
from labse.corpus.statistics import count_corpus, draw_statistics, render_statistics, to_json
from labse.corpus.tables import parse_columns
from labse.corpus.writers import (
    Written,
    check_outputs,
    check_picture,
    write_moses,
    write_pairs,
)
from labse.errors import UsageError
from labse.files.atomic import check_writable, write_atomic
from labse.files.text import format_suffix

__all__ = ["convert", "extract", "split", "stats"]

T = TypeVar("T")
_STEP_ROWS = 1_000

FilesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="FILES",
        help="WET or WARC (.wet, .warc), a dump of Wikipedia (.xml), text, or tables with the "
        "column text (.tsv, .jsonl, .parquet); .bz2, .gz and .zst too.",
    ),
]
OutOption = Annotated[
    str,
    typer.Option(
        help="File to write: .jsonl, .tsv, .parquet or .txt (the text alone); - is standard output."
    ),
]
LayoutOption = Annotated[
    Literal["jsonl", "tsv", "txt"] | None,
    typer.Option(
        "--format",
        help="Format of standard output (by default jsonl), or of a file of another suffix.",
    ),
]
LangOption = Annotated[
    str | None,
    typer.Option(
        help="Language of all, in place of what the material says of itself; text says it by a "
        "name like news.de."
    ),
]
WorkOption = Annotated[
    Path | None,
    typer.Option(
        "--work",
        metavar="FOLDER",
        help="Keep the rows of each file here: after a stop the same command goes on.",
    ),
]
RawOption = Annotated[
    Literal["auto", "records", "wet", "warc", "wikipedia"],
    typer.Option("--from", help="What the files are; auto tells by the suffix."),
]


def extract(
    files: FilesArgument,
    out: OutOption = "-",
    layout: LayoutOption = None,
    lang: LangOption = None,
    raw: RawOption = "auto",
    work: WorkOption = None,
    workers: WorkersOption = 1,
    cluster: ClusterOption = None,
    json: JsonOption = False,
) -> None:
    """Take the text out of web archives and dumps, a paragraph a row.

    A row has text, lang, document (the address or title) and origin (the file); the rows of one
    document follow each other. What is left out is counted by reason on standard error.

    [bold]Examples[/bold]

    labse corpus extract CC-MAIN-1.warc.wet.gz --out pages.jsonl.zst

    labse corpus extract aawiki-pages-articles.xml.bz2 --out aawiki.parquet

    labse corpus extract CC-MAIN-*.warc.wet.gz --out pages.jsonl.zst --workers 8
    """
    _write(files, out, layout, lang, raw, work, workers, cluster, json, is_split=False)


def split(
    files: FilesArgument,
    out: OutOption = "-",
    layout: LayoutOption = None,
    lang: LangOption = None,
    raw: RawOption = "auto",
    work: WorkOption = None,
    workers: WorkersOption = 1,
    cluster: ClusterOption = None,
    json: JsonOption = False,
) -> None:
    """Split paragraphs into sentences, a sentence a row; of raw files too.

    No text is lost: the sentences of a paragraph joined equal it but for white space. How well the
    boundaries are found in each language stands in docs/corpus.md.

    [bold]Examples[/bold]

    labse corpus split pages.jsonl.zst --out sentences.parquet

    labse corpus split book.txt --lang th --format txt | head
    """
    _write(files, out, layout, lang, raw, work, workers, cluster, json, is_split=True)


def _write(
    files: list[str],
    out: str,
    layout: Literal["jsonl", "tsv", "txt"] | None,
    lang: str | None,
    raw: Literal["auto", "records", "wet", "warc", "wikipedia"],
    work: Path | None,
    workers: int,
    cluster: str | None,
    json: bool,
    *,
    is_split: bool,
) -> None:
    if json and out == "-":
        raise UsageError("--json tells of a file on standard output; give --out too")
    check_work(cluster, work)
    with open_workers(workers, cluster) as executor, progress("rows") as update:
        extracted = extract_files(
            files,
            out,
            layout=layout,
            lang=lang,
            raw_format=raw,
            is_split=is_split,
            workers=executor,
            work=work,
            on_progress=update,
        )
    written, drops = extracted.written, extracted.drops
    _tell(out, written, drops)
    if json:
        print_json(
            {
                "out": out,
                "num_rows": written.num_rows,
                "num_altered": written.num_altered,
                "langs": dict(extracted.langs.most_common()),
                "drops": dict(drops.most_common()),
            }
        )


def convert(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES",
            help="Pairs: .tmx, .xlf, .po, .tsv, .jsonl or .parquet files, folders of labse corpus "
            "clean or dedup, or two aligned text files.",
        ),
    ],
    out: Annotated[
        list[str],
        typer.Option(
            help="File to write: .tmx, .tsv, .jsonl or .parquet, .bz2, .gz and .zst too; given "
            "twice, two aligned text files. - is standard output.",
        ),
    ],
    layout: Annotated[
        Literal["jsonl", "tsv", "tmx"] | None,
        typer.Option(
            "--format",
            help="Format of standard output (by default tsv), or of a file of another suffix.",
        ),
    ] = None,
    source_lang: Annotated[
        str | None,
        typer.Option(help="Language of the source, where no column tells."),
    ] = None,
    target_lang: Annotated[
        str | None,
        typer.Option(
            help="Language of the target, where no column tells; of a TMX, the only one to take.",
        ),
    ] = None,
    columns: ColumnsOption = None,
    skip_unknown: SkipUnknownOption = False,
    json: JsonOption = False,
) -> None:
    """Write pairs in another format: TMX, TSV, JSONL, Parquet or two aligned text files.

    Columns beside source, target and their languages are left out, and told. Two text files named
    after languages (news.de news.en) take the pairs of these two, each side in its file.

    [bold]Examples[/bold]

    labse corpus convert memory.tmx --out pairs.tsv

    labse corpus convert news.de news.en --source-lang de --target-lang en --out news.tmx.gz

    labse corpus convert wikimatrix.tsv.gz --columns source=2,target=3 --source-lang de
    --target-lang en --out pairs.tsv
    """
    if len(out) > 2:
        raise UsageError("give --out once, or twice for two aligned text files")
    if json and "-" in out:
        raise UsageError("--json tells of a file on standard output; give --out another name")
    if len(out) == 2 and layout is not None:
        raise UsageError("two aligned text files have no other format; leave out --format")
    if len(out) == 1:
        check_outputs(out[0], inputs=files, layout=layout)
    for number, name in enumerate(out if len(out) == 2 else ()):
        check_writable(name, inputs=(*files, *out[:number]))
    files = expand_folders(files)
    source_lang, target_lang = canonical_tags((source_lang, target_lang))
    names = parse_columns(columns)
    drops: Counter[str] = Counter()
    langs = (file_lang(out[0]), file_lang(out[-1])) if len(out) == 2 else (None, None)
    if any(format_suffix(file) == ".tmx" for file in files):  # Its languages are to be chosen.
        source_lang, target_lang = source_lang or langs[0], target_lang or langs[1]
    pairs: Iterable[SentencePair] = iter_pairs(
        files,
        source_lang=source_lang,
        target_lang=target_lang,
        drops=drops,
        tell=say,
        skip_unknown=skip_unknown,
        columns=names,
    )
    if len(out) == 2:
        pairs = orient_pairs(pairs, langs, drops)
        written = write_moses(out[0], out[1], _count(pairs, "pairs"))
    else:
        written = write_pairs(out[0], _count(pairs, "pairs"), layout=layout)
    _tell(" ".join(out), written, drops)
    if json:
        print_json(
            {"out": out, "num_rows": written.num_rows, "num_altered": written.num_altered}
            | {"drops": dict(drops.most_common())}
        )


def stats(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES",
            help="Sentences (text, subtitles, or tables with the column text) and pairs (.tmx, "
            ".xlf, .po, or tables with source and target, or english and text).",
        ),
    ],
    lang: Annotated[
        str | None,
        typer.Option(
            help="Language of sentences that do not say theirs; without it, that of text in a file "
            "named like news.de, else und.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Picture to draw, .png: sentences and pairs by language, lengths, scripts. Needs "
            "matplotlib: the extra plot.",
        ),
    ] = None,
    source_lang: SourceLangOption = None,
    target_lang: TargetLangOption = None,
    columns: ColumnsOption = None,
    skip_unknown: SkipUnknownOption = False,
    json: JsonOption = False,
) -> None:
    """Count sentences and pairs by language, their lengths and scripts (the paper's figure 1).

    [bold]Examples[/bold]

    labse corpus stats sentences.parquet pairs.tsv --out corpus.png

    labse corpus stats pairs.parquet --json
    """
    check_picture(out, inputs=files)
    files = expand_folders(files)
    if lang is not None:
        canonical_tag(lang)
    drops: Counter[str] = Counter()
    rows = iter_rows(
        files,
        lang=lang,
        langs=canonical_tags((source_lang, target_lang)),
        drops=drops,
        skip_unknown=skip_unknown,
        columns=parse_columns(columns),
    )
    statistics = count_corpus(_count(rows, "rows"))
    if json:
        print_json({**to_json(statistics), "drops": dict(drops)})
    else:
        print_lines(render_statistics(statistics), None)
    if out is not None:
        with write_atomic(out) as stream:
            stream.write(draw_statistics(statistics))
        say(f"{out}")
    for reason, number in drops.most_common():
        say(f"left out: {number:,} ({reason})")


# ---- what the commands share -----------------------------------------------------------------


def _count(rows: Iterable[T], label: str) -> Iterator[T]:
    """Passes rows on while a progress bar counts them."""
    with progress(label) as update:
        update(0)
        for number, row in enumerate(rows, start=1):
            yield row
            if number % _STEP_ROWS == 0:
                update(number)


def _tell(out: str, written: Written, drops: Counter[str]) -> None:
    if written.num_altered:
        say(f"{written.num_altered:,} rows hold a character that the format cannot, replaced")
    for reason, number in drops.most_common():
        say(f"left out: {number:,} ({reason})")
    say(f"{out}: {written.num_rows:,} rows")
