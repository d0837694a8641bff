"""The commands `labse evaluate ...`."""

from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import progress, say
from labse.cli.measure import (
    BlockRowsOption,
    EncoderOption,
    MeasuredEncoder,
    ReportOption,
    measure,
    parse_memory,
    show_report,
    split_codes,
)
from labse.cli.options import (
    JsonOption,
    KOption,
    OptionalMemoryOption,
    PrecisionOption,
    RuntimeOption,
    ThreadsOption,
)
from labse.evaluation.evaluate import EvaluationOptions
from labse.evaluation.evaluate import evaluate_all as evaluate_sets
from labse.mining.margin import Margin

__all__ = ["app", "bucc", "evaluate_all", "retrieval", "sts", "tatoeba", "un", "xsim"]

app = typer.Typer(help="Score a model on public test sets, each score with its signature.")

LangsOption = Annotated[
    str | None,
    typer.Option(help="Only these languages, with commas: de,fr,zh."),
]
AlignedArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER",
        help="Folder of aligned files named by language: deu.txt, eng.txt and so on.",
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
        ),
    ],
    langs: LangsOption = None,
    memory: OptionalMemoryOption = None,
    model: EncoderOption = None,
    out: ReportOption = None,
    json: JsonOption = False,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Tatoeba: is the nearest sentence of the other language the translation?

    P@1 in both directions, and the means over the paper's groups. 14, 36, 82 and 112 are their
    numbers of languages. A group counts if all its sets are there; each language counts once.

    [bold]Examples[/bold]

    labse evaluate tatoeba data/tatoeba/v1

    labse evaluate tatoeba data/tatoeba/v1 --langs de,fr --json
    """
    options = EvaluationOptions(langs=split_codes(langs), memory_bytes=parse_memory(memory))
    measured = MeasuredEncoder(model, precision, runtime, threads)
    measure("tatoeba", [folder], options, measured, out=out, json=json)


@app.command()
def bucc(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder of the shared task: fr-en/fr-en.training.fr, .en, .gold and so on.",
        ),
    ],
    pairs: Annotated[
        str | None,
        typer.Option(help="Only these pairs, with commas: fr-en,de-en."),
    ] = None,
    block_rows: BlockRowsOption = 2048,
    memory: OptionalMemoryOption = None,
    model: EncoderOption = None,
    out: ReportOption = None,
    json: JsonOption = False,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """BUCC: find the translations hidden in two corpora of sentences without one.

    Forward and backward, by cosine and by margin. The threshold is tuned on the training split and
    tested on the test split. Without test.gold, halves of the training split tune each other. Rows
    that say "oracle" have the best threshold of the tested split itself.

    [bold]Examples[/bold]

    labse evaluate bucc data/bucc2018 --pairs de-en

    labse evaluate bucc data/bucc2018 --model LaBSE --out reports/bucc
    """
    options = EvaluationOptions(
        lang_pairs=split_codes(pairs), block_rows=block_rows, memory_bytes=parse_memory(memory)
    )
    measured = MeasuredEncoder(model, precision, runtime, threads)
    measure("bucc", [folder], options, measured, out=out, json=json)


@app.command()
def un(
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="Sentences, such as UNv1.0.en-fr.en."),
    ],
    target: Annotated[
        Path,
        typer.Argument(metavar="TARGET", help="Their translations, line by line."),
    ],
    pair: Annotated[
        str | None,
        typer.Option(
            help="Languages, such as en-fr; without it, the suffixes of both files.",
        ),
    ] = None,
    distractors: Annotated[
        Path | None,
        typer.Option(help="File of further sentences for the pool."),
    ] = None,
    queries: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Sources that ask, evenly spread; without it, all.",
        ),
    ] = None,
    shards: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the vectors of the pool, which stay; without it, a temporary one.",
        ),
    ] = None,
    shard_rows: Annotated[
        int, typer.Option(min=1, help="Vectors of the pool in memory at a time.")
    ] = 262_144,
    block_rows: BlockRowsOption = 2048,
    model: EncoderOption = None,
    out: ReportOption = None,
    json: JsonOption = False,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """UN: is the nearest sentence of a pool of any size the translation?

    The pool, targets and distractors, lies on disk as float16 shards, searched one at a time.

    [bold]Examples[/bold]

    labse evaluate un UNv1.0.en-fr.en UNv1.0.en-fr.fr --queries 100000 --shards pool
    """
    options = EvaluationOptions(
        lang_pairs=None if pair is None else [pair],
        distractors=distractors,
        num_queries=queries,
        shards=shards,
        shard_rows=shard_rows,
        block_rows=block_rows,
    )
    measured = MeasuredEncoder(model, precision, runtime, threads)
    measure("un", [source, target], options, measured, out=out, json=json)


@app.command()
def xsim(
    folder: AlignedArgument,
    target: Annotated[str, typer.Option(help="Language in which the others look.")] = "eng",
    langs: LangsOption = None,
    near_misses: Annotated[
        int,
        typer.Option(
            min=0,
            help="Swaps of a number, and as many of a name, in each target sentence for xsim++, "
            "with one negation; 0 leaves xsim++ out.",
        ),
    ] = 3,
    margin: Annotated[Margin, typer.Option(help="Formula of the margin score.")] = "ratio",
    k: KOption = 4,
    seed: Annotated[int, typer.Option(help="Seed of the numbers and names.")] = 1,
    files: FilesOption = "*.txt",
    block_rows: BlockRowsOption = 2048,
    memory: OptionalMemoryOption = None,
    model: EncoderOption = None,
    out: ReportOption = None,
    json: JsonOption = False,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Rate of errors of margin retrieval, without near-misses (xsim) and with (xsim++).

    Lower is better. Two targets of equal text count as one.

    [bold]Examples[/bold]

    labse evaluate xsim data/tico19 --langs fr,sw --target eng
    """
    options = EvaluationOptions(
        langs=split_codes(langs),
        pattern=files,
        target_lang=target,
        near_misses=near_misses,
        margin=margin,
        k=k,
        seed=seed,
        block_rows=block_rows,
        memory_bytes=parse_memory(memory),
    )
    measured = MeasuredEncoder(model, precision, runtime, threads)
    measure("xsim", [folder], options, measured, out=out, json=json)


@app.command()
def retrieval(
    folder: AlignedArgument,
    langs: LangsOption = None,
    files: FilesOption = "*.txt",
    block_rows: BlockRowsOption = 2048,
    memory: OptionalMemoryOption = None,
    model: EncoderOption = None,
    out: ReportOption = None,
    json: JsonOption = False,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Every language of a folder of aligned files asks every other: P@1 of all pairs.

    A folder given to --out gets a heat map too.

    [bold]Examples[/bold]

    labse evaluate retrieval data/tico19 --langs eng,fr,sw,zh --out reports/tico19
    """
    options = EvaluationOptions(
        langs=split_codes(langs),
        pattern=files,
        block_rows=block_rows,
        memory_bytes=parse_memory(memory),
    )
    measured = MeasuredEncoder(model, precision, runtime, threads)
    measure("retrieval", [folder], options, measured, out=out, json=json)


@app.command()
def sts(
    tables: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE.tsv...",
            help="TSV of two sentences and a score; a first line may name the columns sentence1, "
            "sentence2 and score among others.",
        ),
    ],
    memory: OptionalMemoryOption = None,
    model: EncoderOption = None,
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
    options = EvaluationOptions(memory_bytes=parse_memory(memory))
    measured = MeasuredEncoder(model, precision, runtime, threads)
    measure("sts", tables, options, measured, out=out, json=json)


@app.command(name="all")
def evaluate_all(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder with folders of test sets, which are known by their file names.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for the report of each set, and at the end for one of all scores.",
        ),
    ],
    model: EncoderOption = None,
    block_rows: BlockRowsOption = 2048,
    memory: OptionalMemoryOption = None,
    precision: PrecisionOption = "float32",
    runtime: RuntimeOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """All protocols that the test sets of a folder allow, each with its defaults.

    All files are read before anything is encoded. The report of a set is written when that set is
    done, and stays if a later one fails. The report.json of all is written last.

    [bold]Examples[/bold]

    labse evaluate all data/eval --out reports/today
    """
    encoder = MeasuredEncoder(model, precision, runtime, threads).open()
    with progress("encode") as update:
        evaluate_sets(
            folder,
            encoder,
            out,
            block_rows=block_rows,
            memory_bytes=parse_memory(memory),
            on_report=lambda report: show_report(report, encoder),
            on_progress=update,
        )
    say(f"{out}: report of all written")
