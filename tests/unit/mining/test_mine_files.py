"""What `labse mine` does, as one call of the library."""

from pathlib import Path

import numpy as np
import pytest

from labse import SentenceEncoder, mine_files
from labse.errors import LabseError, UsageError
from labse.mining.bitext import MiningOptions
from labse.mining.mined_output import MinedOutput


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Three vectors a side; the target has them in another order."""
    rows = np.eye(4, dtype=np.float32)[:3] + 0.1
    np.save(tmp_path / "source.npy", rows)
    np.save(tmp_path / "target.npy", rows[[2, 0, 1]])
    return tmp_path / "source.npy", tmp_path / "target.npy"


def lines_of(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def test_two_files_of_vectors_become_pairs_of_row_numbers(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    mined = mine_files(*files, tmp_path / "out.tsv", options=MiningOptions(k=1))
    assert lines_of(tmp_path / "out.tsv")[1:] == ["1.0000\t0\t1", "1.0000\t1\t2", "1.0000\t2\t0"]
    assert (mined.num_written, mined.num_truncated) == (3, None)


def test_without_an_output_the_pairs_are_in_the_result(
    files: tuple[Path, Path], tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mined = mine_files(*files, options=MiningOptions(k=1))
    assert mined.pairs is not None
    assert [(pair.source, pair.target) for pair in mined.pairs] == [
        ("0", "1"),
        ("1", "2"),
        ("2", "0"),
    ]
    (tmp_path / "a.txt").write_text("\nfree\n")
    (tmp_path / "b.txt").write_text("equal\n\nfree\n")
    texts = mine_files(tmp_path / "a.txt", tmp_path / "b.txt", encoder=model)
    assert texts.pairs is not None
    (pair,) = texts.pairs
    assert (pair.source, pair.target, pair.source_line, pair.target_line) == ("free", "free", 2, 3)
    assert (texts.num_written, capsys.readouterr().out) == (1, "")


def test_progress_counts_the_lines_of_each_stage(files: tuple[Path, Path], tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    mine_files(*files, tmp_path / "o", on_progress=lambda done, total: seen.append((done, total)))
    assert {total for _, total in seen} == {3}
    assert seen.count((3, 3)) >= 3  # Both sides embedded, one searched.


def test_text_is_embedded_by_the_encoder_that_is_given(
    tmp_path: Path, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name, text in (("a.txt", "free\n\nfree\nequal\n"), ("b.txt", "equal\nfree\n")):
        (tmp_path / name).write_text(text, "utf-8")
    encoder = SentenceEncoder.from_pretrained(model)
    with caplog.at_level("INFO", "labse"):
        mined = mine_files(
            *(tmp_path / "a.txt", tmp_path / "b.txt"),
            MinedOutput(tmp_path / "out.tsv", with_ids=True),
            encoder=encoder,
            options=MiningOptions(k=1, margin="absolute"),
        )
    assert lines_of(tmp_path / "out.tsv") == [
        "margin_score\tsource\ttarget\tsource_line\ttarget_line",
        "1.0000\tfree\tfree\t1\t2",
        "1.0000\tequal\tequal\t4\t1",
    ]
    assert (mined.num_written, mined.flags["copy"]) == (2, 2)
    assert "source: 4 lines, 1 blank, 1 repeated" in caplog.messages


def test_a_work_folder_of_another_column_is_refused(tmp_path: Path, model: Path) -> None:
    (tmp_path / "a.tsv").write_text("text\tother\nfrei\tfree\n", "utf-8")
    (tmp_path / "b.tsv").write_text("text\tother\nfree\tfrei\n", "utf-8")
    sides = tmp_path / "a.tsv", tmp_path / "b.tsv"
    encoder = SentenceEncoder.from_pretrained(model)
    work = tmp_path / "work"
    mine_files(*sides, tmp_path / "text.tsv", column="text", encoder=encoder, work=work)
    with pytest.raises(UsageError, match="begun with another --column"):
        mine_files(*sides, tmp_path / "o.tsv", column="other", encoder=encoder, work=work)


def test_an_encoder_is_not_loaded_where_all_vectors_are_given(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    def load() -> SentenceEncoder:
        raise AssertionError

    mine_files(*files, tmp_path / "out.tsv", encoder=load)


def test_a_column_of_text_is_refused(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("a\n")
    with pytest.raises(UsageError, match="text has no columns"):
        mine_files(tmp_path / "a.txt", tmp_path / "b.txt", column="body")


def test_an_empty_file_is_told_before_the_work(tmp_path: Path, files: tuple[Path, Path]) -> None:
    (tmp_path / "none.txt").touch()
    with pytest.raises(LabseError, match=r"none.txt: empty; there is nothing to mine"):
        mine_files(tmp_path / "none.txt", files[1])
