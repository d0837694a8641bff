"""What all commands `labse evaluate ...` share: the encoder they measure, the report they show."""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Concatenate, ParamSpec, cast

import numpy as np
import typer
from numpy.typing import NDArray

from labse.cli.console import print_json, print_lines, print_table, say
from labse.cli.options import (
    JsonOption,
    Precision,
    PrecisionOption,
    Runtime,
    RuntimeOption,
    ThreadsOption,
    VisibleEncoder,
)
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.errors import UsageError
from labse.evaluation.report import Report, check_destination, report_dict, write_report
from labse.evaluation.sources import MeasuredEncoder, open_encoder

__all__ = [
    "BlockRowsOption",
    "MeasuredModelOption",
    "Measuring",
    "MemoryOption",
    "ReportOption",
    "VisibleMeasurement",
    "measure",
    "measuring",
    "show_report",
    "split_langs",
    "to_bytes",
]

P = ParamSpec("P")

MeasuredModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="Model folder, ours or of sentence-transformers; or sentence-transformers:PATH, run "
        "by that library; or module:function, which takes a list of sentences and returns their "
        "vectors; or a.npy,b.npy, vectors of the lines of a.txt and b.txt. Without it, the model "
        "that comes with labse.",
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
MemoryOption = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        help="GiB of vectors held at a time, the others lie in a temporary file; without it, all.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Measuring:
    """The options that all these commands but `all` have; see `measuring`."""

    model: MeasuredModelOption = None
    out: ReportOption = None
    json: JsonOption = False
    precision: PrecisionOption = "float32"
    runtime: RuntimeOption = "auto"
    threads: ThreadsOption = None

    def open(self) -> "VisibleMeasurement":
        """Opens the encoder, once it is known that the report can be written."""
        return measure(self.model, self.precision, self.runtime, self.threads, self.out)

    def show(self, report: "Report", measured: "VisibleMeasurement") -> None:
        """Prints the report, and writes it where that is asked for."""
        show_report(report, measured, self.json, self.out)


def measuring(command: Callable[Concatenate[Measuring, P], None]) -> Callable[..., None]:
    """Gives a command the options of `Measuring`, which it gets as its first argument.

    They stand behind its own in its signature, which is where Typer finds them.
    """
    names = [field.name for field in fields(Measuring)]
    _, *own = inspect.signature(command).parameters.values()
    shared = inspect.signature(Measuring).parameters.values()
    build = cast("Callable[..., Measuring]", Measuring)
    call = cast("Callable[..., None]", command)

    @functools.wraps(command)
    def run(**arguments: object) -> None:
        call(build(**{name: arguments.pop(name) for name in names}), **arguments)

    parameters = [each.replace(kind=each.KEYWORD_ONLY) for each in (*own, *shared)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
    del run.__wrapped__
    return run


class VisibleMeasurement:
    """An encoder of any kind; a model folder draws a progress bar."""

    def __init__(self, measured: "MeasuredEncoder") -> None:

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
        check_destination(out)

    return VisibleMeasurement(
        open_encoder(model, precision=precision, runtime=runtime, threads=threads)
    )


def show_report(
    report: "Report", measured: VisibleMeasurement, is_json: bool, out: Path | None
) -> None:
    """Prints a report, and writes it where that is asked for."""
    if measured.num_truncated:
        say(f"{measured.num_truncated:,} sentences cut to {measured.max_seq_length} tokens")
    if is_json:
        print_json(report_dict(report))
    else:
        for table in report.tables:
            print_table(table.headers, table.rows, align=table.align, title=table.title)
        print_lines(dict.fromkeys([*(s.signature for s in report.scores), *report.notes]), None)
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


def to_bytes(memory: float | None) -> int | None:
    """Returns the bytes of so many GiB; None for None."""
    return None if memory is None else int(memory * 2**30)
