"""The commands `labse corpus quality train` and `labse corpus quality apply`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from labse.cleaning.quality import iter_quality
from labse.cleaning.quality_training import QualityReport, train_quality
from labse.cli.console import print_json, print_lines, print_table, say
from labse.cli.options import JsonOption
from labse.corpus.writers import check_outputs

__all__ = ["app"]

app = typer.Typer(help="A model that tells clean prose from noise: train it, apply it.")

LangOption = Annotated[
    str | None,
    typer.Option(help="Language of text files, for the report; without it, und."),
]
_MAX_LANGS = 30  # In the table; --json and the manifest have all.


@app.command()
def train(
    good: Annotated[
        list[Path],
        typer.Option(
            help="Clean text, a sentence a line; a table with text; a folder of shards. May be "
            "repeated.",
        ),
    ],
    bad: Annotated[list[Path], typer.Option(help="Noise, in the same formats.")],
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    lang: LangOption = None,
    max_rows: Annotated[
        int, typer.Option(min=1, help="Rows of each class, chosen by a hash of their text.")
    ] = 100_000,
    json: JsonOption = False,
) -> None:
    """Train a quality model: logistic regression over hashed n-grams of characters and words.

    A tenth of the rows is held out for the report, a tenth calibrates the probability.

    [bold]Examples[/bold]

    labse corpus quality train --good wikipedia.de.txt --bad menus.txt --bad ads.txt --out quality

    labse corpus clean web.jsonl --quality quality --set min_quality_prob=0.5 --out clean
    """
    report = train_quality(good, bad, out, lang=lang, max_rows=max_rows)
    if json:
        print_json({"out": str(out), **asdict(report)})
    else:
        _print_report(out, report)


@app.command()
def apply(
    model: Annotated[Path, typer.Argument(help="Folder of the model.")],
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES",
            help="Text or tables with text; - is standard input.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="File to write, in place of standard output."),
    ] = None,
) -> None:
    """Print the probability that each row is clean prose, a tab, and its text.

    Nothing is left out; an empty row has nan.

    [bold]Examples[/bold]

    labse corpus quality apply quality web.txt | sort -gr | head
    """
    check_outputs(out, inputs=files, kind=None)
    rows = iter_quality(model, files)
    print_lines((f"{prob:.4f}\t{text}" for prob, text in rows), out)


def _print_report(out: Path, report: "QualityReport") -> None:
    headers = ("language", "good", "bad", "precision", "recall", "bad found")
    rows = []
    languages = sorted(report.languages[1:], key=lambda one: -(one.num_good + one.num_bad))
    for one in [report.languages[0], *languages[:_MAX_LANGS]]:
        rates = (one.precision, one.recall, one.bad_recall)
        shown = ["" if rate is None else f"{100 * rate:.1f}" for rate in rates]
        rows.append((one.lang, f"{one.num_good:,}", f"{one.num_bad:,}", *shown))
    print_table(headers, rows, align="lrrrrr")
    say(
        f"{out}: held-out rows; ROC AUC {report.roc_auc:.4f}, "
        f"calibration error {report.calibration_error:.4f}"
    )
