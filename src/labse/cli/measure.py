"""What all commands `labse evaluate ...` share: the encoder they measure, the report they show."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labse.cli.console import print_json, print_table, say
from labse.cli.options import Precision, Runtime, VisibleEncoder
from labse.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from labse.evaluation.report import Report
    from labse.evaluation.sources import MeasuredEncoder

__all__ = [
    "BlockRowsOption",
    "MeasuredModelOption",
    "ReportOption",
    "VisibleMeasurement",
    "measure",
    "show_report",
    "split_langs",
]

MeasuredModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="Model folder, ours or of sentence-transformers; or module:function, which takes a "
        "list of sentences and returns their vectors; or a.npy,b.npy, vectors of the lines of "
        "a.txt and b.txt. Without it, the model that comes with labse.",
        rich_help_panel="Model",
        show_default=False,
    ),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Report to write as well: NAME.json, or a folder for report.json, report.md and "
        "report.png.",
        show_default=False,
    ),
]
BlockRowsOption = Annotated[
    int,
    typer.Option(min=1, help="Bounds the memory of the search: about 13 x ROWS x ROWS bytes."),
]


class VisibleMeasurement:
    """An encoder of any kind; a model folder draws a progress bar."""

    def __init__(self, measured: "MeasuredEncoder") -> None:
        from labse.encoder.sentence_encoder import SentenceEncoder

        encoder = measured.encoder
        self._measured = measured
        self._encoder = VisibleEncoder(encoder) if isinstance(encoder, SentenceEncoder) else encoder

    @property
    def max_seq_length(self) -> int | None:
        """Where the encoder cuts; None if that is not known."""
        return self._measured.max_seq_length

    @property
    def num_truncated(self) -> int:
        """Sentences cut so far."""
        return self._measured.num_truncated

    def encode(self, sentences: Sequence[str], /) -> "NDArray[np.float32]":
        """Returns (N, D) vectors, unchecked."""
        return self._encoder.encode(sentences)


def measure(
    model: str | None,
    precision: Precision,
    runtime: Runtime,
    threads: int | None,
    out: Path | None,
) -> VisibleMeasurement:
    """Opens the encoder, once it is known that the report can be written."""
    if out is not None:
        from labse.evaluation.report import check_destination

        check_destination(out)
    from labse.evaluation.sources import open_encoder

    return VisibleMeasurement(
        open_encoder(model, precision=precision, runtime=runtime, threads=threads)
    )


def show_report(
    report: "Report", measured: VisibleMeasurement, is_json: bool, out: Path | None
) -> None:
    """Prints a report, and writes it where that is asked for."""
    from labse.evaluation.report import render_report, report_dict, write_report

    if measured.num_truncated:
        say(f"{measured.num_truncated:,} sentences cut to {measured.max_seq_length} tokens")
    if is_json:
        print_json(report_dict(report))
    else:
        print_table(render_report(report))
    if out is not None:
        write_report(out, report)
        say(f"{out}: report written")


def split_langs(langs: str | None) -> list[str] | None:
    """Returns the codes of `de,fr`; None for None.

    Raises:
        UsageError: there is no code between the commas.
    """
    if langs is None:
        return None
    codes = [code.strip() for code in langs.split(",") if code.strip()]
    if not codes:
        raise UsageError(
            f"{langs!r} names nothing; give codes with commas between, or leave it out"
        )
    return codes
