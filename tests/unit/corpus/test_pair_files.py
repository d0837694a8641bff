from collections import Counter
from pathlib import Path

import pytest

from labse.corpus.pair_files import iter_pairs, iter_rows
from labse.corpus.records import SentencePair, TextRecord
from labse.corpus.writers import write_pairs, write_rows
from labse.errors import UsageError

PAIR = SentencePair("a", "b", "eng", "deu")


def pairs_of(*files: Path, **langs: str) -> tuple[list[SentencePair], list[str]]:
    told: list[str] = []
    pairs = iter_pairs(
        [str(file) for file in files],
        source_lang=langs.get("source_lang"),
        target_lang=langs.get("target_lang"),
        drops=Counter(),
        tell=told.append,
    )
    return list(pairs), told


def test_files_of_several_formats_follow_each_other(tmp_path: Path) -> None:
    for name in ("a.tsv", "a.tmx.gz", "a.jsonl"):
        write_pairs(tmp_path / name, [PAIR])
    files = [tmp_path / name for name in ("a.tsv", "a.tmx.gz", "a.jsonl")]
    assert pairs_of(*files) == ([PAIR] * 3, [])


def test_columns_that_a_pair_has_no_place_for_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    write_rows(
        path,
        ("score", "source", "target", "source_lang", "target_lang"),
        [("1", "a", "b", "en", "de")],
    )
    assert pairs_of(path) == ([PAIR], [f"{path}: columns left out: 'score'"])
    english = tmp_path / "b.tsv"
    write_rows(english, ("lang", "english", "text", "n"), [("de", "a", "b", 1)])
    assert pairs_of(english) == ([PAIR], [f"{english}: columns left out: 'n'"])


def test_aligned_text_files_come_in_twos_with_their_languages(tmp_path: Path) -> None:
    (tmp_path / "a.en").write_text("a\n")
    (tmp_path / "a.de").write_text("b\n")
    files = (tmp_path / "a.en", tmp_path / "a.de")
    assert pairs_of(*files, source_lang="en", target_lang="de") == ([PAIR], [])
    with pytest.raises(UsageError, match="come in twos"):
        pairs_of(files[0], source_lang="en", target_lang="de")
    with pytest.raises(UsageError, match="need --source-lang and --target-lang"):
        pairs_of(*files, source_lang="en")


def test_rows_are_pairs_or_sentences_by_their_columns(tmp_path: Path) -> None:
    write_pairs(tmp_path / "a.tmx", [PAIR])
    write_pairs(tmp_path / "a.tsv", [PAIR])
    write_rows(tmp_path / "b.tsv", ("lang", "english", "text"), [("de", "a", "b")])
    write_rows(tmp_path / "c.tsv", ("text", "lang", "origin"), [("x", "ru", "web")])
    (tmp_path / "d.txt").write_text("y\n")
    names = ("a.tmx", "a.tsv", "b.tsv", "c.tsv", "d.txt")
    rows = iter_rows([str(tmp_path / name) for name in names], lang="fr", drops=Counter())
    assert list(rows) == [
        ("a.tmx", PAIR),
        ("a.tsv", PAIR),
        ("b.tsv", PAIR),
        ("web", TextRecord("x", "rus", "", "web")),
        ("d.txt", TextRecord("y", "fra", "", "d.txt")),
    ]
