from collections.abc import Sequence
from pathlib import Path

import pytest

from labse.errors import LabseError
from labse.evaluation.protocol import Encoder
from labse.evaluation.report import report_dict
from labse.evaluation.suite import (
    check_tasks,
    evaluate_bucc_folder,
    evaluate_task,
    find_tasks,
    summarize,
)


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def write_bucc(folder: Path, splits: Sequence[str]) -> None:
    for split in splits:
        base = folder / "de-en"
        write(base / f"de-en.{split}.de", "d1\tde:0", "d2\tde:1", "d3\tde:2")
        write(base / f"de-en.{split}.en", "e1\ten:0", "e2\ten:9", "e3\ten:2")
        write(base / f"de-en.{split}.gold", "d1\te1", "d3\te3")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "tatoeba" / "tatoeba.deu-eng.deu", "de:0", "de:1")
    write(tmp_path / "tatoeba" / "tatoeba.deu-eng.eng", "en:0", "en:1")
    write_bucc(tmp_path / "bucc", ["training", "test"])
    write(tmp_path / "flores" / "deu.txt", "de:0", "de:1")
    write(tmp_path / "flores" / "eng.txt", "en:0", "en:1")
    write(tmp_path / "sts" / "toy.tsv", "a:0\tb:0\t5", "a:1\tb:2\t1")
    write(tmp_path / "other" / "README.txt", "nothing")
    return tmp_path


def test_test_sets_are_known_by_their_files_and_each_gives_a_report(
    encoder: Encoder, root: Path
) -> None:
    tasks = find_tasks(root)
    names = [task.name for task in tasks]
    assert names == ["bucc", "retrieval-flores", "xsim-flores", "sts", "tatoeba"]
    reports = [evaluate_task(encoder, task, max_seq_length=None) for task in tasks]
    assert [report.data for report in reports] == ["bucc", "flores", "flores", "sts", "tatoeba"]
    assert all(score.signature for report in reports for score in report.scores)
    assert reports[1].scores[0].value == 1.0


def test_a_folder_that_is_itself_a_test_set_is_found(root: Path) -> None:
    assert [task.kind for task in find_tasks(root / "tatoeba")] == ["tatoeba"]
    assert [task.kind for task in find_tasks(root / "bucc")] == ["bucc"]
    assert [task.kind for task in find_tasks(root / "bucc" / "de-en")] == ["bucc"]


def test_a_folder_without_test_sets_is_bad_data(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="holds no test set"):
        find_tasks(tmp_path)
    with pytest.raises(LabseError, match="no such folder"):
        find_tasks(tmp_path / "absent")


def test_bucc_without_gold_of_the_test_split_says_so(encoder: Encoder, tmp_path: Path) -> None:
    write_bucc(tmp_path, ["training"])
    report = evaluate_bucc_folder(encoder, tmp_path, max_seq_length=None)
    assert any(
        note == "de-en: no test.gold, so halves of the training split tune each other"
        for note in report.notes
    )
    assert report.notes[0] == (
        "de-en training: 3 source and 3 target lines (3 and 3 distinct), 2 pairs"
    )


def test_memory_changes_no_report(encoder: Encoder, root: Path) -> None:
    for task in find_tasks(root):
        free = evaluate_task(encoder, task, max_seq_length=None)
        bounded = evaluate_task(encoder, task, max_seq_length=None, memory_bytes=300)
        assert report_dict(bounded) == report_dict(free)


def test_the_summary_has_the_means_of_each_set_with_their_signatures(
    encoder: Encoder, root: Path
) -> None:
    tasks = find_tasks(root)
    reports = {task.name: evaluate_task(encoder, task, max_seq_length=None) for task in tasks}
    summary = summarize(reports)
    (row,) = [row for row in summary.tables[0].rows if row[0] == "tatoeba"]
    assert row == ("tatoeba", "mean", "p_at_1", "100.0")
    assert {row[0] for row in summary.tables[0].rows} == set(reports)
    assert all(score.signature for score in summary.scores)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tatoeba/tatoeba.deu-eng.deu", "1 lines"),
        ("bucc/de-en/de-en.test.gold", "absent"),
        ("flores/deu.txt", "1 lines"),
        ("sts/toy.tsv", "columns"),
    ],
)
def test_a_broken_file_of_any_set_is_found_before_the_work(
    root: Path, name: str, message: str
) -> None:
    check_tasks(find_tasks(root))
    (root / name).write_text("d1\tabsent\n" if name.endswith("gold") else "one\n")
    with pytest.raises(LabseError, match=message):
        check_tasks(find_tasks(root))
