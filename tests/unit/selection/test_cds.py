import json
from pathlib import Path

import numpy as np
import pytest

from labse.cli import main
from labse.errors import LabseError
from labse.selection.cds import PARTS, CdsScorer, load_cds
from labse.selection.made_errors import make_errors
from labse.selection.ngrams import bigram_log_probs, learn_bigrams
from labse.selection.train import roc_auc, train_cds
from labse.selection.words import Vocabulary

GERMAN = ["haus", "buch", "fluss", "garten", "hund", "katze", "tisch", "stadt", "berg", "wagen"]
ENGLISH = ["house", "book", "river", "garden", "dog", "cat", "table", "town", "mountain", "car"]


def write_pairs(path: Path, num_pairs: int, seed: int, *, share_wrong: float = 0.0) -> Path:
    """Sentences of three words each in a cipher language; some targets are of other sources."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(10, size=(num_pairs, 3))
    others = np.where(rng.random((num_pairs, 1)) < share_wrong, (rows + 5) % 10, rows)
    lines = []
    for number, (row, other) in enumerate(zip(rows, others, strict=True)):
        words = " ".join(GERMAN[n] for n in row), " ".join(ENGLISH[n] for n in other)
        lines.append(f"Das {words[0]} {number}.\tThe {words[1]} {number}.")
    path.write_text("source\ttarget\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cds")
    write_pairs(path / "trusted.tsv", 500, 1)
    write_pairs(path / "pool.tsv", 500, 2, share_wrong=0.5)
    train_cds(path / "trusted.tsv", path / "pool.tsv", path / "model")
    return path


def test_literal_cds_and_the_dual_score_part_right_pairs_from_wrong_ones(folder: Path) -> None:
    lines = (folder / "pool.tsv").read_text().splitlines()[1:]
    sources, targets = zip(*(line.split("\t") for line in lines), strict=True)
    is_right = np.array([
        all(ENGLISH[GERMAN.index(word)] in target for word in source.split()[1:4])
        for source, target in zip(sources, targets, strict=True)
    ])  # fmt: skip
    even = np.full(len(sources), 0.3)
    columns = load_cds(folder / "model").score(sources, targets, even, even)
    assert list(columns) == ["cds", *PARTS]
    for name in ("cds_forward", "cds_backward", "word_gain"):
        assert roc_auc(columns[name], is_right) > 0.85, name


def test_pairs_whose_quality_is_known_get_the_same_columns(folder: Path) -> None:
    scorer = CdsScorer(folder / "model")
    quality = np.array([0.9, 0.1], np.float32)
    found = scorer(["Das haus"] * 2, ["The house"] * 2, {"quality": quality})
    assert list(found) == ["cds", *PARTS]
    assert found["cds"][0] > found["cds"][1]
    assert repr(scorer) == repr(CdsScorer(folder / "model"))


def test_the_same_seed_gives_the_same_bytes_and_done_work_is_not_done_again(folder: Path) -> None:
    inputs = folder / "trusted.tsv", folder / "pool.tsv"
    first = train_cds(*inputs, folder / "model")
    again = train_cds(*inputs, folder / "again")
    assert first == again
    for path in sorted((folder / "model").iterdir()):
        if path.name != ".lock":
            assert path.read_bytes() == (folder / "again" / path.name).read_bytes(), path.name


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_filter_has_each_part_as_a_column(folder: Path, tmp_path: Path) -> None:
    out, scores = tmp_path / "kept.tsv", tmp_path / "scores.jsonl"
    pool = folder / "pool.tsv"
    model = folder / "model"
    command = ("filter", pool, "--cds", model, "--min-cds", 0.5, "--out", out)
    assert run(*command, "--scores", scores) == 0
    rows = [json.loads(line) for line in scores.read_text().splitlines()]
    assert {"cds", "quality", "cosine", *PARTS} <= rows[0].keys()
    assert len(out.read_text().splitlines()) - 1 == sum(row["cds"] >= 0.5 for row in rows)
    assert run("filter", pool, "--from-scores", scores, "--min-cds", 0.9, "--out", out) == 0
    assert run("filter", pool, "--from-scores", scores, "--min-cds-forward", 0, "--out", out) == 0
    assert 150 < len(out.read_text().splitlines()) < 350  # About half is right.
    assert run("filter", pool, "--min-cds", 0.5, "--out", out) == 2
    assert run("filter", pool, "--cds", folder, "--min-cds", 0.5, "--out", out) == 3


def test_ratings_take_the_place_of_made_errors(folder: Path, tmp_path: Path) -> None:
    pairs = (folder / "pool.tsv").read_text().splitlines()[1:201]
    labels = ["V" if n % 2 else "A" for n in range(200)]
    rated = enumerate(zip(labels, pairs, strict=True))
    rows = [f"1.0\t{label}\t{pair}\t{n}" for n, (label, pair) in rated]
    (tmp_path / "rated.tsv").write_text("\n".join(rows) + "\n")
    report = train_cds(folder / "trusted.tsv", folder / "pool.tsv", tmp_path / "model",
                       ratings=tmp_path / "rated.tsv", good=["V"])  # fmt: skip
    assert (report.from_ratings, report.num_joined) == (True, 200)
    assert load_cds(tmp_path / "model").join.names == ("quality_log_odds",)


def test_too_few_pairs_are_told(folder: Path, tmp_path: Path) -> None:
    few = write_pairs(tmp_path / "few.tsv", 9, 1)
    with pytest.raises(LabseError, match="9 different pairs are too few"):
        train_cds(few, folder / "pool.tsv", tmp_path / "model")


def test_made_errors_change_every_pair() -> None:
    sources = [f"Satz {n} ist hier" for n in range(50)]
    targets = [f"sentence {n} is here" for n in range(50)]
    vectors = np.random.default_rng(0).normal(size=(50, 4))
    wrong, kinds = make_errors(sources, targets, vectors, np.random.default_rng(1))
    assert all(made != right for made, right in zip(wrong, targets, strict=True))
    assert {*kinds} == {"shuffled", "neighbour", "cut", "number", "copy"}


def test_bigrams_by_hand() -> None:
    words = Vocabulary(["a", "b"])
    model = learn_bigrams(words.number(["a b", "a b"]), len(words))
    # Unigram with one added to each of four ids: a and b 3/8. P(a | start) = (2 + 20 * 3/8) / 22.
    probs = [(2 + 20 * 3 / 8) / 22] * 2
    found = bigram_log_probs(model, words.number(["a b", ""]))
    np.testing.assert_allclose(found, [np.mean(np.log(probs)), 0])


def test_auc_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    scores, is_good = rng.integers(5, size=60).astype(float), rng.random(60) < 0.4
    assert roc_auc(scores, is_good) == pytest.approx(metrics.roc_auc_score(is_good, scores))
