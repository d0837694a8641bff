"""The training pairs of the default model's recipe, from small sources made here."""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes" / "default"))

import prepare

TEST_SENTENCE = "This very sentence is of the test."

# ---- Builders ----


def write_source(folder: Path, name: str, pairs: list[tuple[str, str]]) -> None:
    folder.mkdir(exist_ok=True)
    rows = {
        "lang": ["deu"] * len(pairs),
        "english": [english for english, _ in pairs],
        "text": [text for _, text in pairs],
    }
    pq.write_table(pa.table(rows), folder / f"{name}.parquet")


def make_pairs(first: int, count: int = 150) -> list[tuple[str, str]]:
    return [(f"Sentence number {i}", f"Satz Nummer {i}") for i in range(first, first + count)]


def write_tests(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, "utf-8")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["prepare.py", *map(str, arguments)])
    prepare.main()


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    data, evaluation = tmp_path / "data", tmp_path / "eval"
    write_source(data, "first", [*make_pairs(0), (TEST_SENTENCE.upper(), "Ein anderer Satz.")])
    write_source(data, "second", make_pairs(1000))
    write_tests(evaluation, "set.eng", f"{TEST_SENTENCE}\n")
    return data, evaluation, tmp_path / "out"


# ---- Tests ----


def test_test_sentences_are_left_out_and_counted(
    folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, evaluation, out = folders
    run(monkeypatch, data, evaluation, out)
    table = pq.read_table(out / "pairs" / "first.parquet")
    assert TEST_SENTENCE.upper() not in table["english"].to_pylist()
    report = json.loads((out / "report.json").read_text())
    counts = report["sources"]["first"]
    assert counts["test sentence"] == 1
    assert counts["kept"] == len(table)
    assert sum(counts.values()) == 151
    assert set(report["inputs"]["sources"]) == {"first", "second"}


def test_the_same_inputs_are_not_prepared_again(
    folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, evaluation, out = folders
    run(monkeypatch, data, evaluation, out)
    before = (out / "report.json").stat().st_mtime_ns
    run(monkeypatch, data, evaluation, out)
    assert (out / "report.json").stat().st_mtime_ns == before


def test_a_new_test_set_is_not_passed_over(
    folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, evaluation, out = folders
    run(monkeypatch, data, evaluation, out)
    write_tests(evaluation, "new.eng", "Sentence number 7\n")
    with pytest.raises(SystemExit, match="other test sets"):
        run(monkeypatch, data, evaluation, out)


def test_sources_left_out_are_not_passed_over(
    folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, evaluation, out = folders
    run(monkeypatch, data, evaluation, out)
    with pytest.raises(SystemExit, match="other sources"):
        run(monkeypatch, data, evaluation, out, "--without", "second")


def test_what_a_killed_run_left_is_not_trained_on(
    folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, evaluation, out = folders
    run(monkeypatch, data, evaluation, out)
    (out / "report.json").unlink()  # It is written last.
    run(monkeypatch, data, evaluation, out, "--without", "second")
    assert [file.name for file in (out / "pairs").iterdir()] == ["first.parquet"]


def test_a_source_of_which_nothing_is_left_gives_an_empty_file(
    folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, evaluation, out = folders
    write_source(data, "third", [("...", "!!!")])
    run(monkeypatch, data, evaluation, out)
    assert pq.read_table(out / "pairs" / "third.parquet").num_rows == 0


def test_two_sources_of_one_name_are_refused(
    folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data, evaluation, out = folders
    write_source(tmp_path / "more", "first", make_pairs(0))
    with pytest.raises(SystemExit, match="one name"):
        run(monkeypatch, data, tmp_path / "more", evaluation, out)
