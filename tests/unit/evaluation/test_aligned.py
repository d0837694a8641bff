from pathlib import Path

import pytest

from labse.errors import LabseError, UsageError
from labse.evaluation.aligned import read_aligned, read_aligned_pair


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, lines in (("eng.txt", "a\nb\n"), ("pt_BR.txt", "c\nd\n"), ("zh.txt", "e\nf\n")):
        (tmp_path / name).write_text(lines, "utf-8")
    (tmp_path / "README").write_text("no language")
    return tmp_path


def test_files_are_read_in_the_order_of_their_names(folder: Path) -> None:
    files = read_aligned(folder)
    assert [lines.lang for lines in files] == ["eng", "pt_BR", "zh"]
    assert files[1].sentences == ("c", "d")


def test_languages_go_by_any_code_in_the_order_asked(folder: Path) -> None:
    assert [lines.lang for lines in read_aligned(folder, ["zho", "en"])] == ["zh", "eng"]


def test_other_names_go_by_a_pattern(folder: Path) -> None:
    for lang in ("deu", "fra"):
        (folder / f"{lang}.devtest").write_text("x\n")
    files = read_aligned(folder, pattern="*.devtest")
    assert [lines.lang for lines in files] == ["deu", "fra"]


@pytest.mark.parametrize(
    ("langs", "message"),
    [
        (["eng", "fra"], "no file for 'fra'; there are eng pt_BR zh"),
        (["eng", "xx1"], "unknown language 'xx1'"),
        (["eng"], "two or more different"),
        (["eng", "en"], "two or more different"),
    ],
)
def test_a_wrong_choice_of_languages_is_a_usage_error(
    folder: Path, langs: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read_aligned(folder, langs)


def test_what_is_wrong_with_a_folder_is_told_in_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="no such folder"):
        read_aligned(tmp_path / "absent")
    with pytest.raises(LabseError, match=r"holds no files \*\.tok"):
        read_aligned(folder, pattern="*.tok")
    (folder / "eng.txt").write_text("a\n")
    with pytest.raises(LabseError, match=r"eng\.txt has 1 lines, pt_BR\.txt has 2"):
        read_aligned(folder)
    (folder / "notes.txt").write_text("a\n")
    with pytest.raises(LabseError, match=r"notes\.txt: the name must begin with a language"):
        read_aligned(folder)


def test_files_without_lines_are_an_error(tmp_path: Path) -> None:
    for name in ("eng.txt", "deu.txt"):
        (tmp_path / name).write_text("")
    with pytest.raises(LabseError, match="no lines"):
        read_aligned(tmp_path)
    with pytest.raises(LabseError, match="no lines"):
        read_aligned_pair(tmp_path / "eng.txt", tmp_path / "deu.txt")


def test_a_pair_of_files_must_have_as_many_lines(folder: Path) -> None:
    assert read_aligned_pair(folder / "eng.txt", folder / "zh.txt") == (["a", "b"], ["e", "f"])
    (folder / "zh.txt").write_text("e\n", "utf-8")
    with pytest.raises(LabseError, match=r"eng\.txt has 2 lines, .*zh\.txt has 1"):
        read_aligned_pair(folder / "eng.txt", folder / "zh.txt")
