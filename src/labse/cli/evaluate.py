"""The commands `labse evaluate ...`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from labse.cli.evaluate_all import evaluate_all
from labse.cli.measure import (
    BlockRowsOption,
    Measuring,
    MemoryOption,
    measuring,
    split_langs,
    to_bytes,
)
from labse.evaluation.aligned import read_aligned
from labse.evaluation.datasets import read_tatoeba
from labse.evaluation.retrieval import evaluate_retrieval
from labse.evaluation.sts import evaluate_sts, read_sts
from labse.evaluation.suite import evaluate_bucc_folder
from labse.evaluation.tables import build_un_report, build_xsim_report
from labse.evaluation.tatoeba import evaluate_tatoeba
from labse.evaluation.tatoeba_report import build_tatoeba_report
from labse.evaluation.un import evaluate_un_files
from labse.evaluation.xsim import evaluate_xsim_files

__all__ = ["app", "bucc", "retrieval", "sts", "tatoeba", "un", "xsim"]

app = typer.Typer(help="Score a model on public test sets, each score with its signature.")

LangsOption = Annotated[
    str | None,
    typer.Option(help="Only these languages, with commas: de,fr,zh.", show_default=False),
]
AlignedArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        help="Folder of aligned files named by language: deu.txt, eng.txt and so on.",
        show_default=False,
    ),
]
FilesOption = Annotated[
    str, typer.Option("--files", metavar="PATTERN", help="Files of the folder to take.")
]


@app.callback()
def _group() -> None:
    pass


@app.command()
@measuring
def tatoeba(
    options: Measuring,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder of LASER's sets: tatoeba.deu-eng.deu, tatoeba.deu-eng.eng and so on.",
            show_default=False,
        ),
    ],
    langs: LangsOption = None,
    memory: MemoryOption = None,
) -> None:
    """Tatoeba: is the nearest sentence of the other language the translation?

    P@1 in both directions, and the means over the paper's groups whose sets are all there.

    [bold]Examples[/bold]

    labse evaluate tatoeba data/tatoeba/v1

    labse evaluate tatoeba data/tatoeba/v1 --langs de,fr --model runs/tiny/run/model --json
    """
    sets = read_tatoeba(folder, split_langs(langs))
    measured = options.open()
    scores = evaluate_tatoeba(
        measured,
        sets,
        max_seq_length=measured.max_seq_length,
        memory_bytes=to_bytes(memory),
    )
    options.show(build_tatoeba_report(scores), measured)


@app.command()
@measuring
def bucc(
    options: Measuring,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder of the shared task: fr-en/fr-en.training.fr, .en, .gold and so on.",
            show_default=False,
        ),
    ],
    pairs: Annotated[
        str | None,
        typer.Option(help="Only these pairs, with commas: fr-en,de-en.", show_default=False),
    ] = None,
    block_rows: BlockRowsOption = 2048,
    memory: MemoryOption = None,
) -> None:
    """BUCC: find the translations hidden in two corpora of sentences without one.

    Forward and backward, by cosine and by margin. The threshold is tuned on the training split
    and tested on the test split, or, without test.gold, on halves of the training split; rows
    whose threshold is the best one of the tested split itself say "oracle".

    [bold]Examples[/bold]

    labse evaluate bucc data/bucc2018 --pairs de-en

    labse evaluate bucc data/bucc2018 --model runs/tiny/run/model --out reports/bucc
    """
    measured = options.open()
    report = evaluate_bucc_folder(
        measured,
        folder,
        split_langs(pairs),
        max_seq_length=measured.max_seq_length,
        block_rows=block_rows,
        memory_bytes=to_bytes(memory),
    )
    options.show(report, measured)


@app.command()
@measuring
def un(
    options: Measuring,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE", help="Sentences, such as UNv1.0.en-fr.en.", show_default=False
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET", help="Their translations, line by line.", show_default=False
        ),
    ],
    pair: Annotated[
        str | None,
        typer.Option(help="Languages, such as en-fr; else from the suffixes.", show_default=False),
    ] = None,
    distractors: Annotated[
        Path | None,
        typer.Option(help="Further sentences for the pool, one a line.", show_default=False),
    ] = None,
    queries: Annotated[
        int | None,
        typer.Option(min=1, help="Ask this many sources, evenly spread.", show_default=False),
    ] = None,
    shards: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the vectors of the pool, which stay there; else a temporary one.",
            show_default=False,
        ),
    ] = None,
    shard_rows: Annotated[int, typer.Option(min=1, help="Vectors in memory at a time.")] = 262_144,
    block_rows: BlockRowsOption = 2048,
) -> None:
    """UN: is the nearest sentence of a pool of any size the translation?

    The pool, targets and distractors, lies on disk as float16 shards, searched one at a time.

    [bold]Examples[/bold]

    labse evaluate un UNv1.0.en-fr.en UNv1.0.en-fr.fr --queries 100000 --shards pool
    """
    measured = options.open()
    score = evaluate_un_files(
        measured,
        source,
        target,
        shards,
        lang_pair=pair,
        max_seq_length=measured.max_seq_length,
        distractors=distractors,
        num_queries=queries,
        shard_rows=shard_rows,
        block_rows=block_rows,
    )
    options.show(build_un_report(score), measured)


@app.command()
@measuring
def xsim(
    options: Measuring,
    folder: AlignedArgument,
    target: Annotated[str, typer.Option(help="Language in which the others look.")] = "eng",
    langs: LangsOption = None,
    near_misses: Annotated[
        int,
        typer.Option(
            min=0,
            help="xsim++: numbers and names swapped in each target sentence, this many times "
            "each, and one negation; 0 leaves xsim++ out.",
        ),
    ] = 3,
    margin: Annotated[
        Literal["ratio", "distance", "absolute"], typer.Option(help="Score of a pair.")
    ] = "ratio",
    k: Annotated[int, typer.Option("-k", min=1, help="Neighbours on each side.")] = 4,
    seed: Annotated[int, typer.Option(help="Chooses the numbers and names.")] = 1,
    files: FilesOption = "*.txt",
    block_rows: BlockRowsOption = 2048,
    memory: MemoryOption = None,
) -> None:
    """Rate of errors of margin retrieval, without near-misses (xsim) and with (xsim++).

    Lower is better. Two targets of equal text count as one.

    [bold]Examples[/bold]

    labse evaluate xsim data/tico19 --langs fr,sw --target eng
    """
    chosen = split_langs(langs)
    lines = read_aligned(folder, chosen and [*chosen, target], pattern=files)
    measured = options.open()
    name = folder.resolve().name
    scores = evaluate_xsim_files(
        measured,
        lines,
        target,
        data=name,
        max_seq_length=measured.max_seq_length,
        per_kind=near_misses,
        seed=seed,
        margin=margin,
        k=k,
        block_rows=block_rows,
        memory_bytes=to_bytes(memory),
    )
    options.show(build_xsim_report(name, scores), measured)


@app.command()
@measuring
def retrieval(
    options: Measuring,
    folder: AlignedArgument,
    langs: LangsOption = None,
    files: FilesOption = "*.txt",
    block_rows: BlockRowsOption = 2048,
    memory: MemoryOption = None,
) -> None:
    """Every language of a folder of aligned files asks every other: P@1 of all pairs.

    A folder given to --out gets a heat map too.

    [bold]Examples[/bold]

    labse evaluate retrieval data/tico19 --langs eng,fr,sw,zh --out reports/tico19
    """
    lines = read_aligned(folder, split_langs(langs), pattern=files)
    measured = options.open()
    report = evaluate_retrieval(
        measured,
        lines,
        name=folder.resolve().name,
        max_seq_length=measured.max_seq_length,
        block_rows=block_rows,
        memory_bytes=to_bytes(memory),
    )
    options.show(report, measured)


@app.command()
@measuring
def sts(
    options: Measuring,
    tables: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE.tsv...",
            help="Two sentences and a score a line; a first line may name the columns sentence1, "
            "sentence2 and score among others.",
            show_default=False,
        ),
    ],
    memory: MemoryOption = None,
) -> None:
    """STS: do cosines order pairs of sentences as people do? Spearman's correlation.

    [bold]Examples[/bold]

    labse evaluate sts stsbenchmark-test.tsv
    """
    sets = [read_sts(path) for path in tables]
    measured = options.open()
    report = evaluate_sts(
        measured,
        sets,
        max_seq_length=measured.max_seq_length,
        memory_bytes=to_bytes(memory),
    )
    options.show(report, measured)


app.command(name="all")(evaluate_all)
