"""The vocabulary folder: learnt from files, with the manifest of its making.

Takes: files of text and of pairs. Gives: vocab.txt, tokenizer.json and manifest.json in one folder.
Source: Feng et al., arXiv 2007.01852, section 4 (cased WordPiece, smoothing exponent 0.3).
"""

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, cast

import labse
from labse.cluster.run import count_rows, run_tasks
from labse.cluster.tasks import Executor, Task
from labse.corpus.file_formats import file_lang, is_text
from labse.corpus.inputs import InputFile, hash_files
from labse.corpus.languages import canonical_tag, canonical_tags
from labse.corpus.pair_files import holds_pairs, iter_rows
from labse.corpus.records import UNKNOWN_LANG, SentencePair
from labse.corpus.shards import expand_folders
from labse.corpus.tables import ColumnNames
from labse.errors import LabseError, UsageError
from labse.files.atomic import (
    MANIFEST_NAME,
    check_replaceable,
    check_writable,
    replace_folder,
    sha256_file,
    write_json,
)
from labse.files.scratch import scratch_folder
from labse.files.stage import JOURNAL_NAME, Result, Stage, open_stage
from labse.files.system import real_path
from labse.files.text import as_list
from labse.runtime import has_module, resumable
from labse.vocab.bpe import learn_bpe
from labse.vocab.count_tables import (
    CountTables,
    TableWriter,
    finish_tables,
    is_count_folder,
    iter_merged,
    open_tables,
    smooth_tables,
)
from labse.vocab.counts import fold_words
from labse.vocab.report import (
    PLOT_NAME,
    REPORT_NAME,
    measure_vocabulary,
    plot_reports,
    save_report,
)
from labse.vocab.tokenizer import save_vocabulary
from labse.vocab.wordpiece import learn_wordpiece

__all__ = ["MEMORY_BYTES", "Algorithm", "VocabularySummary", "count_files", "learn_vocabulary"]

Algorithm = Literal["wordpiece", "bpe"]
OnProgress = Callable[[int, int | None], None]

MEMORY_BYTES = 2 << 30
_WORD_BYTES = 400  # Twice a str of 10 characters, a float and their slot: words are cut at 2 times.

_REPORTED_ROWS = 1000
_LOGGER = logging.getLogger(__name__)

_KIND = "vocabulary"


@dataclass(frozen=True, slots=True)
class VocabularySummary:
    """What was learnt and from what.

    Attributes:
        num_pieces: entries of the vocabulary, special tokens included; below `vocab_size` where the
            words give no more.
        num_words: distinct words, those of several languages once.
        num_word_tokens: occurrences of words.
        inputs: the files with their rows; a pair is one row.
    """

    num_pieces: int
    num_words: int
    num_word_tokens: int
    num_langs: int
    inputs: tuple[InputFile, ...]


def count_files(
    files: str | Path | Sequence[str | Path],
    folder: str | Path,
    *,
    lang: str | None = None,
    langs: tuple[str | None, str | None] = (None, None),
    columns: ColumnNames | None = None,
    skip_unknown: bool = False,
    memory_bytes: int = MEMORY_BYTES,
    workers: int | Executor = 1,
    on_progress: OnProgress | None = None,
) -> CountTables:
    """Counts the words of files into a folder of tables; a killed run goes on where it was.

    Args:
        files: pairs (tables, TMX), of which both sides count under their own languages, or texts,
            as lines or in a table; also folders of shards.
        folder: made if it is not there.
        lang: the language of the text files.
        langs: of source and target of pairs, where no column tells.
        columns: where tables of others have their columns.
        skip_unknown: whether rows of a language that is not known are left out, not an error.
        memory_bytes: what counting may take, of each task.
        workers: processes, or what runs the tasks elsewhere: a file is a task, and has tables of
            its own; the counts do not differ.
        on_progress: called with the rows counted and None.

    Raises:
        LabseError: broken or empty data, or damaged tables in `folder`.
        UsageError: `lang` is missing or cannot apply, or `folder` holds something else.
        ResourceError: the folder cannot be written.
    """
    files, langs = expand_folders(files), canonical_tags(langs)
    how = _Reading(lang, langs, columns, skip_unknown)
    tag = how.describe(files)
    folder, hashes = real_path(folder), hash_files(files)
    is_stopped = (folder / JOURNAL_NAME).is_file()  # A kill may leave it beside the manifest.
    if (folder / MANIFEST_NAME).is_file() and not is_stopped and is_count_folder(folder):
        tables = open_tables(folder)
        if ([file.sha256 for file in tables.inputs], tables.lang) == ([*hashes.values()], tag):
            return tables
        raise UsageError(f"--counts {folder}: holds the counts of other files; give another folder")

    key: dict[str, object] = {"counts_of": list(hashes.values()), "lang": tag}
    key |= {} if workers == 1 else {"by_file": True}
    with open_stage(folder, key, section=None) as stage:
        if workers != 1:
            return _count_by_tasks(stage, hashes, how, tag, memory_bytes, workers, on_progress)
        writer = TableWriter(stage, hashes, lang=tag, max_bytes=memory_bytes)
        for file in files:
            _tell_drops(file, _count_file(file, how, writer, on_progress))
        return writer.close()


def _count_by_tasks(
    stage: Stage,
    hashes: Mapping[str, str],
    how: "_Reading",
    tag: str | None,
    memory_bytes: int,
    workers: int | Executor,
    on_progress: OnProgress | None,
) -> CountTables:
    """Counts each file in a folder of its own, and lists the tables of all."""
    tasks, arguments = [], {"lang": tag, "reading": asdict(how)}
    for number, (file, sha256) in enumerate(hashes.items()):
        folder = stage.folder / "files" / f"{number:06}"
        places = {"file": file, "folder": str(folder), "memory_bytes": memory_bytes}
        made = (str(folder / MANIFEST_NAME),)
        name = f"count/{number:06}"
        task = Task(name, count_step, {**arguments, "sha256": sha256}, sha256, made, places)
        tasks.append(replace(task, memory_bytes=memory_bytes))
    tell = on_progress or (lambda *_: None)
    results = run_tasks(tasks, stage, workers=workers, on_result=count_rows(tell))

    tables = CountTables(stage.folder, lang=tag)
    for (file, sha256), task, result in zip(hashes.items(), tasks, results, strict=True):
        _tell_drops(file, Counter(cast("dict[str, int]", result["drops"])))
        tables.inputs.append(InputFile(file, sha256, cast("int", result["num_rows"])))
        tables.totals.update(cast("dict[str, int]", result["totals"]))
        place = Path(task.outputs[0]).parent.relative_to(stage.folder).as_posix()
        counted = cast("dict[str, str]", result["tables"])
        tables.tables.update({f"{place}/{name}": digest for name, digest in counted.items()})
    return finish_tables(tables, stage)


def count_step(
    file: str,
    folder: str,
    *,
    sha256: str,
    lang: str | None,
    reading: Mapping[str, Any],
    memory_bytes: int,
) -> Result:
    """Counts the words of one file into a folder of its own, whole or not at all.

    Args:
        file: the file.
        folder: to be made.
        sha256: of the file.
        lang: see `_Reading.describe`.
        reading: the fields of a `_Reading`.
        memory_bytes: what counting may take.
    """
    how = _Reading(**{**reading, "langs": tuple(reading["langs"])})
    # Another copy of this task may be at work, on a node that is only cut off.
    with replace_folder(Path(folder)) as temporary, open_stage(temporary, {}) as stage:
        writer = TableWriter(stage, {file: sha256}, lang=lang, max_bytes=memory_bytes)
        drops = _count_file(file, how, writer, None)
        tables = writer.close()
    totals = dict(tables.totals)
    told = {"num_rows": tables.inputs[0].num_rows, "totals": totals, "tables": tables.tables}
    return {**told, "drops": dict(drops)}


def learn_vocabulary(
    files: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    vocab_size: int = 120_000,
    smoothing_exponent: float = 0.3,
    min_count: float = 2,
    lang: str | None = None,
    langs: tuple[str | None, str | None] = (None, None),
    columns: ColumnNames | None = None,
    skip_unknown: bool = False,
    algorithm: Algorithm = "wordpiece",
    uncased: bool = False,
    counts: str | Path | None = None,
    report: str | Path | None = None,
    memory_bytes: int = MEMORY_BYTES,
    workers: int | Executor = 1,
    on_progress: OnProgress | None = None,
) -> VocabularySummary:
    """Learns a vocabulary from all files together and writes its folder, whole or not at all.

    Args:
        files: see `count_files`; also folders that it made, here or on other machines.
        out: the folder to make; a vocabulary that stands there is replaced.
        vocab_size: the most pieces (paper: 501,153).
        smoothing_exponent: from 0, all languages weigh the same, to 1, each as much as it has.
        min_count: the least smoothed weight of a piece.
        lang: the language of the text files.
        langs: of source and target of pairs, where no column tells.
        columns: where tables of others have their columns.
        skip_unknown: whether rows of a language that is not known are left out, not an error.
        algorithm: `wordpiece`, top down, or `bpe`, bottom up.
        uncased: text is folded before it is cut, so that capitals and plain text are the same; see
            `labse.vocab.counts.build_normalizer`. Counts serve both.
        counts: keeps the counts of the files in this folder, so that a killed run goes on and the
            next vocabulary needs no counting; None counts anew and keeps nothing.
        report: makes this folder with report.json and, with matplotlib, report.png, which tell
            what becomes of the words that were counted; see `vocab.report`.
        memory_bytes: what counting and merging may take; of more words than fit, the heaviest are
            learnt from.
        workers: see `count_files`; learning itself is done here.
        on_progress: called with the rows counted and None, then with iterations of learning done
            and their number.

    Raises:
        LabseError: broken or empty data, damaged counts.
        UsageError: `lang` is missing or cannot apply, `vocab_size` is too small, `out` holds
            something else than a vocabulary, or `report` is inside it.
        ResourceError: a folder cannot be written.
    """
    files, folder = as_list(files), real_path(out)
    if check_replaceable(folder, "vocabulary", lambda manifest: manifest.get("kind") == _KIND):
        _LOGGER.info("%s: made by `labse vocab` before; it will be replaced", folder)
    if counts is not None and _is_inside(real_path(counts), folder):
        raise UsageError(
            f"--counts {counts}: is the folder of the vocabulary, which is replaced as a whole; "
            "give a folder beside it"
        )
    how = _Reading(lang, canonical_tags(langs), columns, skip_unknown)
    report_folder = None if report is None else _check_report_folder(Path(report), folder)
    with (
        resumable(counts),
        _open_counts(files, folder, how, counts, memory_bytes, workers, on_progress) as tables,
    ):
        # The counts of all languages become one weight for each word.
        totals = sum((table.totals for table in tables), Counter())
        if not totals:
            raise LabseError(f"{', '.join(map(str, files))}: no words to learn from")
        known = {lang for table in tables for lang in table.totals}
        words = smooth_tables(
            tables, smoothing_exponent, max_words=max(1, memory_bytes // _WORD_BYTES)
        )
        languages = "1 language" if len(known) == 1 else f"{len(known)} languages"
        _LOGGER.info("learning from %s words of %s", f"{words.num_words:,}", languages)

        # Pieces are learnt from the words and their weights alone.
        weights = fold_words(words.weights) if uncased else words.weights
        learn = learn_bpe
        if algorithm == "wordpiece":
            learn = partial(learn_wordpiece, on_progress=on_progress)
        vocab = learn(weights, vocab_size=vocab_size, min_count=min_count)

        # The folder takes its place whole.
        inputs = tuple(file for table in tables for file in table.inputs)
        num_tokens, num_words = totals.total(), words.num_words
        summary = VocabularySummary(len(vocab), num_words, num_tokens, len(known), inputs)
        config = {
            "algorithm": algorithm,
            "vocab_size": vocab_size,
            "smoothing_exponent": smoothing_exponent,
            "min_count": min_count,
            **({"uncased": True} if uncased else {}),
            "lang": canonical_tag(lang) if lang else None,
            **({} if langs == (None, None) else {"langs": canonical_tags(langs)}),
            **({} if columns is None else {"columns": dict(columns)}),
        }
        _write(folder, vocab, uncased, {"config": config, **asdict(summary)})
        if report_folder:
            measured = measure_vocabulary(folder, iter_merged(tables))
            save_report(report_folder / REPORT_NAME, measured)
            if has_module("matplotlib"):
                plot_reports({folder.name: measured}, report_folder / PLOT_NAME)
    return summary


@contextlib.contextmanager
def _open_counts(
    files: Sequence[str | Path],
    out: Path,
    how: "_Reading",
    counts: str | Path | None,
    memory_bytes: int,
    workers: int | Executor,
    on_progress: OnProgress | None,
) -> Iterator[list[CountTables]]:
    """Gives the tables of all inputs; without `counts` those made here are deleted afterwards."""
    folders = [Path(file) for file in files if is_count_folder(file)]
    plain = [file for file in files if Path(file) not in folders]
    if not plain and (given := how.options + (["--counts"] if counts else [])):
        raise UsageError(
            f"{given[0]} is for files, and there are only folders of counts; leave it out"
        )
    tables = [open_tables(folder) for folder in folders]
    with contextlib.ExitStack() as stack:
        if plain:
            beside = out.with_name(f"{out.name}.counts")
            folder = Path(counts) if counts else stack.enter_context(scratch_folder(beside))
            tables.append(
                count_files(
                    plain,
                    folder,
                    lang=how.lang,
                    langs=how.langs,
                    columns=how.columns,
                    skip_unknown=how.skip_unknown,
                    memory_bytes=memory_bytes,
                    workers=workers,
                    on_progress=on_progress,
                )
            )
        _check_distinct(tables)
        yield tables


def _check_distinct(tables: Sequence[CountTables]) -> None:
    counted: dict[str, tuple[Path, str]] = {}
    for table in tables:
        for file in table.inputs:
            folder, path = counted.setdefault(file.sha256, (table.folder, file.path))
            if folder != table.folder:
                raise UsageError(
                    f"{path} in {folder} and {file.path} in {table.folder} have the same bytes; "
                    "they would count twice"
                )


@dataclass(frozen=True, slots=True)
class _Reading:
    """How the rows of files are read: what is said of those that do not say it themselves."""

    lang: str | None
    langs: tuple[str | None, str | None]
    columns: ColumnNames | None
    skip_unknown: bool

    @property
    def options(self) -> list[str]:
        """Returns the names of the options that are given."""
        given = {
            "--lang": self.lang,
            "--source-lang": self.langs[0] or self.langs[1],
            "--columns": self.columns,
            "--skip-unknown": self.skip_unknown,
        }
        return [name for name, value in given.items() if value]

    def describe(self, files: Sequence[str]) -> str | None:
        """Checks the languages, and returns in words all that the counts depend on.

        Raises:
            UsageError: a language is missing, or one cannot apply.
        """
        pairs = [f for f in files if holds_pairs(f, langs=self.langs, columns=self.columns)]
        texts = [file for file in files if file not in pairs]
        if self.langs != (None, None) and not pairs:
            raise UsageError("--source-lang and --target-lang are for pairs, and there are none")
        if self.lang is None:
            for file in texts:
                if is_text(file) and file_lang(file) is None:
                    raise UsageError(
                        f"{file} is read as text; give its language with --lang, or a file named "
                        "like news.de"
                    )
        elif not texts:
            raise UsageError("--lang is for texts, and there is none; leave it out")
        tag = canonical_tag(self.lang) if self.lang else None
        columns = [f"{role}={name}" for role, name in (self.columns or {}).items()]
        skip = ["skip_unknown"] if self.skip_unknown else []
        return " ".join(filter(None, (tag, *self.langs, *columns, *skip))) or None

    def iter_rows(self, file: str, drops: Counter[str]) -> Iterator[tuple[tuple[str, str], ...]]:
        """Yields the texts of each row with their languages."""
        for _, row in iter_rows(
            [file],
            lang=self.lang,
            langs=self.langs,
            drops=drops,
            skip_unknown=self.skip_unknown,
            columns=self.columns,
        ):
            if isinstance(row, SentencePair):
                yield (row.source, row.source_lang), (row.target, row.target_lang)
            elif row.lang == UNKNOWN_LANG:
                raise UsageError(f"{file}: a text does not name its language; give --lang")
            else:
                yield ((row.text, row.lang),)


def _count_file(
    file: str, how: _Reading, writer: TableWriter, on_progress: OnProgress | None
) -> Counter[str]:
    """Counts the rows of a file from the next on; returns how many were left out, by reason."""
    drops: Counter[str] = Counter()
    rows = islice(how.iter_rows(file, drops), writer.num_rows(file), None)
    for number, row in enumerate(rows):
        writer.add_row(file, row)
        if on_progress and number % _REPORTED_ROWS == 0:
            on_progress(writer.num_rows(), None)
    if not writer.num_rows(file):
        raise LabseError(f"{file}: empty, it has no rows")
    _LOGGER.info("%s: %s rows", file, f"{writer.num_rows(file):,}")
    return drops


def _tell_drops(file: str, drops: Counter[str]) -> None:
    for reason, count in drops.most_common():
        _LOGGER.warning(f"{file}: left out: {count:,} ({reason})")


def _check_report_folder(report: Path, out: Path) -> Path:
    report = real_path(report)
    if _is_inside(report, out):
        raise UsageError(
            f"--report {report}: is in the folder of the vocabulary, which is replaced as a whole; "
            "give a folder beside it"
        )
    check_writable(report / REPORT_NAME)
    if not has_module("matplotlib"):
        _LOGGER.warning(
            f"--report {report}: without the picture, which needs matplotlib; run: pip install "
            '"labse[plot]"'
        )
    return report


def _is_inside(folder: Path, other: Path) -> bool:
    return folder == other or other in folder.parents


def _write(folder: Path, vocab: Sequence[str], uncased: bool, manifest: dict[str, object]) -> None:
    with replace_folder(folder) as temporary:
        save_vocabulary(temporary, vocab, uncased=uncased)
        files = {path.name: sha256_file(path) for path in sorted(temporary.iterdir())}
        head = {"kind": _KIND, "labse_version": labse.__version__}
        write_json(temporary / MANIFEST_NAME, {**head, **manifest, "files": files})
