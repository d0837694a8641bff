"""Files to text records: what `labse corpus extract` and `split` do, as one call.

Takes: raw files. Gives: one file of records in their order, with counts by language and of what is
left out by reason.
Source: docs/corpus.md.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import cast

from labse import __version__
from labse.cluster.run import count_rows, run_tasks
from labse.cluster.tasks import Executor, Task
from labse.corpus.file_formats import Layout
from labse.corpus.inputs import hash_files
from labse.corpus.languages import canonical_tag
from labse.corpus.raw_text import RawFormat, read_raw, read_records
from labse.corpus.records import TextRecord
from labse.corpus.sentence_splitting import split_records
from labse.corpus.writers import Written, check_outputs, write_records
from labse.errors import UsageError
from labse.files.atomic import make_folder
from labse.files.stage import Result, open_stage
from labse.runtime import OnProgress, resumable

__all__ = ["ExtractedFiles", "extract_files", "extract_step"]

_STEP_ROWS = 1_000


@dataclass(frozen=True, slots=True)
class ExtractedFiles:
    """What was written and what was not.

    Attributes:
        written: the rows.
        langs: rows by language.
        drops: what was left out, by reason.
    """

    written: Written
    langs: Counter[str]
    drops: Counter[str]


def extract_files(
    files: Sequence[str],
    out: str | Path,
    *,
    layout: Layout | None = None,
    lang: str | None = None,
    raw_format: RawFormat = "auto",
    is_split: bool = False,
    workers: int | Executor = 1,
    work: str | Path | None = None,
    on_progress: OnProgress = lambda *_: None,
) -> ExtractedFiles:
    """Writes the lines of the documents of files, or their sentences.

    Args:
        files: see `read_raw`.
        out: the file to write; `-` is standard output.
        layout: its format; None: that of the suffix.
        lang: the language of all, None: what the material says of itself.
        raw_format: what the files are.
        is_split: whether paragraphs are split into sentences.
        workers: processes, or what runs the tasks elsewhere; a file is a task.
        work: a folder for the records of each file, so that the same call goes on after a kill;
            None: a temporary one, if there are workers.
        on_progress: called with the rows so far; of several workers first with those that they
            made, then with those that are written.

    Raises:
        LabseError, ResourceError: see `read_raw` and `write_records`.
        UsageError: likewise; or standard input is to be read elsewhere.
        InterruptedRunError: the call was stopped, and `work` keeps what is done.
    """
    if lang is not None:
        canonical_tag(lang)
    check_outputs(out, inputs=files, kind="records", layout=layout)
    langs: Counter[str] = Counter()
    drops: Counter[str] = Counter()
    if workers == 1 and work is None:
        options = {"lang": lang, "raw_format": raw_format, "is_split": is_split}
        parts = (_read(file, drops=drops, **options) for file in files)  # type: ignore[arg-type]
        records = _count(chain.from_iterable(parts), langs, on_progress)
        return ExtractedFiles(write_records(out, records, layout=layout), langs, drops)
    if "-" in files:
        raise UsageError("standard input (-) cannot be read by other processes; name a file")

    # Each file becomes a part; then they are written one after the other.
    arguments = {"lang": lang, "raw_format": raw_format, "is_split": is_split}
    hashes = hash_files(files)
    key = {"labse_version": __version__, "inputs": [*hashes.values()], **arguments}
    folder = None if work is None else Path(work)
    with resumable(folder), open_stage(folder, key) as stage:
        tasks = []
        make_folder(stage.folder / "parts")
        for number, (file, sha256) in enumerate(hashes.items()):
            part = str(stage.folder / "parts" / f"{number:06}.jsonl.zst")
            places = {"file": file, "out": part}
            name = f"extract/{number:06}"
            tasks.append(Task(name, extract_step, arguments, sha256, (part,), places))
        for result in run_tasks(tasks, stage, workers=workers, on_result=count_rows(on_progress)):
            drops.update(cast("dict[str, int]", result["drops"]))
        made = chain.from_iterable(read_records(task.outputs[0]) for task in tasks)
        written = write_records(out, _count(made, langs, on_progress), layout=layout)
    return ExtractedFiles(written, langs, drops)


def extract_step(
    file: str, out: str, *, lang: str | None, raw_format: RawFormat, is_split: bool
) -> Result:
    """Writes the records of one file; see `extract_files`."""
    drops: Counter[str] = Counter()
    written = write_records(out, _read(file, lang, raw_format, is_split, drops))
    return {"num_rows": written.num_rows, "drops": dict(drops)}


def _read(
    file: str, lang: str | None, raw_format: RawFormat, is_split: bool, drops: Counter[str]
) -> Iterator[TextRecord]:
    records = read_raw(file, lang=lang, raw_format=raw_format, drops=drops)
    return split_records(records) if is_split else records


def _count(
    records: Iterable[TextRecord], langs: Counter[str], on_progress: OnProgress
) -> Iterator[TextRecord]:
    """Passes records on while they are counted."""
    on_progress(0, None)
    for number, record in enumerate(records, start=1):
        langs[record.lang] += 1
        yield record
        if number % _STEP_ROWS == 0:
            on_progress(number, None)
