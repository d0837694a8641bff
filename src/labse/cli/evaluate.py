"""The commands `labse evaluate ...`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from labse.cli.console import say
from labse.cli.measure import (
    BlockRowsOption,
    MeasuredModelOption,
    ReportOption,
    measure,
    show_report,
    split_langs,
)
from labse.cli.options import JsonOption, PrecisionOption, RuntimeOption, ThreadsOption

if TYPE_CHECKING:
    from labse.evaluation.report import Report

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
def tatoeba(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder of LASER's sets: tatoeba.deu-eng.deu, tatoeba.deu-eng.eng and so on.",
            show_default=False,
        ),
    ],
    model: MeasuredModelOption = None,
    langs: LangsOption = None,
    out: ReportOption = None,
    json: JsonOption = False,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Tatoeba: is the nearest sentence of the other language the translation?

    P@1 in both directions, and the means over the paper's groups whose sets are all there.

    [bold]Examples[/bold]

    labse evaluate tatoeba data/tatoeba/v1

    labse evaluate tatoeba data/tatoeba/v1 --langs de,fr --model runs/tiny/run/model --json
    """
    from labse.evaluation.datasets import read_tatoeba
    from labse.evaluation.tatoeba import evaluate_tatoeba
    from labse.evaluation.tatoeba_report import build_tatoeba_report

    sets = read_tatoeba(folder, split_langs(langs))
    measured = measure(model, precision, runtime, threads, out)
    scores = evaluate_tatoeba(measured, sets, max_seq_length=measured.max_seq_length)
    show_report(build_tatoeba_report(scores), measured, json, out)


@app.command()
def bucc(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder of the shared task: fr-en/fr-en.training.fr, .en, .gold and so on.",
            show_default=False,
        ),
    ],
    model: MeasuredModelOption = None,
    pairs: Annotated[
        str | None,
        typer.Option(help="Only these pairs, with commas: fr-en,de-en.", show_default=False),
    ] = None,
    out: ReportOption = None,
    json: JsonOption = False,
    block_rows: BlockRowsOption = 2048,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """BUCC: find the translations hidden in two corpora of sentences without one.

    Forward and backward, by cosine and by margin. The threshold is tuned on the training split
    and tested on the test split, or, without test.gold, on halves of the training split; rows
    whose threshold is the best one of the tested split itself say "oracle".

    [bold]Examples[/bold]

    labse evaluate bucc data/bucc2018 --pairs de-en

    labse evaluate bucc data/bucc2018 --model runs/tiny/run/model --out reports/bucc
    """
    from labse.evaluation.suite import evaluate_bucc_folder

    measured = measure(model, precision, runtime, threads, out)
    report = evaluate_bucc_folder(
        measured,
        folder,
        split_langs(pairs),
        max_seq_length=measured.max_seq_length,
        block_rows=block_rows,
    )
    show_report(report, measured, json, out)


@app.command()
def un(
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
    model: MeasuredModelOption = None,
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
    out: ReportOption = None,
    json: JsonOption = False,
    block_rows: BlockRowsOption = 2048,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """UN: is the nearest sentence of a pool of any size the translation?

    The pool, targets and distractors, lies on disk as float16 shards, searched one at a time.

    [bold]Examples[/bold]

    labse evaluate un UNv1.0.en-fr.en UNv1.0.en-fr.fr --queries 100000 --shards pool
    """
    from labse.evaluation.tables import build_un_report
    from labse.evaluation.un import evaluate_un_files

    measured = measure(model, precision, runtime, threads, out)
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
    show_report(build_un_report(score), measured, json, out)


@app.command()
def xsim(
    folder: AlignedArgument,
    model: MeasuredModelOption = None,
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
    out: ReportOption = None,
    json: JsonOption = False,
    block_rows: BlockRowsOption = 2048,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Rate of errors of margin retrieval, without near-misses (xsim) and with (xsim++).

    Lower is better. Two targets of equal text count as one.

    [bold]Examples[/bold]

    labse evaluate xsim data/tico19 --langs fr,sw --target eng
    """
    from labse.evaluation.aligned import read_aligned
    from labse.evaluation.tables import build_xsim_report
    from labse.evaluation.xsim import evaluate_xsim_files

    chosen = split_langs(langs)
    lines = read_aligned(folder, chosen and [*chosen, target], pattern=files)
    measured = measure(model, precision, runtime, threads, out)
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
    )
    show_report(build_xsim_report(name, scores), measured, json, out)


@app.command()
def retrieval(
    folder: AlignedArgument,
    model: MeasuredModelOption = None,
    langs: LangsOption = None,
    files: FilesOption = "*.txt",
    out: ReportOption = None,
    json: JsonOption = False,
    block_rows: BlockRowsOption = 2048,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Every language of a folder of aligned files asks every other: P@1 of all pairs.

    A folder given to --out gets a heat map too.

    [bold]Examples[/bold]

    labse evaluate retrieval data/tico19 --langs eng,fr,sw,zh --out reports/tico19
    """
    from labse.evaluation.aligned import read_aligned
    from labse.evaluation.retrieval import evaluate_retrieval

    lines = read_aligned(folder, split_langs(langs), pattern=files)
    measured = measure(model, precision, runtime, threads, out)
    report = evaluate_retrieval(
        measured,
        lines,
        name=folder.resolve().name,
        max_seq_length=measured.max_seq_length,
        block_rows=block_rows,
    )
    show_report(report, measured, json, out)


@app.command()
def sts(
    tables: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE.tsv...",
            help="Two sentences and a score a line; a first line may name the columns sentence1, "
            "sentence2 and score among others.",
            show_default=False,
        ),
    ],
    model: MeasuredModelOption = None,
    out: ReportOption = None,
    json: JsonOption = False,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """STS: do cosines order pairs of sentences as people do? Spearman's correlation.

    [bold]Examples[/bold]

    labse evaluate sts stsbenchmark-test.tsv
    """
    from labse.evaluation.sts import evaluate_sts, read_sts

    sets = [read_sts(path) for path in tables]
    measured = measure(model, precision, runtime, threads, out)
    report = evaluate_sts(measured, sets, max_seq_length=measured.max_seq_length)
    show_report(report, measured, json, out)


@app.command(name="all")
def everything(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Holds folders of test sets, known by their file names.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder that gets a report for each set.", show_default=False)
    ],
    model: MeasuredModelOption = None,
    block_rows: BlockRowsOption = 2048,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """All protocols that the test sets of a folder allow, each with its defaults.

    [bold]Examples[/bold]

    labse evaluate all data/eval --out reports/today
    """
    from labse.evaluation.report import check_destination
    from labse.evaluation.suite import evaluate_task, find_tasks

    tasks = find_tasks(folder)
    measured = measure(model, precision, runtime, threads, out)
    for task in tasks:
        say(f"{task.name}: {task.folder}")
        report: Report = evaluate_task(
            measured, task, max_seq_length=measured.max_seq_length, block_rows=block_rows
        )
        out.mkdir(exist_ok=True)
        check_destination(out / task.name)
        show_report(report, measured, False, out / task.name)
