"""Everything that a folder of test data allows, in one go.

Takes: an encoder and a folder whose subfolders hold test sets. Gives: one report a set.
Source: docs/evaluation.md, "All at once".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, TypedDict

from labse.errors import LabseError
from labse.evaluation.aligned import read_aligned
from labse.evaluation.bucc import evaluate_bucc
from labse.evaluation.bucc_files import BuccSplit, find_bucc_pairs, has_bucc_split, read_bucc_split
from labse.evaluation.bucc_report import build_bucc_report
from labse.evaluation.datasets import read_tatoeba
from labse.evaluation.protocol import Encoder
from labse.evaluation.report import Report, Table, format_percent
from labse.evaluation.retrieval import evaluate_retrieval
from labse.evaluation.sts import StsPairs, evaluate_sts, read_sts
from labse.evaluation.tables import build_xsim_report
from labse.evaluation.tatoeba import evaluate_tatoeba
from labse.evaluation.tatoeba_report import build_tatoeba_report
from labse.evaluation.xsim import evaluate_xsim_files

__all__ = [
    "Task",
    "check_tasks",
    "evaluate_bucc_folder",
    "evaluate_task",
    "find_tasks",
    "summarize",
]

Kind: TypeAlias = Literal["tatoeba", "bucc", "retrieval", "xsim", "sts"]


@dataclass(frozen=True, slots=True)
class Task:
    """A protocol and the folder with its files."""

    kind: Kind
    folder: Path

    @property
    def name(self) -> str:
        """`tatoeba`, or `retrieval-tico19` where a protocol may have many folders."""
        return self.kind if self.kind == self.folder.name else f"{self.kind}-{self.folder.name}"


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


def check_tasks(tasks: Sequence[Task]) -> None:
    """Reads all files once, so that a broken one is told before hours of encoding.

    Raises:
        LabseError: files that cannot be used.
    """
    for task in tasks:
        if task.kind == "tatoeba":
            read_tatoeba(task.folder)
        elif task.kind == "bucc":
            for lang_pair in find_bucc_pairs(task.folder):
                _read_bucc(task.folder, lang_pair)
        elif task.kind == "sts":
            _read_tables(task.folder)
        else:
            read_aligned(task.folder)


def evaluate_task(
    encoder: Encoder,
    task: Task,
    *,
    max_seq_length: int | None,
    block_rows: int = 2048,
    memory_bytes: int | None = None,
) -> Report:
    """Runs one protocol with its defaults.

    Raises:
        LabseError: files that cannot be used, or a broken encoder.
    """
    folder = task.folder
    bounds: _Bounds = {"max_seq_length": max_seq_length, "memory_bytes": memory_bytes}
    if task.kind == "tatoeba":
        return build_tatoeba_report(evaluate_tatoeba(encoder, read_tatoeba(folder), **bounds))
    if task.kind == "sts":
        return evaluate_sts(encoder, _read_tables(folder), **bounds)
    if task.kind == "bucc":
        return evaluate_bucc_folder(encoder, folder, block_rows=block_rows, **bounds)
    files, name = read_aligned(folder), folder.name
    if task.kind == "retrieval":
        return evaluate_retrieval(encoder, files, name=name, block_rows=block_rows, **bounds)
    errors = evaluate_xsim_files(encoder, files, "eng", data=name, block_rows=block_rows, **bounds)
    return build_xsim_report(name, errors)


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


def evaluate_bucc_folder(
    encoder: Encoder,
    folder: Path,
    lang_pairs: list[str] | None = None,
    *,
    max_seq_length: int | None,
    block_rows: int = 2048,
    memory_bytes: int | None = None,
) -> Report:
    """Scores the pairs of languages of a folder; None takes all.

    Raises:
        LabseError: files that cannot be used, or a broken encoder.
    """
    scores, notes = [], []
    for lang_pair in lang_pairs or find_bucc_pairs(folder):
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
            max_seq_length=max_seq_length,
            block_rows=block_rows,
            memory_bytes=memory_bytes,
        )
    return build_bucc_report(scores, notes)


class _Bounds(TypedDict):
    max_seq_length: int | None
    memory_bytes: int | None


def _read_bucc(folder: Path, lang_pair: str) -> tuple[BuccSplit, BuccSplit | None]:
    training = read_bucc_split(folder, lang_pair, "training")
    has_test = has_bucc_split(folder, lang_pair, "test")
    return training, read_bucc_split(folder, lang_pair, "test") if has_test else None


def _read_tables(folder: Path) -> list[StsPairs]:
    return [read_sts(path) for path in sorted(folder.glob("*.tsv"))]


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


def _describe(split: BuccSplit) -> str:
    source, target = split.num_lines
    return (
        f"{split.lang_pair} {split.split}: {source:,} source and {target:,} target lines "
        f"({len(split.source):,} and {len(split.target):,} distinct), {len(split.gold):,} pairs"
    )
