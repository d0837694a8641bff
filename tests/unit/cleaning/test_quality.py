import json
from pathlib import Path

import numpy as np
import pytest

from labse.cleaning.quality import QualityModel, load_quality_model, save_quality_model
from labse.cleaning.quality_features import BUCKET_BITS, iter_buckets
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
