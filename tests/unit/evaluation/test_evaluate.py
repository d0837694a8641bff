from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from labse.encoder.protocol import Encoder
from labse.errors import LabseError
from labse.evaluation.evaluate import (
    EvaluationOptions,
    Task,
    evaluate,
    evaluate_all,
    find_tasks,
    summarize,
)
from labse.evaluation.report import Report, report_dict


def write(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def run(encoder: Encoder, task: Task, memory_bytes: int | None = None) -> Report:
    options = EvaluationOptions(memory_bytes=memory_bytes)
    return evaluate(task.protocol, task.data, encoder, options)


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
    reports = [run(encoder, task) for task in tasks]
    assert [report.data for report in reports] == ["bucc", "flores", "flores", "sts", "tatoeba"]
    assert all(score.signature for report in reports for score in report.scores)
    assert reports[1].scores[0].value == 1.0


def test_a_folder_that_is_itself_a_test_set_is_found(root: Path) -> None:
    assert [task.protocol for task in find_tasks(root / "tatoeba")] == ["tatoeba"]
    assert [task.protocol for task in find_tasks(root / "bucc")] == ["bucc"]
    assert [task.protocol for task in find_tasks(root / "bucc" / "de-en")] == ["bucc"]


def test_a_folder_without_test_sets_is_bad_data(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="holds no test set"):
        find_tasks(tmp_path)
    with pytest.raises(LabseError, match="no such folder"):
        find_tasks(tmp_path / "absent")


def test_bucc_without_gold_of_the_test_split_says_so(encoder: Encoder, tmp_path: Path) -> None:
    write_bucc(tmp_path, ["training"])
    report = evaluate("bucc", tmp_path, encoder)
    assert any(
        note == "de-en: no test.gold, so halves of the training split tune each other"
        for note in report.notes
    )
    assert report.notes[0] == (
        "de-en training: 3 source and 3 target lines (3 and 3 distinct), 2 pairs"
    )


def test_memory_changes_no_report(encoder: Encoder, root: Path) -> None:
    for task in find_tasks(root):
        free = run(encoder, task)
        bounded = run(encoder, task, 300)
        assert report_dict(bounded) == report_dict(free)


def test_the_summary_has_the_means_of_each_set_with_their_signatures(
    encoder: Encoder, root: Path
) -> None:
    tasks = find_tasks(root)
    reports = {task.name: run(encoder, task) for task in tasks}
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
    encoder: Encoder, root: Path, name: str, message: str
) -> None:
    (root / name).write_text("d1\tabsent\n" if name.endswith("gold") else "one\n")
    with pytest.raises(LabseError, match=message):
        evaluate_all(root, encoder, root / "reports")
    assert encoder.calls == []  # type: ignore[attr-defined]
    assert not (root / "reports").exists()


def test_un_takes_two_files_and_its_options(encoder: Encoder, root: Path) -> None:
    files = [root / "flores" / "deu.txt", root / "flores" / "eng.txt"]
    options = EvaluationOptions(lang_pairs=["de-en"], num_queries=1)
    done: list[tuple[int, int | None]] = []
    report = evaluate("un", files, encoder, options, on_progress=lambda *n: done.append(n))
    assert done == [(1, 1), (2, 2)]  # The queries, then the pool.
    assert (report.scores[0].name, report.scores[0].value) == ("de-en", 1.0)


def test_a_model_goes_by_its_name(tmp_path: Path, root: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(4))
    write(tmp_path / "x.txt", "de:0", "de:1", "en:0", "en:1")
    report = evaluate("retrieval", root / "flores", f"{tmp_path / 'x.npy'}")
    assert "|max_seq_length:none|" in report.scores[0].signature


@pytest.mark.parametrize(
    ("protocol", "data", "options", "message"),
    [
        ("laser", ["a"], EvaluationOptions(), "protocol must be one of tatoeba, bucc"),
        ("tatoeba", ["a"], EvaluationOptions(k=5), "k does not apply to tatoeba"),
        ("un", ["a", "b"], EvaluationOptions(memory_bytes=9), "memory_bytes does not apply"),
        ("un", ["a"], EvaluationOptions(), "un takes 2 paths as data, not 1"),
        ("sts", [], EvaluationOptions(), "sts takes 1 paths as data, not 0"),
        ("un", ["a", "b"], EvaluationOptions(lang_pairs=["x", "y"]), "one pair of languages"),
    ],
)
def test_what_a_protocol_does_not_have_is_a_wrong_call(
    encoder: Encoder, protocol: str, data: list[str], options: EvaluationOptions, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(protocol, data, encoder, options)  # type: ignore[arg-type]
