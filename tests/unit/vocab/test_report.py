import json
from pathlib import Path

import pytest

from labse.errors import LabseError
from labse.vocab.report import (
    load_report,
    measure_vocabulary,
    plot_reports,
    render_report,
    save_report,
)
from labse.vocab.tokenizer import SPECIAL_TOKENS, save_vocabulary

VOCAB = [*SPECIAL_TOKENS, "a", "b", "中", "д", ".", "##a", "##b", "ab"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_vocabulary(tmp_path / "v", VOCAB)
    return tmp_path / "v"


def test_rates_by_hand(folder: Path) -> None:
    # deu: ab twice (1 piece), aba once (ab ##a), x once ([UNK]); zho: 中 three times.
    words = [("ab", {"deu": 2}), ("aba", {"deu": 1}), ("x", {"deu": 1}), ("中", {"zho": 3})]
    report = measure_vocabulary(folder, words)
    german, chinese = report.langs["deu"], report.langs["zho"]
    assert (german.num_words, german.unk_rate, german.pieces_per_word) == (4, 1 / 4, 5 / 4)
    assert german.chars_per_piece == 7 / 4
    assert (chinese.unk_rate, chinese.pieces_per_word) == (0, 1)
    assert report.mean_pieces_per_word == 9 / 8
    assert report.mean_unk_rate == 1 / 8


def test_a_language_of_unknown_words_has_no_characters_a_piece(folder: Path) -> None:
    assert measure_vocabulary(folder, [("x", {"deu": 1})]).langs["deu"].chars_per_piece is None


def test_scripts_share_the_pieces(folder: Path) -> None:
    shares = measure_vocabulary(folder, [("a", {"deu": 1})]).script_shares
    assert shares == {"Latin": 5 / 8, "Han": 1 / 8, "Cyrillic": 1 / 8, "symbols": 1 / 8}


def test_batches_make_no_difference(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [("ab", {"deu": 2}), ("aba", {"deu": 1}), ("x", {"eng": 1})]
    expected = measure_vocabulary(folder, words)
    monkeypatch.setattr("labse.vocab.report._BATCH_WORDS", 2)
    assert measure_vocabulary(folder, words) == expected


def test_no_word_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="no word"):
        measure_vocabulary(folder, [])


def test_a_report_is_json_and_a_picture(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    report = measure_vocabulary(folder, [("ab", {"deu": 2})])
    save_report(tmp_path / "report.json", report)
    assert json.loads((tmp_path / "report.json").read_text())["langs"]["deu"]["num_words"] == 2
    plot_reports({"one": report, "two": report}, tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_a_saved_report_is_loaded_as_it_was(folder: Path, tmp_path: Path) -> None:
    report = measure_vocabulary(folder, [("ab", {"deu": 2}), ("x", {"eng": 1})])
    save_report(tmp_path / "report.json", report)
    assert load_report(tmp_path / "report.json") == report


@pytest.mark.parametrize("content", ["{}", '{"langs": 3}', '{"langs": {"deu": {"words": 1}}}'])
def test_another_file_is_no_report(tmp_path: Path, content: str) -> None:
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(LabseError, match="no report on a vocabulary"):
        load_report(tmp_path / "report.json")


def test_the_table_by_hand(folder: Path) -> None:
    # As in test_rates_by_hand; eng has unknown words only.
    words = [("ab", {"deu": 2000}), ("aba", {"deu": 1000}), ("x", {"deu": 1000, "eng": 1})]
    lines = render_report(measure_vocabulary(folder, words))
    assert [line.split() for line in lines] == [
        ["language", "words", "[UNK]", "%", "pieces/word", "chars/piece"],
        ["deu", "4,000", "25.000", "1.250", "1.75"],
        ["eng", "1", "100.000", "1.000", "-"],
        ["mean", "62.500", "1.125"],
        [],
        ["script", "%", "pieces"],
        ["Latin", "62.500"],
        ["Cyrillic", "12.500"],
        ["Han", "12.500"],
        ["symbols", "12.500"],  # Equal shares by name.
    ]
    assert {len(line) for line in lines[:3]} == {57}
