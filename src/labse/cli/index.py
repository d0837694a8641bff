"""The commands `labse index ...`: an index is made of files, changed, told about, compacted."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from typer.core import TyperGroup

from labse.cli.console import print_json, progress, say
from labse.cli.options import (
    ClusterOption,
    JsonOption,
    MemoryOption,
    ModelOption,
    ThreadsOption,
    open_workers,
    parse_size,
)
from labse.corpus.readers import read_texts
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import UsageError
from labse.index.copy_index import copy_index
from labse.index.embedding_index import EmbeddingIndex
from labse.index.index_files import IndexedFiles, IndexTasks, add_files, index_files
from labse.index.read_files import RowOptions

__all__ = ["add", "app", "build", "compact", "copy", "delete", "info"]


class _BuildUnlessNamed(TyperGroup):
    """Takes `labse index FILE` for `labse index build FILE`."""

    def parse_args(self, ctx, args):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        """Parses as a group does, with the name of the command put in if there is none."""
        if args and args[0] not in (*self.commands, "--help", "-h"):
            args = ["build", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_BuildUnlessNamed,
    help="Keep texts with their vectors in an index, which labse search asks.",
    rich_markup_mode="rich",
)

StoreArgument = Annotated[
    str, typer.Argument(metavar="STORE", help="Folder of the index, or address of a server.")
]
_FILES = typer.Argument(
    metavar="FILE",
    help="Text, one sentence a line, or .tsv, .jsonl, .parquet with a column text, and id, lang "
    "and others if there are; .gz, .bz2 and .zst too; - is standard input.",
)
ColumnOption = Annotated[
    str | None, typer.Option(help="Column of the texts; without it, text (of .po, source).")
]
LangOption = Annotated[
    str | None,
    typer.Option(
        help="Language of all rows. Without it, that of a column lang, or of text in a file named "
        "like news.de."
    ),
]
MetadataOption = Annotated[
    str | None,
    typer.Option(metavar="NAMES", help="Columns to keep, commas between; without it, all others."),
]
VectorsWorkOption = Annotated[
    Path | None,
    typer.Option(
        "--work",
        metavar="FOLDER",
        help="Folder that all nodes of --cluster see, where vectors wait to be stored; without it, "
        "STORE itself.",
    ),
]
CompactOption = Annotated[
    bool,
    typer.Option(
        "--compact/--no-compact",
        help="Compact at the end, so that searches are fast. Leave it to the last of many calls.",
    ),
]


@app.command()
def build(
    files: Annotated[list[str], _FILES],
    out: Annotated[
        str,
        typer.Option(metavar="STORE", help="Folder to make, or address of a server."),
    ],
    model: ModelOption = None,
    threads: ThreadsOption = None,
    lang: LangOption = None,
    column: ColumnOption = None,
    metadata: MetadataOption = None,
    compact: CompactOption = True,
    memory: MemoryOption = "1GB",
    cluster: ClusterOption = None,
    work: VectorsWorkOption = None,
    json: JsonOption = False,
) -> None:
    """Make an index of files; labse index FILE --out STORE is short for it.

    Stopped or killed, the same command goes on: what was stored stays. Every row has an id, of a
    column id or else the path and line, such as news.de:12.

    [bold]Examples[/bold]

    labse index news.de news.en --out news.index

    labse index build articles.jsonl --out articles.index --metadata year,source

    labse index /shared/news.jsonl --out /shared/news.index --cluster auto
    """
    num_bytes, options = parse_size(memory), _row_options(lang, column, metadata)
    with (
        _open_tasks(cluster, work) as tasks,
        progress("index", unit="rows") as on_progress,
    ):
        done = index_files(
            files,
            out,
            encoder=lambda: SentenceEncoder(model, threads=threads),
            model=None if model is None else str(model),
            options=options,
            memory_bytes=num_bytes,
            compact=compact,
            tasks=tasks,
            on_progress=on_progress,
        )
    _tell(done, json)


@app.command()
def add(
    store: StoreArgument,
    files: Annotated[list[str], _FILES],
    model: ModelOption = None,
    threads: ThreadsOption = None,
    lang: LangOption = None,
    column: ColumnOption = None,
    metadata: MetadataOption = None,
    compact: CompactOption = True,
    memory: MemoryOption = "1GB",
    cluster: ClusterOption = None,
    work: VectorsWorkOption = None,
    json: JsonOption = False,
) -> None:
    """Add the rows of files to an index; a row whose id is there is replaced.

    The model is that of the index; with --model it must be the same.

    [bold]Examples[/bold]

    labse index add news.index monday.de monday.en

    zcat more.txt.gz | labse index add news.index - --lang fr
    """
    num_bytes, options = parse_size(memory), _row_options(lang, column, metadata)
    with (
        _open_tasks(cluster, work) as tasks,
        _open(store, model, threads, num_bytes) as index,
        progress("add", unit="rows") as on_progress,
    ):
        done = add_files(
            index,
            files,
            options=options,
            memory_bytes=num_bytes,
            compact=compact,
            tasks=tasks,
            on_progress=on_progress,
        )
    _tell(done, json)


@app.command()
def delete(
    store: StoreArgument,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Ids of the rows; - reads them.")
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(metavar="CONDITION", help="Delete the rows for which this is true."),
    ] = None,
) -> None:
    """Delete rows by their ids, or by a condition.

    labse index compact frees what they took on the disk.

    [bold]Examples[/bold]

    labse index delete news.index news.de:12 news.de:13

    labse index delete news.index --where "year < 2000"
    """
    if bool(ids) == (where is not None):
        raise UsageError("give ids, or --where and a condition")
    named = list(read_texts("-")) if ids == ["-"] else ids or []
    with EmbeddingIndex.open(store, wait_seconds=_WAIT_SECONDS) as index:
        num_deleted = index.delete(named, where=where)
        name, num_left = index.name, len(index)
    missing = len(set(named)) - num_deleted if named else 0
    told = f"; {missing:,} ids are not there" if missing else ""
    say(f"{name}: {num_deleted:,} rows deleted, {num_left:,} left{told}")


@app.command()
def copy(
    store: StoreArgument,
    other: Annotated[
        str, typer.Argument(metavar="OTHER", help="Where to: a folder, or address of a server.")
    ],
    compact: CompactOption = True,
    memory: MemoryOption = "1GB",
    json: JsonOption = False,
) -> None:
    """Copy an index to another place, such as from a folder to a server, or back.

    The vectors are copied, so no model is needed. OTHER is new, or an index of the same model: rows
    whose id is there are replaced. Stopped or killed, the same command goes on.

    [bold]Examples[/bold]

    labse index copy news.index qdrant://localhost:6333/news

    labse index copy postgresql://me@db/team?table=news news.index
    """
    num_bytes = parse_size(memory)
    with progress("copy", unit="rows") as on_progress:
        done = copy_index(
            store,
            other,
            memory_bytes=num_bytes,
            compact=compact,
            wait_seconds=_WAIT_SECONDS,
            on_progress=on_progress,
        )
    say(
        f"{done.path}: {done.num_copied:,} rows copied, {done.num_there:,} were there; "
        f"{done.num_rows:,} in the index"
    )
    if json:
        print_json(asdict(done))


@app.command()
def info(store: StoreArgument, json: JsonOption = False) -> None:
    """Tell how many rows an index has, of which model, and how it is searched.

    [bold]Examples[/bold]

    labse index info news.index
    """
    with EmbeddingIndex.open(store, wait_seconds=_WAIT_SECONDS) as index:
        name, state, header = index.name, index.info(), index.header
    if json:
        print_json(asdict(state) | asdict(header))
        return
    kind = "a graph" if state.is_graph else "a scan"
    rest = state.num_rows - state.num_compacted
    size = "" if state.num_bytes is None else f", {state.num_bytes / 2**20:,.1f} MiB"
    print(f"{name}: {state.num_rows:,} rows{size}, {state.engine}")
    print(f"  model    {header.model or 'the one that comes with labse'} ({header.model_sha256})")
    print(f"  vectors  {header.embedding_size} values")
    print(f"  columns  id, text, lang{''.join(f', {name}' for name in header.columns)}")
    print(f"  search   {kind} of {state.num_compacted:,} compacted rows, and {rest:,} as added")


@app.command()
def compact(
    store: StoreArgument,
    graph: Annotated[
        bool | None,
        typer.Option(
            "--graph/--scan",
            help="Build a graph, which takes long and makes questions to a million rows fast but "
            "may miss one of fifty; or scan, which misses hardly any. Without either, as before.",
            show_default=False,
        ),
    ] = None,
    memory: MemoryOption = "1GB",
) -> None:
    """Free what was deleted, and make searches fast.

    [bold]Examples[/bold]

    labse index compact news.index

    labse index compact news.index --graph
    """
    num_bytes = parse_size(memory)
    with EmbeddingIndex.open(store, memory_bytes=num_bytes, wait_seconds=_WAIT_SECONDS) as index:
        index.compact(graph=graph)
        name, state = index.name, index.info()
    if state.num_compacted:
        say(f"{name}: {state.num_compacted:,} of {state.num_rows:,} rows compacted")
    else:
        say(f"{name}: {state.num_rows:,} rows, which are few: they are scanned as they are")


_WAIT_SECONDS = 2.0


def _open(store: str, model: Path | None, threads: int | None, num_bytes: int) -> EmbeddingIndex:
    encoder = None if model is None else SentenceEncoder(model, threads=threads)
    return EmbeddingIndex.open(
        store,
        encoder=encoder,
        memory_bytes=num_bytes,
        wait_seconds=_WAIT_SECONDS,
        threads=threads,
    )


@contextmanager
def _open_tasks(cluster: str | None, work: Path | None) -> Iterator[IndexTasks | None]:
    """Gives who embeds the rows, for the block; None: this process."""
    if work is not None and cluster is None:
        raise UsageError("--work is for the vectors of --cluster; leave it out")
    with open_workers(1, cluster) as executor:
        yield None if isinstance(executor, int) else IndexTasks(executor, work)


def _row_options(lang: str | None, column: str | None, metadata: str | None) -> RowOptions:
    names = None if metadata is None else tuple(filter(None, metadata.split(",")))
    return RowOptions(column, lang, names)


def _tell(done: IndexedFiles, json: bool) -> None:
    resumed = f", {done.num_resumed:,} of them by an earlier call" if done.num_resumed else ""
    say(
        f"{done.path}: {done.num_read:,} rows read{resumed}: {done.num_added:,} added, "
        f"{done.num_replaced:,} replaced, {done.num_empty:,} empty and left out; "
        f"{done.num_rows:,} in the index"
    )
    if done.num_truncated:
        say(f"{done.num_truncated:,} texts are longer than the model takes, and were cut")
    if json:
        print_json(asdict(done))
