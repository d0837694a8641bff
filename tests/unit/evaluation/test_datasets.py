from collections.abc import Sequence
from pathlib import Path

import pytest

from labse.errors import LabseError, UsageError
from labse.evaluation.datasets import (
    TATOEBA_GROUPS,
    TatoebaSet,
    read_aligned,
    read_aligned_pair,
    read_tatoeba,
)


def write_set(folder: Path, lang: str, sentences: Sequence[str], english: Sequence[str]) -> None:
    for side, lines in ((lang, sentences), ("eng", english)):
        text = "".join(f"{line}\n" for line in lines)
        (folder / f"tatoeba.{lang}-eng.{side}").write_text(text, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_set(tmp_path, "deu", ["Hallo", "Ja\u2028doch"], ["Hello", "Yes"])
    write_set(tmp_path, "cmn", ["你好"], ["Hello"])
    write_set(tmp_path, "pes", ["سلام"], ["Hello"])
    (tmp_path / "README").write_text("not a set")
    return tmp_path


def test_all_sets_are_read_in_the_order_of_their_codes(folder: Path) -> None:
    sets = read_tatoeba(folder)
    assert [tatoeba_set.lang for tatoeba_set in sets] == ["cmn", "deu", "pes"]
    assert sets[1] == TatoebaSet("deu", ("Hallo", "Ja\u2028doch"), ("Hello", "Yes"))


@pytest.mark.parametrize(
    ("langs", "expected"),
    [
        (["deu"], ["deu"]),
        (["de", "ger", "German"], ["deu"]),
        (["zh"], ["cmn"]),
        (["zho", "fa"], ["cmn", "pes"]),
    ],
)
def test_a_language_is_found_by_any_of_its_codes(
    folder: Path, langs: list[str], expected: list[str]
) -> None:
    assert [tatoeba_set.lang for tatoeba_set in read_tatoeba(folder, langs)] == expected


@pytest.mark.parametrize(
    ("langs", "message"),
    [
        (["fra"], "no set for 'fra'; it has cmn deu pes"),
        (["eng"], "no set for 'eng'"),
        (["Germann"], "unknown language 'Germann'"),
        ([], "langs is empty"),
    ],
)
def test_a_language_without_a_set_is_a_usage_error(
    folder: Path, langs: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read_tatoeba(folder, langs)


def test_a_set_whose_code_the_table_of_languages_lacks_is_found_by_it(folder: Path) -> None:
    write_set(folder, "zz9", ["a"], ["b"])
    assert [tatoeba_set.lang for tatoeba_set in read_tatoeba(folder, ["zz9", "de"])] == [
        "deu",
        "zz9",
    ]


def test_a_missing_folder_and_a_folder_without_sets_are_named(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="absent: no such folder"):
        read_tatoeba(tmp_path / "absent")
    with pytest.raises(LabseError, match=r"holds no tatoeba\.XXX-eng\.XXX files"):
        read_tatoeba(tmp_path)


@pytest.mark.parametrize("side", ["deu", "eng"])
def test_a_missing_half_is_named(folder: Path, side: str) -> None:
    (folder / f"tatoeba.deu-eng.{side}").unlink()
    with pytest.raises(LabseError, match=rf"tatoeba\.deu-eng\.{side}: missing"):
        read_tatoeba(folder)
    assert [tatoeba_set.lang for tatoeba_set in read_tatoeba(folder, ["zh"])] == ["cmn"]


def test_unequal_line_counts_are_both_given(folder: Path) -> None:
    write_set(folder, "fra", ["a", "b", "c"], ["a", "b"])
    with pytest.raises(LabseError, match=r"tatoeba\.fra-eng\.fra has 3 lines, .*\.eng has 2"):
        read_tatoeba(folder)


def test_an_empty_set_is_an_error(folder: Path) -> None:
    write_set(folder, "fra", [], [])
    with pytest.raises(LabseError, match="no lines"):
        read_tatoeba(folder)


def test_a_set_refuses_unaligned_or_no_sentences() -> None:
    with pytest.raises(ValueError, match="deu: 2 sentences, 1 in English"):
        TatoebaSet("deu", ("a", "b"), ("a",))
    with pytest.raises(ValueError, match="deu: no sentences"):
        TatoebaSet("deu", (), ())


def test_the_groups_nest_and_have_their_sizes() -> None:
    sizes = {name: len(set(langs)) for name, langs in TATOEBA_GROUPS.items()}
    assert sizes == {"14": 14, "36": 36, "82": 83, "112": 112}
    everything = set(TATOEBA_GROUPS["112"])
    assert all(everything.issuperset(langs) for langs in TATOEBA_GROUPS.values())
    assert set(TATOEBA_GROUPS["36"]) - set(TATOEBA_GROUPS["82"]) == {"jav"}
    assert set(TATOEBA_GROUPS["14"]) <= set(TATOEBA_GROUPS["82"])


@pytest.fixture
def aligned(tmp_path: Path) -> Path:
    for name, lines in (("eng.txt", "a\nb\n"), ("pt_BR.txt", "c\nd\n"), ("zh.txt", "e\nf\n")):
        (tmp_path / name).write_text(lines, "utf-8")
    (tmp_path / "README").write_text("no language")
    return tmp_path


def test_files_are_read_in_the_order_of_their_names(aligned: Path) -> None:
    files = read_aligned(aligned)
    assert [lines.lang for lines in files] == ["eng", "pt_BR", "zh"]
    assert files[1].sentences == ("c", "d")


def test_languages_go_by_any_code_in_the_order_asked(aligned: Path) -> None:
    assert [lines.lang for lines in read_aligned(aligned, ["zho", "en"])] == ["zh", "eng"]


def test_other_names_go_by_a_pattern(aligned: Path) -> None:
    for lang in ("deu", "fra"):
        (aligned / f"{lang}.devtest").write_text("x\n")
    files = read_aligned(aligned, pattern="*.devtest")
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
    aligned: Path, langs: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read_aligned(aligned, langs)


def test_what_is_wrong_with_a_folder_is_told_in_one_line(aligned: Path, tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="no such folder"):
        read_aligned(tmp_path / "absent")
    with pytest.raises(LabseError, match=r"holds no files \*\.tok"):
        read_aligned(aligned, pattern="*.tok")
    (aligned / "eng.txt").write_text("a\n")
    with pytest.raises(LabseError, match=r"eng\.txt has 1 lines, pt_BR\.txt has 2"):
        read_aligned(aligned)
    (aligned / "notes.txt").write_text("a\n")
    with pytest.raises(LabseError, match=r"notes\.txt: the name must begin with a language"):
        read_aligned(aligned)


def test_files_without_lines_are_an_error(tmp_path: Path) -> None:
    for name in ("eng.txt", "deu.txt"):
        (tmp_path / name).write_text("")
    with pytest.raises(LabseError, match="no lines"):
        read_aligned(tmp_path)
    with pytest.raises(LabseError, match="no lines"):
        read_aligned_pair(tmp_path / "eng.txt", tmp_path / "deu.txt")


def test_a_pair_of_files_must_have_as_many_lines(aligned: Path) -> None:
    assert read_aligned_pair(aligned / "eng.txt", aligned / "zh.txt") == (["a", "b"], ["e", "f"])
    (aligned / "zh.txt").write_text("e\n", "utf-8")
    with pytest.raises(LabseError, match=r"eng\.txt has 2 lines, .*zh\.txt has 1"):
        read_aligned_pair(aligned / "eng.txt", aligned / "zh.txt")
