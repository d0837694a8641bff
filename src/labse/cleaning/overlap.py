"""Overlap with test sets: training text that a model will be scored on.

Takes: a folder of test sets, and rows of text or pairs. Gives: the rows without those that have a
test sentence, whatever its case, spaces and punctuation.
Source: docs/evaluation.md. A sentence is kept as a key of 16 bytes, so that ten million test
sentences take about a gigabyte.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from labse.corpus.file_formats import RowKind, choose_layout
from labse.corpus.languages import canonical_tag, canonical_tags
from labse.corpus.shards import (
    CorpusKind,
    column_names,
    expand_folders,
    iter_rows,
    pair_files,
)
from labse.corpus.tables import ColumnNames, open_table
from labse.corpus.writers import check_outputs, write_rows
from labse.errors import LabseError
from labse.files.text import as_list, read_lines
from labse.runtime import OnProgress

__all__ = [
    "HeldOutSentences",
    "OverlapReport",
    "drop_test_sentences",
    "find_test_files",
    "fold_text",
    "read_held_out_sentences",
]

_PROGRESS_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class OverlapReport:
    """What `drop_test_sentences` found.

    Attributes:
        num_test_sentences: different ones.
        num_rows: rows read.
        dropped: rows with a test sentence, by file.
    """

    num_test_sentences: int
    num_rows: int
    dropped: dict[str, int]


class HeldOutSentences:
    """A set of sentences that near copies are found in."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self._keys = {_digest(folded) for s in sentences if (folded := fold_text(s))}

    def __len__(self) -> int:
        """Returns how many different ones there are, blank ones aside."""
        return len(self._keys)

    def __contains__(self, text: str) -> bool:
        """Returns whether `text` has the letters and digits of a test sentence, in their order."""
        return _digest(fold_text(text)) in self._keys


def drop_test_sentences(
    files: str | Path | Sequence[str | Path],
    tests: str | Path,
    out: str | Path | None = None,
    *,
    kind: CorpusKind = "mono",
    lang: str | None = None,
    langs: tuple[str | None, str | None] = (None, None),
    columns: ColumnNames | None = None,
    skip_unknown: bool = False,
    on_progress: OnProgress = lambda *_: None,
) -> OverlapReport:
    """Writes the rows that have no test sentence, of pairs on neither side, to one file.

    Args:
        files: text, tables, or folders of shards.
        tests: a folder of test sets, see `read_held_out_sentences`.
        out: the file to write, in the format of its suffix; None only counts.
        kind: what the rows are.
        lang: the language of text files and of tables without the column `lang`.
        langs: of source and target of pairs, where no column tells.
        columns: where tables of others have their columns.
        skip_unknown: whether rows of a language that is not known are left out, not an error.
        on_progress: called with the rows done and None.

    Raises:
        LabseError: broken data, or no test sets.
        UsageError: a format that cannot hold the rows, or `out` is one of the files.
        ResourceError: `out` cannot be written.
    """
    lang, langs = None if lang is None else canonical_tag(lang), canonical_tags(langs)
    # What can go wrong is told before anything is read.
    files = as_list(files)
    rows: RowKind = "pairs" if kind == "pairs" else "records"
    check_outputs(out, inputs=files, kind=rows)
    targets = pair_files(expand_folders(files), kind, lang, langs, columns)
    names = column_names(kind)
    is_text = out is not None and choose_layout(out, rows) == "txt"

    held_out = read_held_out_sentences(tests)
    dropped = dict.fromkeys(targets, 0)
    num_rows = 0

    def iter_kept() -> Iterator[tuple[str, ...]]:
        nonlocal num_rows
        for path, target in targets.items():
            for row in iter_rows(
                path,
                kind,
                lang,
                target=target,
                langs=langs,
                columns=columns,
                skip_unknown=skip_unknown,
            ):
                num_rows += 1
                if num_rows % _PROGRESS_ROWS == 0:
                    on_progress(num_rows, None)
                if any(text in held_out for text in row[len(row) // 2 :]):
                    dropped[path] += 1
                else:
                    yield row[1:] if is_text else row

    # Write the other rows, or only count.
    if out is None:
        for _ in iter_kept():
            pass
    else:
        write_rows(out, names[1:] if is_text else names, iter_kept())
    return OverlapReport(len(held_out), num_rows, dropped)


def fold_text(text: str) -> str:
    """Returns the letters and digits of a text, lower-cased: near copies have equal ones.

    Marks of scripts that spell vowels with them are dropped as well, on both sides alike.
    """
    return "".join(filter(str.isalnum, text.lower()))


def find_test_files(folder: str | Path) -> list[Path]:
    """Returns every file below a folder of test sets, through links too, but those named README."""
    return sorted(
        Path(parent, name)
        for parent, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name != "README"
    )


def read_held_out_sentences(folder: str | Path) -> HeldOutSentences:
    """Reads every line of every file below a folder of test sets, and the fields of each line.

    Fields are what tabs part: BUCC has an identifier before the sentence, STS scores and two
    sentences. Of Parquet files all columns are read but those of languages. Files named README are
    not.

    Raises:
        LabseError: no file there, or one that is no UTF-8 text.
    """
    files = find_test_files(folder)
    if not files:
        raise LabseError(f"{folder}: no test sets to check the training data against")
    return HeldOutSentences(text for file in files for text in _read_texts(file))


def _read_texts(file: Path) -> Iterator[str]:
    if file.suffix == ".parquet":
        table = open_table(file)
        columns = tuple(name for name in table.names if not name.endswith("lang"))
        for _, texts in table.read_rows(columns):
            yield from texts
        return
    for line in read_lines(file):
        yield line
        if "\t" in line:
            yield from line.split("\t")


def _digest(folded: str) -> bytes:
    return hashlib.blake2b(folded.encode("utf-8", "surrogatepass"), digest_size=16).digest()
