"""Everything that a folder of test data allows, in one go.

Takes: an encoder and a folder whose subfolders hold test sets. Gives: one report a set.
Source: docs/evaluation.md, "All at once".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from labse.errors import LabseError
from labse.evaluation.aligned import read_aligned
from labse.evaluation.bucc import evaluate_bucc
from labse.evaluation.bucc_files import BuccSplit, find_bucc_pairs, has_bucc_split, read_bucc_split
from labse.evaluation.bucc_report import build_bucc_report
from labse.evaluation.datasets import read_tatoeba
from labse.evaluation.protocol import Encoder
from labse.evaluation.report import Report
from labse.evaluation.retrieval import evaluate_retrieval
from labse.evaluation.sts import evaluate_sts, read_sts
from labse.evaluation.tables import build_xsim_report
from labse.evaluation.tatoeba import evaluate_tatoeba
from labse.evaluation.tatoeba_report import build_tatoeba_report
from labse.evaluation.xsim import evaluate_xsim_files

__all__ = ["Task", "evaluate_bucc_folder", "evaluate_task", "find_tasks"]

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


def evaluate_task(
    encoder: Encoder, task: Task, *, max_seq_length: int | None, block_rows: int = 2048
) -> Report:
    """Runs one protocol with its defaults.

    Raises:
        LabseError: files that cannot be used, or a broken encoder.
    """
    folder = task.folder
    if task.kind == "tatoeba":
        sets = read_tatoeba(folder)
        scores = evaluate_tatoeba(encoder, sets, max_seq_length=max_seq_length)
        return build_tatoeba_report(scores)
    if task.kind == "bucc":
        return evaluate_bucc_folder(
            encoder, folder, max_seq_length=max_seq_length, block_rows=block_rows
        )
    if task.kind == "sts":
        tables = [read_sts(path) for path in sorted(folder.glob("*.tsv"))]
        return evaluate_sts(encoder, tables, max_seq_length=max_seq_length)
    files = read_aligned(folder)
    if task.kind == "retrieval":
        return evaluate_retrieval(
            encoder, files, name=folder.name, max_seq_length=max_seq_length, block_rows=block_rows
        )
    errors = evaluate_xsim_files(
        encoder,
        files,
        "eng",
        data=folder.name,
        max_seq_length=max_seq_length,
        block_rows=block_rows,
    )
    return build_xsim_report(folder.name, errors)


def evaluate_bucc_folder(
    encoder: Encoder,
    folder: Path,
    lang_pairs: list[str] | None = None,
    *,
    max_seq_length: int | None,
    block_rows: int = 2048,
) -> Report:
    """Scores the pairs of languages of a folder; None takes all.

    Raises:
        LabseError: files that cannot be used, or a broken encoder.
    """
    scores, notes = [], []
    for lang_pair in lang_pairs or find_bucc_pairs(folder):
        training = read_bucc_split(folder, lang_pair, "training")
        has_test = has_bucc_split(folder, lang_pair, "test")
        test = read_bucc_split(folder, lang_pair, "test") if has_test else None
        notes += [_describe(split) for split in (training, test) if split is not None]
        if test is None:
            notes.append(
                f"{lang_pair}: no test.gold, so halves of the training split tune each other"
            )
        scores += evaluate_bucc(
            encoder, training, test, max_seq_length=max_seq_length, block_rows=block_rows
        )
    return build_bucc_report(scores, notes)


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
