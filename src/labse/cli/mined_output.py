"""How mined pairs are written: rows for people, tables for programs, TMX and Moses for tools."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from labse.cleaning.pair_scores import flag_pair
from labse.corpus.languages import canonical_tag
from labse.corpus.records import SentencePair
from labse.corpus.writers import open_output, write_moses, write_rows
from labse.errors import UsageError
from labse.files.text import format_suffix
from labse.mining.bitext import MinedIndices
from labse.mining.workplace import EmbeddedSide

__all__ = ["Output", "OutputFormat", "choose_output", "write_mined"]

OutputFormat = Literal["tsv", "jsonl", "parquet", "tmx", "moses"]

_SUFFIXES: dict[str, OutputFormat] = {
    ".tsv": "tsv",
    ".txt": "tsv",
    ".jsonl": "jsonl",
    ".parquet": "parquet",
    ".tmx": "tmx",
}
# What would end a cell or a row of a table that has no quoting.
_SEPARATORS = str.maketrans("\t\r\n", "   ")


@dataclass(frozen=True, slots=True)
class Output:
    """A format and where it goes; `path` is `-` for standard output."""

    format: OutputFormat
    path: str
    langs: tuple[str, str]
    suffixes: tuple[str | None, str | None]
    with_ids: bool
    with_flags: bool


def choose_output(
    format: OutputFormat | None,
    out: Path | None,
    *,
    langs: tuple[str | None, str | None],
    with_ids: bool,
    with_flags: bool,
) -> Output:
    """Chooses the format by option, then suffix, then tsv.

    Raises:
        UsageError: a format that cannot go to standard output or hold what is asked for, or one
            that needs languages.
    """
    if format is None:
        format = "tsv" if out is None else _SUFFIXES.get(format_suffix(out), "tsv")
    if format in ("parquet", "moses") and out is None:
        raise UsageError(f"--format {format} needs --out FILE")
    if format == "parquet" and out is not None and out.suffix.lower() != ".parquet":
        raise UsageError(f"--out {out}: name a Parquet file .parquet")
    needs_langs = format in ("tmx", "moses")
    if needs_langs and None in langs:
        raise UsageError(f"--format {format} needs --source-lang and --target-lang")
    if format == "moses" and (with_ids or with_flags):
        raise UsageError("--format moses holds the two texts only; leave out --ids and --flags")
    source, target = (canonical_tag(lang) if lang else "und" for lang in langs)
    if format == "moses" and source == target:
        raise UsageError("--format moses: both languages would go to one file; name two languages")
    return Output(
        format, "-" if out is None else str(out), (source, target), langs, with_ids, with_flags
    )


def write_mined(
    mined: "MinedIndices",
    sides: tuple["EmbeddedSide", "EmbeddedSide"],
    output: Output,
    *,
    drop: frozenset[str],
) -> Counter[str]:
    """Writes pairs as a stream and counts those written, dropped, altered, and each flag."""
    counts: Counter[str] = Counter()
    rows = _rows(mined, sides, output, drop, counts)
    if output.format == "tsv":
        _write_plain(rows, output, counts)
    elif output.format == "moses":
        _write_moses(rows, output, counts)
    else:
        columns = ["margin_score", "source", "target"]
        columns += ["source_line", "target_line"] if output.with_ids else []
        columns += ["flags"] if output.with_flags else []
        langs: tuple[str, ...] = ()
        if output.format == "tmx":
            columns += ["source_lang", "target_lang"]
            langs = output.langs
        written = write_rows(
            output.path, columns, ((*row, *langs) for row in rows), layout=output.format
        )
        counts["altered"] = written.num_altered
    return counts


def _rows(
    mined: "MinedIndices",
    sides: tuple["EmbeddedSide", "EmbeddedSide"],
    output: Output,
    drop: frozenset[str],
    counts: Counter[str],
) -> Iterator[tuple[str | int | float, ...]]:

    source_lines = sides[0].lines.first_lines[mined.source] + 1
    target_lines = sides[1].lines.first_lines[mined.target] + 1
    texts = zip(
        sides[0].lines.read(mined.source.tolist()),
        sides[1].lines.read(mined.target.tolist()),
        strict=True,
    )
    for number, (source, target) in enumerate(texts):
        flags = flag_pair(source, target)
        counts.update(flags)
        if drop.intersection(flags):
            counts["dropped"] += 1
            continue
        counts["written"] += 1
        row: tuple[str | int | float, ...] = (float(mined.scores[number]), source, target)
        if output.with_ids:
            row += (int(source_lines[number]), int(target_lines[number]))
        if output.with_flags:
            row += (",".join(flags),)
        yield row


def _write_plain(
    rows: Iterator[tuple[str | int | float, ...]], output: Output, counts: Counter[str]
) -> None:
    """Writes rows without a header, the score with four decimals: for `cut`, `sort`, `head`."""
    with open_output(output.path) as stream:
        for score, *rest in rows:
            cells = [str(cell) for cell in rest]
            clean = [cell.translate(_SEPARATORS) for cell in cells]
            counts["altered"] += clean != cells
            stream.write("\t".join((f"{score:.4f}", *clean, "")).removesuffix("\t").encode())
            stream.write(b"\n")


def _write_moses(
    rows: Iterator[tuple[str | int | float, ...]], output: Output, counts: Counter[str]
) -> None:

    langs = output.langs
    pairs = (
        SentencePair(str(row[1]).translate(_LINE_ENDS), str(row[2]).translate(_LINE_ENDS), *langs)
        for row in rows
    )
    source_path, target_path = (f"{output.path}.{lang}" for lang in output.suffixes)
    write_moses(source_path, target_path, pairs)


_LINE_ENDS = str.maketrans("\r\n", "  ")
