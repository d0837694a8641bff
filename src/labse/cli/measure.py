"""What all commands `labse evaluate ...` share: their options, and the report they show."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from labse.cli.console import print_json, print_lines, print_table, progress, say
from labse.cli.options import Precision, Runtime, parse_size
from labse.encoder.protocol import Encoder
from labse.errors import UsageError
from labse.evaluation.evaluate import EvaluationOptions, Protocol, evaluate
from labse.evaluation.report import (
    Report,
    check_destination,
    describe_length,
    report_dict,
    write_report,
)
from labse.evaluation.sources import open_encoder

__all__ = [
    "BlockRowsOption",
    "EncoderOption",
    "MeasuredEncoder",
    "ReportOption",
    "measure",
    "parse_memory",
    "show_report",
    "split_codes",
]

EncoderOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help=(
            "Model folder, ours or of sentence-transformers. Or sentence-transformers:PATH, run by "
            "that library. Or module:function, which takes sentences and returns vectors. "
            "Or a.npy,b.npy: vectors of the lines of a.txt and b.txt. Without it, the model "
            "that comes with labse."
        ),
        rich_help_panel="Model",
    ),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Report to write as well: NAME.json, or a folder for report.json, report.md and "
        "report.png.",
    ),
]
BlockRowsOption = Annotated[
    int,
    typer.Option(min=1, help="Bound of the memory of the search: about 13 x ROWS x ROWS bytes."),
]


@dataclass(frozen=True, slots=True)
class MeasuredEncoder:
    """The encoder that a command is asked to measure."""

    model: str | None
    precision: Precision
    runtime: Runtime
    threads: int | None

    def open(self) -> Encoder:
        """Opens it; see `open_encoder`."""
        return open_encoder(
            self.model, precision=self.precision, runtime=self.runtime, threads=self.threads
        )


def measure(
    protocol: Protocol,
    data: Sequence[Path],
    options: EvaluationOptions,
    measured: MeasuredEncoder,
    *,
    out: Path | None,
    json: bool,
) -> None:
    """Runs a protocol, prints its report, and writes it where that is asked for."""
    if out is not None:
        check_destination(out)
    encoder = measured.open()
    with progress("encode") as update:
        report = evaluate(protocol, data, encoder, options, on_progress=update)
    show_report(report, encoder, json=json)
    if out is not None:
        write_report(out, report)
        say(f"{out}: report written")


def show_report(report: Report, encoder: Encoder, *, json: bool = False) -> None:
    """Prints the tables, signatures and notes of a report, and how many sentences were cut."""
    if num_truncated := getattr(encoder, "num_truncated", 0):
        say(f"{num_truncated:,} sentences cut to {describe_length(encoder)} tokens")
    if json:
        print_json(report_dict(report))
        return
    for table in report.tables:
        print_table(table.headers, table.rows, align=table.align, title=table.title)
    signatures = (score.signature for score in report.scores)
    print_lines(dict.fromkeys([*signatures, *report.notes]), None)


def split_codes(codes: str | None) -> list[str] | None:
    """Returns the codes of `de,fr`; None for None.

    Raises:
        UsageError: there is no code between the commas.
    """
    if codes is None:
        return None
    found = [code.strip() for code in codes.split(",") if code.strip()]
    if not found:
        raise UsageError(
            f"{codes!r} names nothing; give codes with commas between, or leave it out"
        )
    return found


def parse_memory(memory: str | None) -> int | None:
    """Returns the bytes of a size such as `800M`; None for None."""
    return None if memory is None else parse_size(memory)
