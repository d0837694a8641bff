from pathlib import Path

import numpy as np
import pytest

import labse
from labse.mining.quality import load_pair_quality, nearby_cosines, score_quality

PAIRS = [
    ("The house stands by the river.", "Das Haus steht am Fluss."),
    ("She has bought three books.", "Sie hat drei Bücher gekauft."),
    ("Where does the train leave from?", "Wo fährt der Zug ab?"),
    ("The weather was bad yesterday.", "Gestern war das Wetter schlecht."),
]


def test_nearby_cosines_by_hand() -> None:
    # Three lines a side, each with one partner: the nearest of the other two is counted.
    source = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    target = np.array([[2, 0], [0, 1], [0.6, 0.8]], np.float32)
    rows = np.array([0, 1, 2, -1]), np.array([0, 1, 2, 0])
    # Source 0: cosines 0 and .6; target 0: 0 and -1. Two lines against 32 at 0.3.
    drawn = [(2 * value + 32 * 0.3) / 34 for value in (0.6, 0.0)]
    nearby = nearby_cosines((source, target), rows)
    assert nearby[0] == pytest.approx(sum(drawn) / 2)
    assert nearby[3] == pytest.approx(0.3)


def test_a_large_corpus_has_the_nearby_cosines_of_a_small_one() -> None:
    rng = np.random.default_rng(0)
    vectors = [rng.normal(size=(5000, 16)).astype(np.float32) for _ in range(2)]
    rows = np.arange(100), np.arange(100)
    few = nearby_cosines((vectors[0][:600], vectors[1][:600]), rows).mean()
    many = nearby_cosines((vectors[0], vectors[1]), rows).mean()
    assert many == pytest.approx(few, abs=0.02)


def test_translations_score_above_what_is_none_and_blank_has_0() -> None:
    sources = [source for source, _ in PAIRS]
    targets = [target for _, target in PAIRS]
    right = score_quality([*sources, ""], [*targets, "leer"])
    wrong = score_quality(sources, [*targets[1:], targets[0]])
    copied = score_quality(sources, sources)
    assert right[:4].min() > wrong.max()
    assert right[:4].min() > copied.max()
    assert right[4] == 0
    assert ((right >= 0) & (right <= 1)).all()


def test_the_sides_can_be_exchanged() -> None:
    sources, targets = zip(*PAIRS, strict=True)
    here, there = score_quality(sources, targets), score_quality(targets, sources)
    np.testing.assert_allclose(here, there, atol=1e-4)


def test_the_shipped_model_is_of_the_shipped_encoder_and_tells_its_licence() -> None:
    quality = load_pair_quality()
    assert quality.encoder_sha256 == labse.SentenceEncoder.from_pretrained().hash_model()
    assert "CC BY-SA 4.0" in str(quality.about["licence"])


def test_files_have_the_scores_of_their_texts(tmp_path: Path) -> None:
    for name, side in (("en", 0), ("de", 1)):
        (tmp_path / name).write_text("".join(f"{pair[side]}\n" for pair in PAIRS) + "\n")
    scored = labse.score_pairs(tmp_path / "en", tmp_path / "de", margin=None, quality=True)
    expected = score_quality(*map(list, zip(*PAIRS, strict=True)))
    assert scored.qualities is not None
    np.testing.assert_allclose(scored.qualities, [*expected, 0], atol=1e-4)
