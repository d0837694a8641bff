"""An empty input gives an empty result where each row is a row; where something is to be found or
learnt in it, it is an error that names the file. One rule for all commands."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from labse.cli import main

LANGS = ("--source-lang", "de", "--target-lang", "en")
ROW_FOR_ROW = [
    ("encode", "e.de", "--out", "o/1.npy"),
    ("encode", "e.tsv", "--out", "o/2.npy"),
    ("encode", "e.jsonl", "--out", "o/3"),
    ("score", "e.de", "e.en", "--out", "o/4.txt"),
    ("filter", "e.de", "e.en", "--recommended", "--out", "o/5.tsv"),
    ("filter", "e.tsv", "--recommended", "--out", "o/6.tsv"),
    ("filter", "h.tsv", "--recommended", "--out", "o/7.tsv"),
    ("align", "e.de", "e.en", "--out", "o/8.tsv"),
    ("corpus", "convert", "e.tsv", "--out", "o/9.tmx"),
    ("corpus", "convert", "h.tsv", "--out", "o/10.jsonl"),
    ("corpus", "convert", "e.de", "e.en", *LANGS, "--out", "o/11.tsv"),
    ("corpus", "split", "e.de", "--out", "o/12.tsv"),
    ("corpus", "clean", "e.de", "--lang", "de", "--out", "o/13"),
    ("corpus", "clean", "e.tsv", "--kind", "pairs", "--out", "o/14"),
    ("corpus", "dedup", "h.tsv", "--kind", "pairs", "--out", "o/15"),
    ("corpus", "overlap", "e.tsv", "--tests", "tests", "--out", "o/16.tsv"),
    ("corpus", "stats", "e.de"),
]
TO_FIND = [
    ("mine", "e.de", "e.en"),
    ("mine", "e.tsv", "e.jsonl"),
    ("vocab", "e.de", "--lang", "de", "--out", "v"),
    ("vocab", "e.tsv", "--out", "v"),
    ("hard-negatives", "e.tsv", "--out", "n.tsv"),
    ("calibrate", "e.tsv"),
    ("rate", "e.tsv", "--out", "r.tsv"),
    ("evaluate", "sts", "e.tsv"),
    ("evaluate", "un", "e.de", "e.en"),
    ("prune", "default", "p", "--text", "e.de"),
]


MODELS = ("encode", "score", "filter", "align", "mine", "hard-negatives")


@pytest.fixture(autouse=True)
def _files(inside: Path) -> None:
    for name in ("e.de", "e.en", "e.tsv", "e.jsonl"):
        Path(name).touch()
    Path("h.tsv").write_text("source\ttarget\tsource_lang\ttarget_lang\n")
    Path("tests").mkdir()
    Path("tests/a.txt").write_text("a test\n")


def test_rows_that_are_not_there_give_none_and_no_error(
    tiny_model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in ROW_FOR_ROW:
        model = ("--model", tiny_model) if arguments[0] in MODELS else ()
        assert main([*arguments, *model]) == 0, (arguments, capsys.readouterr().err)
    assert len(list(Path("o").iterdir())) == len(ROW_FOR_ROW) - 1


def test_nothing_can_be_found_or_learnt_in_no_rows(
    tiny_model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path().iterdir())
    for arguments in TO_FIND:
        model = ("--model", tiny_model) if arguments[0] in MODELS else ()
        code = main([*arguments, *model])
        error = capsys.readouterr().err
        assert (code, "e." in error) == (3, True), (arguments, error)
    assert sorted(Path().iterdir()) == before  # No folder with nothing in it is left.


@pytest.mark.parametrize(
    "arguments",
    [
        ("encode", "no.txt", "--out", "o"),
        ("corpus", "clean", "no.txt", "--lang", "de", "--out", "o"),
        ("corpus", "clean", "no.txt", "--out", "o"),
        ("corpus", "dedup", "no.txt", "--lang", "de", "--out", "o"),
        ("vocab", "no", "--out", "o"),
        ("vocab", "no.txt", "--out", "o", "--counts", "c"),
    ],
)
def test_a_file_that_is_not_there_is_told_and_leaves_no_folder(
    arguments: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path().iterdir())
    assert main(arguments) == 3
    assert "no such file" in capsys.readouterr().err
    assert sorted(Path().iterdir()) == before
