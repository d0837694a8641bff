"""A protocol by its name, and everything that a folder of test data allows.

Takes: files of test data and an encoder. Gives: a report; of a folder of test sets, one for each.
Source: docs/evaluation.md.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, TypeAlias

from labse.encoder.protocol import Encoder
from labse.encoder.source import ObservedEncoder
from labse.errors import LabseError, UsageError
from labse.evaluation.bucc import BuccScore, build_bucc_report, evaluate_bucc
from labse.evaluation.bucc_files import BuccSplit, find_bucc_pairs, has_bucc_split, read_bucc_split
from labse.evaluation.datasets import read_aligned, read_tatoeba
from labse.evaluation.report import (
    Report,
    Table,
    check_destination,
    check_place,
    format_percent,
    write_report,
)
from labse.evaluation.retrieval import evaluate_retrieval
from labse.evaluation.sources import open_encoder
from labse.evaluation.sts import evaluate_sts, read_sts
from labse.evaluation.tatoeba import build_tatoeba_report, evaluate_tatoeba
from labse.evaluation.un import SHARD_ROWS, build_un_report, check_un, evaluate_un
from labse.evaluation.xsim import build_xsim_report, evaluate_xsim_files
from labse.files.atomic import make_folder
from labse.files.system import real_path
from labse.files.text import as_list
from labse.mining.margin import Margin

__all__ = [
    "EvaluationOptions",
    "Protocol",
    "Task",
    "evaluate",
    "evaluate_all",
    "find_tasks",
    "summarize",
]

Protocol: TypeAlias = Literal["tatoeba", "bucc", "un", "xsim", "retrieval", "sts"]
_Score: TypeAlias = Callable[[Encoder], Report]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOptions:
    """What a protocol can be told beside its data; an option that it does not have is an error.

    Attributes:
        langs: the only languages to take, by any code: tatoeba, xsim, retrieval.
        pattern: names of the files to take from the folder: xsim, retrieval.
        lang_pairs: the only pairs of languages to take: bucc; the pair of the two files: un.
        target_lang: language in which the others look: xsim.
        near_misses: see `per_kind` of `evaluate_xsim_files`: xsim.
        margin: formula of the score of a pair: xsim.
        k: neighbours on each side: xsim.
        seed: seed of the near-misses: xsim.
        distractors: file of further sentences for the pool: un.
        num_queries: how many sources ask, evenly spread: un.
        shards: folder for the vectors of the pool, which stay there: un.
        shard_rows: vectors of the pool in memory at a time: un.
        block_rows: rows that bound the memory of the search: all but tatoeba and sts.
        memory_bytes: bytes of vectors held at a time, see `embed_distinct`: all but un.
    """

    langs: str | Sequence[str] | None = None
    pattern: str = "*.txt"
    lang_pairs: str | Sequence[str] | None = None
    target_lang: str = "eng"
    near_misses: int = 3
    margin: Margin = "ratio"
    k: int = 4
    seed: int = 1
    distractors: Path | None = None
    num_queries: int | None = None
    shards: Path | None = None
    shard_rows: int = SHARD_ROWS
    block_rows: int = 2048
    memory_bytes: int | None = None


def evaluate(
    protocol: Protocol,
    data: str | Path | Sequence[str | Path],
    encoder: Encoder | str | Path | None = None,
    options: EvaluationOptions | None = None,
    *,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> Report:
    """Scores an encoder; all files are read, and told if they are broken, before it is called.

    Args:
        data: the folder of the test set; for `un` the files of source and target, for `sts` the
            tables.
        encoder: an encoder, or the name of one as `open_encoder` takes it; None is the model that
            comes with labse.
        options: what else a protocol can be told, `labse.EvaluationOptions`.
        on_progress: called with the sentences encoded and their number, from 0 at each call of the
            encoder.

    Raises:
        ValueError: an unknown protocol, an option that it does not have, or a wrong value.
        UsageError: a language, pair or target that the data do not have.
        LabseError: files that cannot be used, or a broken encoder.
    """
    paths = [Path(data)] if isinstance(data, str | Path) else [Path(path) for path in data]
    score = _prepare(protocol, paths, options or EvaluationOptions())
    if encoder is None or isinstance(encoder, str | Path):
        encoder = open_encoder(encoder)
    return score(encoder if on_progress is None else ObservedEncoder(encoder, on_progress))


def _prepare(protocol: Protocol, paths: Sequence[Path], options: EvaluationOptions) -> _Score:
    """Checks options and files; returns what scores an encoder."""
    if protocol not in _PROTOCOLS:
        raise ValueError(f"protocol must be one of {', '.join(_PROTOCOLS)}, not {protocol!r}")
    read, names = _PROTOCOLS[protocol]
    default = EvaluationOptions()
    for name in sorted({field.name for field in fields(options)} - set(names.split())):
        if getattr(options, name) != getattr(default, name):
            raise ValueError(f"{name} does not apply to {protocol}; leave it out")
    num_paths = {"un": 2, "sts": len(paths) or 1}.get(protocol, 1)
    if len(paths) != num_paths:
        raise ValueError(f"{protocol} takes {num_paths} paths as data, not {len(paths)}")
    return read(paths, options)


# ---- the protocols: read, then score -----------------------------------------------------------


def _tatoeba(paths: Sequence[Path], options: EvaluationOptions) -> _Score:
    sets = read_tatoeba(paths[0], options.langs)
    return lambda encoder: build_tatoeba_report(
        evaluate_tatoeba(encoder, sets, memory_bytes=options.memory_bytes)
    )


def _bucc(paths: Sequence[Path], options: EvaluationOptions) -> _Score:
    folder = paths[0]
    lang_pairs = as_list(options.lang_pairs or find_bucc_pairs(folder))
    for lang_pair in lang_pairs:
        _read_bucc(folder, lang_pair)  # Checked now and read again later: one pair in memory.

    def score(encoder: Encoder) -> Report:
        scores: list[BuccScore] = []
        notes: list[str] = []
        for lang_pair in lang_pairs:
            training, test = _read_bucc(folder, lang_pair)
            notes += [_describe(split) for split in (training, test) if split is not None]
            if test is None:
                notes.append(
                    f"{lang_pair}: no test.gold, so halves of the training split tune each other"
                )
            scores += evaluate_bucc(
                encoder,
                training,
                test,
                block_rows=options.block_rows,
                memory_bytes=options.memory_bytes,
            )
        return build_bucc_report(scores, notes)

    return score


def _read_bucc(folder: Path, lang_pair: str) -> tuple[BuccSplit, BuccSplit | None]:
    training = read_bucc_split(folder, lang_pair, "training")
    has_test = has_bucc_split(folder, lang_pair, "test")
    return training, read_bucc_split(folder, lang_pair, "test") if has_test else None


def _describe(split: BuccSplit) -> str:
    source, target = split.num_lines
    return (
        f"{split.lang_pair} {split.split}: {source:,} source and {target:,} target lines "
        f"({len(split.source):,} and {len(split.target):,} distinct), {len(split.gold):,} pairs"
    )


def _un(paths: Sequence[Path], options: EvaluationOptions) -> _Score:
    source, target = paths
    lang_pairs = as_list(options.lang_pairs or ())
    if options.lang_pairs is not None and len(lang_pairs) != 1:
        raise ValueError(f"un takes one pair of languages, not {options.lang_pairs}")
    lang_pair = lang_pairs[0] if lang_pairs else None
    check_un(source, target, options.shards, lang_pair, options.num_queries)
    return lambda encoder: build_un_report(
        evaluate_un(
            encoder,
            source,
            target,
            options.shards,
            lang_pair=lang_pair,
            distractors=options.distractors,
            num_queries=options.num_queries,
            shard_rows=options.shard_rows,
            block_rows=options.block_rows,
        )
    )


def _xsim(paths: Sequence[Path], options: EvaluationOptions) -> _Score:
    langs = options.langs and [*as_list(options.langs), options.target_lang]
    files = read_aligned(paths[0], langs, pattern=options.pattern)
    name = real_path(paths[0]).name
    return lambda encoder: build_xsim_report(
        name,
        evaluate_xsim_files(
            encoder,
            files,
            options.target_lang,
            data=name,
            per_kind=options.near_misses,
            seed=options.seed,
            margin=options.margin,
            k=options.k,
            block_rows=options.block_rows,
            memory_bytes=options.memory_bytes,
        ),
    )


def _retrieval(paths: Sequence[Path], options: EvaluationOptions) -> _Score:
    files = read_aligned(paths[0], options.langs, pattern=options.pattern)
    return lambda encoder: evaluate_retrieval(
        encoder,
        files,
        name=real_path(paths[0]).name,
        block_rows=options.block_rows,
        memory_bytes=options.memory_bytes,
    )


def _sts(paths: Sequence[Path], options: EvaluationOptions) -> _Score:
    sets = [read_sts(path) for path in paths]
    return lambda encoder: evaluate_sts(encoder, sets, memory_bytes=options.memory_bytes)


# What reads the files and returns what scores an encoder; the options that the protocol has.
_PROTOCOLS: dict[str, tuple[Callable[[Sequence[Path], EvaluationOptions], _Score], str]] = {
    "tatoeba": (_tatoeba, "langs memory_bytes"),
    "bucc": (_bucc, "lang_pairs block_rows memory_bytes"),
    "un": (_un, "lang_pairs distractors num_queries shards shard_rows block_rows"),
    "xsim": (
        _xsim,
        "langs pattern target_lang near_misses margin k seed block_rows memory_bytes",
    ),
    "retrieval": (_retrieval, "langs pattern block_rows memory_bytes"),
    "sts": (_sts, "memory_bytes"),
}


# ---- all at once -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Task:
    """A protocol and the folder with its files."""

    protocol: Protocol
    folder: Path

    @property
    def name(self) -> str:
        """`tatoeba`, or `retrieval-tico19` where a protocol may have many folders."""
        is_bare = self.protocol == self.folder.name
        return self.protocol if is_bare else f"{self.protocol}-{self.folder.name}"

    @property
    def data(self) -> list[Path]:
        """What `evaluate` takes."""
        return sorted(self.folder.glob("*.tsv")) if self.protocol == "sts" else [self.folder]


def evaluate_all(
    root: str | Path,
    encoder: Encoder,
    out: str | Path,
    *,
    block_rows: int = 2048,
    memory_bytes: int | None = None,
    on_report: Callable[[Report], None] | None = None,
    on_progress: Callable[[int, int | None], None] | None = None,
) -> Report:
    """Runs all protocols that the test sets of a folder allow, each with its defaults.

    All files are read before anything is encoded. The report of a set is written when that set is
    done and stays if a later one fails; `report.json` of all is there only when all are done.

    Args:
        out: folder for a folder of each set, and the summary of all.
        on_report: called with the report of each set, once it is written.
        on_progress: see `evaluate`.

    Returns:
        the summary, see `summarize`.

    Raises:
        UsageError: `out` has a suffix or is a file.
        LabseError: no test set, files that cannot be used, or a broken encoder.
        ResourceError: a report cannot be written.
    """
    out = Path(out)
    if out.suffix:
        raise UsageError(f"{out}: name a folder without a suffix")
    check_destination(out)
    tasks = find_tasks(root)
    for task in tasks:
        _prepare(task.protocol, task.data, EvaluationOptions())
    make_folder(out)
    for task in tasks:
        check_place(out / task.name)
    for name in ("report.json", "report.md"):
        (out / name).unlink(missing_ok=True)

    reports = {}
    for task in tasks:
        _logger.info("%s: %s", task.name, task.folder)
        options = EvaluationOptions(memory_bytes=memory_bytes)
        if "block_rows" in _PROTOCOLS[task.protocol][1]:
            options = replace(options, block_rows=block_rows)
        report = evaluate(task.protocol, task.data, encoder, options, on_progress=on_progress)
        reports[task.name] = report
        write_report(out / task.name, report)
        if on_report is not None:
            on_report(report)
        _logger.info("%s: report written", out / task.name)
    summary = summarize(reports)
    write_report(out, summary)
    return summary


def find_tasks(root: str | Path) -> list[Task]:
    """Finds the test sets of a folder and its subfolders by the names of their files.

    `tatoeba.*-eng.*` is Tatoeba, `*.gold` BUCC, `*.tsv` STS; two or more `*.txt` are aligned
    lines, for retrieval, and for xsim if English is among them.

    Raises:
        LabseError: no such folder, or nothing known in it.
    """
    root = Path(root)
    if not root.is_dir():
        raise LabseError(f"{root}: no such folder; it should hold folders of test sets")
    folders = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    tasks = list(dict.fromkeys(task for folder in folders for task in _find_in(folder, root)))
    if not tasks:
        raise LabseError(
            f"{root}: holds no test set: no tatoeba.XXX-eng.XXX, no .gold of BUCC, no two .txt of "
            "aligned lines, no .tsv"
        )
    return tasks


def _find_in(folder: Path, root: Path) -> Iterator[Task]:
    if any(folder.glob("tatoeba.*-eng.*")):
        yield Task("tatoeba", folder)
        return
    if any(folder.glob("*.training.gold")):
        # Official layout: a folder a pair of languages, which belong together.
        yield Task("bucc", folder if folder == root else folder.parent)
        return
    if any(folder.glob("*/*.training.gold")) and folder != root:
        yield Task("bucc", folder)
    texts = list(folder.glob("*.txt"))
    if len(texts) > 1:
        yield Task("retrieval", folder)
        if any(path.name in ("eng.txt", "en.txt") for path in texts):
            yield Task("xsim", folder)
    if any(folder.glob("*.tsv")):
        yield Task("sts", folder)


def summarize(reports: Mapping[str, Report]) -> Report:
    """Returns the means of all reports, or all scores of one without a mean, in one table."""
    rows, scores = [], []
    for name, report in reports.items():
        means = [score for score in report.scores if len(score.samples) > 1]
        for score in means or report.scores:
            rows.append((name, score.name, score.metric, format_percent(score.value)))
            scores.append(replace(score, name=f"{name} {score.name}", samples=()))
    return Report(
        data="all",
        metric="all",
        scores=tuple(scores),
        tables=(Table("All scores, in percent", ("set", "of", "metric", "value"), tuple(rows), 3),),
        notes=("outcomes item by item, for labse compare, are in the report of each set",),
    )
