"""Mined pairs in a new order, by margin, words and lengths."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

import labse
from labse import MinedOutput, MiningOptions, encode_files, mine_files
from labse.errors import UsageError
from labse.mining.bitext import find_neighbours, select_pairs
from labse.mining.rerank import load_rerank, rerank_columns
from labse.mining.sides import embed_sides, open_sides

GERMAN = [
    "Das Haus steht am Fluss.",
    "Sie hat drei Bücher gekauft.",
    "Wo fährt der Zug ab?",
    "Gestern war das Wetter schlecht.",
    "Mein Bruder wohnt in Berlin.",
    "Die Katze schläft auf dem Sofa.",
    "Morgen gehe ich zum Arzt.",
]
ENGLISH = [
    "The house stands by the river.",
    "She has bought three books.",
    "Where does the train leave from?",
    "The weather was bad yesterday.",
    "My brother lives in Berlin.",
    "The soup is too salty, and nobody wants to eat it.",
    "He found a coin in the street.",
]


@pytest.fixture(scope="module")
def encoder() -> labse.SentenceEncoder:
    return labse.SentenceEncoder()


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Five translations; the last two lines of each side have none."""
    paths = tmp_path / "a.de", tmp_path / "b.en"
    for path, lines in zip(paths, (GERMAN, ENGLISH), strict=True):
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return paths


def test_columns_are_those_of_a_double_loop_over_pieces(
    files: tuple[Path, Path], encoder: labse.SentenceEncoder
) -> None:
    with embed_sides(open_sides(*files), encoder, work=None, settings={}) as sides:
        found = find_neighbours(sides, 2)
        mined = select_pairs(found, MiningOptions(k=2))
        columns = rerank_columns(mined, found, sides, encoder)

    def vectors(text: str) -> list[np.ndarray]:
        ids = encoder.tokenizer.encode(text, add_special_tokens=False).ids
        return [encoder.embed([np.array([number], np.int32)])[0] for number in ids]

    def covered(source: str, target: str) -> float:
        ours, theirs = vectors(source), vectors(target)
        forward = np.mean([max(float(a @ b) for b in theirs) for a in ours])
        backward = np.mean([max(float(a @ b) for a in ours) for b in theirs])
        return float(forward + backward) / 2

    ratios = [
        np.log(len(GERMAN[s]) / len(ENGLISH[t]))
        for s, t in zip(mined.source, mined.target, strict=True)
    ]
    for row, (s, t) in enumerate(zip(mined.source, mined.target, strict=True)):
        near = [covered(GERMAN[s], ENGLISH[other]) for other in found.forward.neighbours[s]]
        back = [covered(GERMAN[other], ENGLISH[t]) for other in found.backward.neighbours[t]]
        usual = (np.mean(near) + np.mean(back)) / 2
        expected = covered(GERMAN[s], ENGLISH[t]) / usual
        assert columns["coverage_margin"][row] == pytest.approx(expected, rel=1e-4)
        distance = abs(ratios[row] - np.median(ratios))
        assert columns["length_ratio"][row] == pytest.approx(distance, abs=1e-6)


def test_pairs_come_by_the_score_and_those_below_the_bound_are_left_out(
    files: tuple[Path, Path], encoder: labse.SentenceEncoder
) -> None:
    mine = partial(mine_files, *files, encoder=encoder)
    reranked = mine(options=MiningOptions(k=2, rerank=True)).pairs
    plain = mine(options=MiningOptions(k=2)).pairs
    assert reranked is not None
    assert plain is not None
    scores = [pair.rerank_score for pair in reranked]
    assert scores == sorted(scores, key=lambda score: -(score or 0))
    assert {(pair.source, pair.target) for pair in reranked} == {
        (pair.source, pair.target) for pair in plain
    }
    assert all(pair.rerank_score is None for pair in plain)
    for number, bound in enumerate(scores, 1):  # A score that was told keeps its pair.
        kept = mine(options=MiningOptions(k=2, min_rerank_score=bound)).pairs
        assert kept == reranked[: max(number, scores.count(bound))]


def test_the_sides_can_be_exchanged(
    files: tuple[Path, Path], encoder: labse.SentenceEncoder
) -> None:
    mine = partial(mine_files, encoder=encoder, options=MiningOptions(k=2, rerank=True))
    here, there = mine(*files), mine(*files[::-1])
    assert here.pairs is not None
    assert there.pairs is not None
    scores = {(pair.source, pair.target): pair.rerank_score for pair in here.pairs}
    turned = {(pair.target, pair.source): pair.rerank_score for pair in there.pairs}
    assert scores == pytest.approx(turned, abs=2e-4)


def test_given_vectors_the_score_is_the_same(
    files: tuple[Path, Path], tmp_path: Path, encoder: labse.SentenceEncoder
) -> None:
    for path in files:
        np.save(f"{path}.npy", encoder.encode(path.read_text("utf-8").split("\n")[:-1]))
    vectors = f"{files[0]}.npy", f"{files[1]}.npy"
    options = MiningOptions(k=2, rerank=True)
    mine = partial(mine_files, encoder=encoder, options=options)
    mine(*files, tmp_path / "out.tsv", vectors=vectors)
    mine(*files, tmp_path / "again.tsv")
    assert (tmp_path / "out.tsv").read_bytes() == (tmp_path / "again.tsv").read_bytes()
    assert (
        (tmp_path / "out.tsv").read_text("utf-8").startswith("margin_score\tsource\ttarget\trerank")
    )
    with pytest.raises(UsageError, match="--rerank needs the text"):
        mine_files(*vectors, options=options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_rerank_score": 2.0}, "must be 0 to 1"),
        ({"rerank": True, "margin": "absolute"}, "learnt with the margin ratio"),
        ({"rerank": True, "k": 1}, "needs k of 2 or more"),
    ],
)
def test_what_cannot_be_reranked_is_told(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MiningOptions(**options)  # type: ignore[arg-type]


def test_moses_has_no_column_for_the_score(
    files: tuple[Path, Path], tmp_path: Path, encoder: labse.SentenceEncoder
) -> None:
    output = MinedOutput(tmp_path / "out", "moses", langs=("de", "en"))
    options = MiningOptions(k=2, min_rerank_score=0.1)
    mined = mine_files(*files, output, encoder=encoder, options=options)
    assert len((tmp_path / "out.de").read_text("utf-8").splitlines()) == mined.num_written


def test_the_weights_are_of_the_shipped_encoder(encoder: labse.SentenceEncoder) -> None:
    assert load_rerank().encoder_sha256 == encoder.hash_model()


def test_vectors_of_another_model_are_refused_before_the_work(
    files: tuple[Path, Path], tmp_path: Path, model: Path
) -> None:
    other = tmp_path / "vectors"
    encode_files([str(files[0])], other, encoder=model)
    with pytest.raises(UsageError, match="vectors is of another model"):
        mine_files(*files, vectors=(other, None), options=MiningOptions(k=2, rerank=True))
