import json
from pathlib import Path

import pytest

from labse.vocab.report import measure_vocabulary, plot_reports, save_report
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
    assert shares == {"Latin": 5 / 8, "Cjk": 1 / 8, "Cyrillic": 1 / 8, "symbols": 1 / 8}


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
