"""Reports of all protocols in one form, for people and for programs.

Takes: scores with signatures, tables, and the samples they were computed from.
Gives: Markdown, JSON with values from 0 to 1, a bar chart.
Source: sacrebleu (Post 2018, arXiv 1804.08771): no score without its signature.
"""

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from labse import __version__
from labse.encoder.protocol import Encoder
from labse.errors import UsageError
from labse.evaluation.pictures import Bar, HeatMap, draw_bars, draw_heat_map
from labse.evaluation.significance import Sample
from labse.files.atomic import check_writable, make_folder, write_atomic, write_json
from labse.runtime import has_module

__all__ = [
    "TIES_NOTE",
    "Report",
    "Score",
    "Table",
    "build_signature",
    "check_destination",
    "check_place",
    "describe_length",
    "format_percent",
    "render_markdown",
    "report_dict",
    "write_report",
]

_LOGGER = logging.getLogger(__name__)

TIES_NOTE = (
    "among equally near sentences the first of the file counts, so a later copy of a repeated "
    "sentence is a miss"
)

_METRIC_NAMES = {"p_at_1": "P@1", "bucc_f1": "F1", "error": "error, lower is better"}


@dataclass(frozen=True, slots=True)
class Score:
    """One number to quote, from 0 to 1.

    Attributes:
        name: what is scored: a group, a pair of languages, a row of a table.
        metric: such as `p_at_1`; `_error` at its end says that less is better.
        signature: names all that the value depends on beside the encoder.
        samples: names of the samples whose scores it is the mean of.
    """

    name: str
    metric: str
    value: float
    signature: str
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headers; the first `num_names` columns are words, the rest numbers."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    num_names: int = 1

    @property
    def align(self) -> str:
        """A letter for each column: `l` for words, `r` for numbers."""
        return "l" * self.num_names + "r" * (len(self.headers) - self.num_names)


@dataclass(frozen=True, slots=True)
class Report:
    """What an evaluation found.

    Attributes:
        data: name of the test data, the `data:` of the signatures.
        metric: what the chart shows.
        scores: the numbers to quote.
        tables: for people.
        samples: outcomes item by item, for `labse compare`.
        bars: one a language or pair, for the chart.
        heat_map: languages against languages, where the protocol has them.
        notes: what a reader must know, such as where the protocol differs from the paper's.
        details: further keys of the JSON object.
    """

    data: str
    metric: str
    scores: tuple[Score, ...]
    tables: tuple[Table, ...]
    samples: tuple[Sample, ...] = ()
    bars: tuple[Bar, ...] = ()
    heat_map: HeatMap | None = None
    notes: tuple[str, ...] = ()
    details: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


def build_signature(
    metric: str,
    fields: Mapping[str, str | int],
    encoder: Encoder | None = None,
    *,
    norm: Literal["l2"] | None = None,
) -> str:
    """Returns `metric|name:value|...|v:0.1.0`, the fields in their order.

    Args:
        encoder: adds the field `max_seq_length`, see `describe_length`.
        norm: adds the field `norm`: what vectors are divided by before they are compared.

    Raises:
        ValueError: a part is empty or holds `|`, which would read as two fields.
    """
    fields = dict(fields)
    if encoder is not None:
        fields["max_seq_length"] = describe_length(encoder)
    if norm is not None:
        fields["norm"] = norm
    parts = [metric, *(f"{name}:{value}" for name, value in fields.items()), f"v:{__version__}"]
    for part in parts:
        if "|" in part or not part or part.endswith(":"):
            raise ValueError(f"a signature cannot hold {part!r}")
    return "|".join(parts)


def describe_length(encoder: Encoder) -> str:
    """Returns what a signature says of the length at which an encoder cuts.

    `none` if it has no `max_seq_length`, or None there: it does not cut, or nothing is known.
    """
    max_seq_length = getattr(encoder, "max_seq_length", None)
    return "none" if max_seq_length is None else str(max_seq_length)


def format_percent(value: float) -> str:
    """Returns a share as percent with one digit: `95.3`."""
    return f"{100 * value:.1f}"


def report_dict(report: Report) -> dict[str, object]:
    """Returns the report as a JSON object; scores from 0 to 1."""
    return {
        "data": report.data,
        "metric": report.metric,
        **report.details,
        "scores": [
            {
                "name": score.name,
                "metric": score.metric,
                "value": score.value,
                "signature": score.signature,
                "samples": list(score.samples),
            }
            for score in report.scores
        ],
        "notes": list(report.notes),
        "samples": [sample.to_dict() for sample in report.samples],
    }


def check_destination(path: str | Path) -> None:
    """Finds out before hours of work whether `write_report` can write there.

    Without matplotlib a folder has no pictures, which is told here.

    Raises:
        UsageError: a suffix other than `.json`, or a file where a folder is asked for.
        ResourceError: it cannot be written.
    """
    path = Path(path)
    check_place(path)
    if path.suffix != ".json" and not has_module("matplotlib"):
        _LOGGER.warning(
            f'{path}: without pictures, which need matplotlib; run: pip install "labse[plot]"'
        )


def check_place(path: Path) -> None:
    """Finds out whether a report can be written there; see `check_destination`."""
    if path.suffix == ".json":
        check_writable(path)
        return
    if path.suffix:
        raise UsageError(f"{path}: give a name that ends in .json, or a folder without a suffix")
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path}: is a file; name a folder, or a file that ends in .json")
    check_writable(path / "report.json" if path.is_dir() else path)


def write_report(path: str | Path, report: Report) -> None:
    """Writes JSON under a name that ends in `.json`, else a folder with all forms.

    The folder holds `report.json`, `report.md` and, where there is something to draw,
    `report.png` and `heat_map.png`. A new folder appears with all its files; in one that has
    files each is replaced by a whole one, `report.json` last.

    Raises:
        UsageError, ResourceError: see `check_destination`.
    """
    path = Path(path)
    if path.suffix == ".json":
        write_json(path, report_dict(report))
        return
    check_place(path)
    pictures: dict[str, bytes] = {}
    if report.bars and has_module("matplotlib"):
        pictures["report.png"] = draw_bars(
            report.bars, f"{report.data}, {_METRIC_NAMES.get(report.metric, report.metric)}"
        )
    if report.heat_map is not None and has_module("matplotlib"):
        pictures["heat_map.png"] = draw_heat_map(report.heat_map)

    files = {"report.md": render_markdown(report).encode(), **pictures}
    if path.exists() and any(path.iterdir()):
        _write_files(path, files, report)
        return
    make_folder(path.parent)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as name:
        folder = Path(name) / path.name  # Its rights are those of any folder, unlike its parent's.
        folder.mkdir()
        _write_files(folder, files, report)
        folder.replace(path)


def _write_files(folder: Path, files: Mapping[str, bytes], report: Report) -> None:
    for name, content in files.items():
        with write_atomic(folder / name) as stream:
            stream.write(content)
    write_json(folder / "report.json", report_dict(report))


def render_markdown(report: Report) -> str:
    """Returns the tables, signatures and notes as Markdown."""
    parts = [f"# {report.data}, {report.metric}"]
    for table in report.tables:
        rules = ["---" if letter == "l" else "---:" for letter in table.align]
        rows = [table.headers, tuple(rules), *table.rows]
        parts.append(f"## {table.title}")
        parts.append("\n".join(f"| {' | '.join(map(_escape, row))} |" for row in rows))
    signatures = dict.fromkeys(score.signature for score in report.scores)
    parts.append("\n".join(["```", *signatures, "```"]))
    if report.notes:
        parts.append("\n".join(f"- {note}" for note in report.notes))
    return "\n\n".join(parts) + "\n"


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|")
