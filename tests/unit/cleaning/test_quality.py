import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.cleaning.quality import (
    BUCKET_BITS,
    Buckets,
    QualityModel,
    iter_buckets,
    load_quality_model,
    save_quality_model,
)
from labse.errors import LabseError


@pytest.fixture
def model() -> QualityModel:
    weights = np.random.default_rng(3).normal(size=1 << BUCKET_BITS).astype(np.float32)
    return QualityModel(weights, np.array([2.0, -0.5]))


def test_the_probability_is_the_formula(model: QualityModel) -> None:
    text = "Two words"
    buckets = np.concatenate([order.buckets for order in iter_buckets([text])])
    margin = model.weights[buckets].astype(float).sum() / np.sqrt(len(buckets))
    expected = 1 / (1 + np.exp(-(2.0 * margin - 0.5)))
    assert model.score([text, "other"])[0] == pytest.approx(expected, rel=1e-5)


def test_text_is_normalised_and_an_empty_one_has_no_probability(model: QualityModel) -> None:
    scores = model.score([" two\u00a0 words ", "two words", " ", ""])
    assert scores[0] == scores[1]
    assert np.isnan(scores[2:]).all()


def test_a_saved_model_is_the_same_when_loaded(tmp_path: Path, model: QualityModel) -> None:
    save_quality_model(tmp_path / "quality", model, {"report": {}})
    loaded = load_quality_model(tmp_path / "quality")
    assert loaded.score(["a line of text"]) == model.score(["a line of text"])


def test_a_damaged_or_foreign_folder_is_refused(tmp_path: Path, model: QualityModel) -> None:
    save_quality_model(tmp_path / "quality", model, {})
    path = tmp_path / "quality" / "quality.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(LabseError, match="not the file that manifest"):
        load_quality_model(tmp_path / "quality")
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(LabseError, match="not a quality model"):
        load_quality_model(tmp_path)
    with pytest.raises(LabseError, match="no such file"):
        load_quality_model(tmp_path / "missing")


TEXTS = st.lists(st.text("ab 1é", max_size=12), min_size=1, max_size=4)


def cut(order: Buckets) -> list[Counter[int]]:
    """Returns the buckets of each text."""
    values = iter(order.buckets.tolist())
    return [Counter(next(values) for _ in range(count)) for count in order.counts.tolist()]


def grams(text: str, order: int) -> list[str]:
    bounded = text if order == 1 else f"\n{text}\n"
    return [bounded[i : i + order] for i in range(len(bounded) - order + 1)]


@settings(deadline=None)
@given(TEXTS)
def test_equal_grams_share_a_bucket_and_others_hardly_ever(texts: list[str]) -> None:
    digits = [text.replace("1", "0") for text in texts]
    orders = list(iter_buckets(texts))
    named = [[grams(text, order) for text in digits] for order in (1, 2, 3, 4, 5)]
    named += [[text.split(" ") for text in digits]]
    for order, names in zip(orders, named, strict=False):
        names = [[name for name in row if name] for row in names]
        found = cut(order)
        assert [c.total() for c in found] == [len(row) for row in names]
        assert all(len(c) <= len(set(row)) for c, row in zip(found, names, strict=True))
        num_grams = len({name for row in names for name in row})
        # Two of a few grams in one bucket are chance, three are a fault.
        assert num_grams - 1 <= len(set().union(*found)) <= num_grams


@settings(deadline=None)
@given(TEXTS)
def test_the_features_of_a_text_do_not_depend_on_its_neighbours(texts: list[str]) -> None:
    together = [cut(order) for order in iter_buckets(texts)]
    for row, text in enumerate(texts):
        assert [order[row] for order in together] == [cut(o)[0] for o in iter_buckets([text])]


def test_pairs_of_words_keep_their_order() -> None:
    first, second = (list(iter_buckets([text]))[-1] for text in ("red dog", "dog red"))
    assert first.counts.tolist() == second.counts.tolist() == [1]
    assert first.buckets.tolist() != second.buckets.tolist()
    assert 0 <= first.buckets[0] < 1 << BUCKET_BITS
