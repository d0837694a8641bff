import json
from pathlib import Path

import pytest

from labse.errors import LabseError, ResourceError, UsageError
from labse.vocab.folder import Algorithm, learn_vocabulary
from labse.vocab.report import REPORT_NAME, load_report
from labse.vocab.tokenizer import load_tokenizer

PAIRS = "lang\tenglish\ttext\ndeu\tgood day good day\tguten Tag\nfra\tgood day\tbonjour bonjour\n"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.tsv"
    path.write_text(PAIRS, "utf-8")
    return path


def test_both_sides_of_pairs_count_under_their_languages(tmp_path: Path, pairs: Path) -> None:
    summary = learn_vocabulary([pairs], tmp_path / "vocab", vocab_size=200, min_count=0.1)
    # good, day, guten, Tag, bonjour; 6 English words, 2 German, 2 French.
    assert (summary.num_words, summary.num_word_tokens, summary.num_langs) == (5, 10, 3)
    tokenizer = load_tokenizer(tmp_path / "vocab")
    assert tokenizer.get_vocab_size() == summary.num_pieces
    assert "[UNK]" not in tokenizer.encode("good Tag bonjour").tokens


def test_text_and_pairs_may_be_given_together(tmp_path: Path, pairs: Path) -> None:
    text = tmp_path / "more.txt"
    text.write_text("Tag\n\nTag\n", "utf-8")
    summary = learn_vocabulary([pairs, text], tmp_path / "v", vocab_size=200, lang="German")
    assert [(Path(f.path).name, f.num_rows) for f in summary.inputs] == [
        ("pairs.tsv", 2),
        ("more.txt", 3),
    ]
    assert (summary.num_word_tokens, summary.num_langs) == (12, 3)


def test_the_manifest_names_options_inputs_and_hashes(tmp_path: Path, pairs: Path) -> None:
    learn_vocabulary([pairs], tmp_path / "vocab", vocab_size=200, smoothing_exponent=0.5)
    manifest = json.loads((tmp_path / "vocab" / "manifest.json").read_text())
    assert manifest["kind"] == "vocabulary"
    assert manifest["config"] == {
        "algorithm": "wordpiece",
        "vocab_size": 200,
        "smoothing_exponent": 0.5,
        "min_count": 2,
        "lang": None,
    }
    assert manifest["inputs"][0]["num_rows"] == 2
    assert set(manifest["files"]) == {
        path.name for path in (tmp_path / "vocab").iterdir() if path.name != "manifest.json"
    }


def test_the_same_files_give_the_same_bytes_and_replace_the_folder(
    tmp_path: Path, pairs: Path
) -> None:
    out = tmp_path / "vocab"
    contents = []
    for _ in range(2):
        learn_vocabulary([pairs], out, vocab_size=200)
        contents.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert contents[0] == contents[1]


def test_a_folder_of_something_else_is_refused(tmp_path: Path, pairs: Path) -> None:
    with pytest.raises(UsageError, match="not empty and not a vocabulary folder"):
        learn_vocabulary([pairs], tmp_path, vocab_size=200)
    with pytest.raises(UsageError, match="is a file"):
        learn_vocabulary([pairs], pairs, vocab_size=200)


def test_a_file_beside_the_vocabulary_keeps_it_from_being_replaced(
    tmp_path: Path, pairs: Path
) -> None:
    learn_vocabulary([pairs], tmp_path / "v", vocab_size=200)
    (tmp_path / "v" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"notes\.txt"):
        learn_vocabulary([pairs], tmp_path / "v", vocab_size=200)
    assert (tmp_path / "v" / "notes.txt").read_text() == "mine"


def test_text_needs_a_language_and_pairs_take_none(tmp_path: Path, pairs: Path) -> None:
    text = tmp_path / "x.txt"
    with pytest.raises(LabseError, match=r"x\.txt: no such file"):
        learn_vocabulary([text], tmp_path / "v")
    text.write_text("a b\n")
    with pytest.raises(UsageError, match=r"x\.txt is read as text; give its language"):
        learn_vocabulary([text], tmp_path / "v")
    with pytest.raises(UsageError, match="there is none; leave it out"):
        learn_vocabulary([pairs], tmp_path / "v", lang="de")


def test_counts_cannot_lie_where_the_vocabulary_would_replace_them(
    tmp_path: Path, pairs: Path
) -> None:
    for counts in ("v", "v/counts"):
        with pytest.raises(UsageError, match="which is replaced as a whole"):
            learn_vocabulary([pairs], tmp_path / "v", counts=tmp_path / counts)


def test_a_vocabulary_is_no_text(tmp_path: Path, pairs: Path) -> None:
    learn_vocabulary([pairs], tmp_path / "v", vocab_size=200)
    with pytest.raises(LabseError, match=r"v: a folder without rows; give files"):
        learn_vocabulary([tmp_path / "v"], tmp_path / "w", vocab_size=200)


def test_a_file_without_rows_or_words_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(LabseError, match=r"empty\.txt: empty"):
        learn_vocabulary([tmp_path / "empty.txt"], tmp_path / "v", lang="de")
    (tmp_path / "blank.txt").write_text("\n \n")
    with pytest.raises(LabseError, match="no words to learn from"):
        learn_vocabulary([tmp_path / "blank.txt"], tmp_path / "v", lang="de")


def test_a_folder_that_cannot_be_made_is_a_resource_error(tmp_path: Path, pairs: Path) -> None:
    with pytest.raises(ResourceError, match="cannot be written"):
        learn_vocabulary([pairs], pairs / "inside" / "vocab", vocab_size=200)


def test_a_failure_leaves_nothing_behind(tmp_path: Path, pairs: Path) -> None:
    with pytest.raises(UsageError, match="vocab_size 5 cannot hold"):
        learn_vocabulary([pairs], tmp_path / "v", vocab_size=5, min_count=0.1)
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.tsv"]


@pytest.mark.parametrize("algorithm", ["wordpiece", "bpe"])
def test_a_language_of_one_word_stands_beside_larger_ones(
    tmp_path: Path, algorithm: Algorithm
) -> None:
    rows = [f"deu\tword number {n}\tWort Nummer {n}" for n in range(200)]
    rows.append("kat\tpeace\tმშვიდობა")
    (tmp_path / "pairs.tsv").write_text("\n".join(["lang\tenglish\ttext", *rows, ""]), "utf-8")
    out, report = tmp_path / "vocab", tmp_path / "report"
    pytest.importorskip("matplotlib")
    summary = learn_vocabulary(
        [tmp_path / "pairs.tsv"], out, vocab_size=300, algorithm=algorithm, report=report
    )
    assert summary.num_langs == 3
    # Of 1,202 word tokens Georgian has one, which smoothing makes weigh 1202 / (601^0.3 + 600^0.3 +
    # 1) of that unchanged total: about 87, enough to be a piece of its own.
    assert load_tokenizer(out).encode("მშვიდობა", add_special_tokens=False).tokens == ["მშვიდობა"]
    georgian = load_report(report / REPORT_NAME).langs["kat"]
    assert (georgian.num_words, georgian.unk_rate, georgian.pieces_per_word) == (1, 0, 1)
