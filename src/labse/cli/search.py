"""The command `labse search`."""

from dataclasses import asdict
from typing import Annotated

import typer

from labse.cli.console import print_json, progress, say
from labse.cli.options import JsonOption, MemoryOption, ModelOption, ThreadsOption, parse_size
from labse.corpus.readers import read_texts
from labse.corpus.writers import to_cell
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import UsageError
from labse.index.embedding_index import EmbeddingIndex
from labse.index.near_equal import find_near_equal
from labse.index.rows import Hit, IndexRow, is_unicode

__all__ = ["search"]

_WAIT_SECONDS = 10.0


def search(
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="Folder of the index, or address of a server.")
    ],
    query: Annotated[
        str | None, typer.Argument(metavar="[QUERY]", help="Sentence in any language.")
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="File of sentences, or - for standard input."),
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Rows for each sentence, at most.")] = 10,
    lang: Annotated[str | None, typer.Option(help="Language of the rows, such as de.")] = None,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="CONDITION",
            help="Rows for which this is true, such as: year >= 2020 and source in (wiki, news).",
        ),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(
            min=-1, max=1, help="Least cosine of a row; of --dedup, of two rows (0.95 without it)."
        ),
    ] = None,
    dedup: Annotated[
        bool,
        typer.Option("--dedup", help="List groups of near-equal texts, in place of a search."),
    ] = False,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    memory: MemoryOption = "1GB",
    json: JsonOption = False,
) -> None:
    """Find the rows of an index that are nearest to a sentence, in any language.

    Each line has the cosine, the id, the language and the text; with --queries also the sentence,
    first. The conditions: docs/search.md.

    [bold]Examples[/bold]

    labse search news.index "Wo ist der Bahnhof?" --k 3

    labse search news.index --queries questions.txt --lang en --json

    labse search news.index --dedup --min-score 0.97
    """
    if sum((query is not None, queries is not None, dedup)) != 1:
        raise UsageError("give one of these: a sentence, --queries FILE, --dedup")
    num_bytes = parse_size(memory)
    if query is not None and not query.strip():
        raise UsageError("the sentence is empty, which is near to nothing")
    if query is not None and not is_unicode(query):
        raise UsageError("the sentence is not valid UTF-8; see which encoding the terminal has")
    sentences = [query] if query is not None else list(read_texts(queries)) if queries else []
    encoder = None if model is None else SentenceEncoder(model, threads=threads)
    with EmbeddingIndex.open(
        store,
        encoder=encoder,
        memory_bytes=num_bytes,
        wait_seconds=_WAIT_SECONDS,
        threads=threads,
    ) as index:
        if dedup:
            bound = 0.95 if min_score is None else min_score
            with progress("compare", unit="products") as on_progress:
                groups = find_near_equal(
                    index,
                    min_score=bound,
                    where=where,
                    lang=lang,
                    memory_bytes=num_bytes,
                    on_progress=on_progress,
                )
            _print_groups(groups, json)
            return
        found = index.search(sentences, k, where=where, lang=lang)

    least = -2.0 if min_score is None else min_score
    if not json:
        print("\t".join((["query"] if queries else []) + ["score", "id", "lang", "text"]))
    for sentence, hits in zip(sentences, found, strict=True):
        for hit in hits:
            if hit.score >= least:
                _print_hit(hit, sentence, is_many=queries is not None, json=json)


def _print_hit(hit: Hit, sentence: str, *, is_many: bool, json: bool) -> None:
    if json:
        print_json({"query": sentence, **asdict(hit), "score": round(hit.score, 6)})
        return
    cells = [f"{hit.score:.4f}", hit.id, hit.lang, hit.text]
    print("\t".join(to_cell(cell) for cell in ([sentence] if is_many else []) + cells))


def _print_groups(groups: list[list[IndexRow]], json: bool) -> None:
    if not json:
        print("group\tid\tlang\ttext")
    for number, group in enumerate(groups, start=1):
        if json:
            print_json({"group": number, "rows": [asdict(row) for row in group]})
            continue
        for row in group:
            print("\t".join((str(number), *map(to_cell, (row.id, row.lang, row.text)))))
    num_rows = sum(map(len, groups))
    say(f"{len(groups):,} groups of {num_rows:,} rows")
