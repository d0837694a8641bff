from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from labse.errors import LabseError
from labse.selection.cds import load_cds
from labse.selection.train import train_cds
from labse.selection.translation_models import TranslationProbabilities

WORDS = ["<unk>", "<s>", "</s>", "haus", "house", "horse"]
WIDTH = 8


def write_unigram_model(folder: Path, logits: list[float]) -> Path:
    """A transformer whose state is always the same, so that P(word) = softmax(logits)."""
    spec = ctranslate2.specs.TransformerSpec.from_config(1, 1)
    for name in spec.variables(ordered=False):
        if (shape := shape_of(name)) is None:
            continue
        value = np.zeros(shape, np.float32)
        if name == "decoder/layer_norm/beta":
            value[0] = 1
        if name == "decoder/projection/weight":
            value[:, 0] = logits
        place: Any = spec
        *parents, last = name.split("/")
        for part in parents:
            stem, _, number = part.rpartition("_")
            is_named = hasattr(place, part)
            place = getattr(place, part) if is_named else getattr(place, stem)[int(number)]
        setattr(place, last, value)
    spec.register_source_vocabulary(WORDS)
    spec.register_target_vocabulary(WORDS)
    spec.validate()
    folder.mkdir()
    spec.save(str(folder))
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def shape_of(name: str) -> tuple[int, ...] | None:
    kind = name.split("/", 1)[1]
    if kind.endswith(("gamma", "beta")):
        return (WIDTH,)
    if ("embeddings" in kind and kind.endswith("weight")) or kind == "projection/weight":
        return (len(WORDS), WIDTH)
    if not kind.endswith("weight"):
        return None
    times = {"self_attention/linear_0": 3, "/attention/linear_1": 2}
    height = next((n for part, n in times.items() if part in kind), 1)
    return (height * WIDTH, WIDTH)


def test_cds_is_the_difference_of_two_models_a_token(tmp_path: Path) -> None:
    base = [0.0, 0.0, 1.0, 0.0, 1.0, 1.0]
    tuned = [0.0, 0.0, 1.0, 0.0, 3.0, 1.0]  # The tuned model likes "house".
    folders = [
        write_unigram_model(tmp_path / name, logits)
        for name, logits in (("base", base), ("tuned", tuned))
    ]
    found = TranslationProbabilities(*folders).score(
        ["haus", "haus", ""], ["house", "horse", "house"]
    )["cds_forward"]

    def mean_log_prob(logits: list[float], word: str) -> float:
        logs = np.array(logits) - np.log(np.exp(logits).sum())
        return float(logs[[WORDS.index(word), WORDS.index("</s>")]].mean())

    expected = [mean_log_prob(tuned, w) - mean_log_prob(base, w) for w in ("house", "horse")]
    np.testing.assert_allclose(found, [*expected, 0], atol=1e-5)
    assert found[0] > 0 > found[1]


def test_translation_models_take_the_place_of_word_models(tmp_path: Path) -> None:
    lines = [f"haus {n}\thouse {n}" for n in range(100)]
    (tmp_path / "t.tsv").write_text("source\ttarget\n" + "\n".join(lines) + "\n")
    (tmp_path / "p.tsv").write_text("source\ttarget\n" + "\n".join(lines[::-1]) + "\n")
    both = (
        write_unigram_model(tmp_path / "base", [0.0] * 6),
        write_unigram_model(tmp_path / "tuned", [0.0, 0.0, 0.0, 0.0, 3.0, 0.0]),
    )
    train_cds(tmp_path / "t.tsv", tmp_path / "p.tsv", tmp_path / "cds", translation=both)
    even = np.full(1, 0.5)
    found = load_cds(tmp_path / "cds").score(["haus"], ["house"], even, even)["cds_forward"]
    expected = TranslationProbabilities(*both).score(["haus"], ["house"])["cds_forward"]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_is_no_translation_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabseError, match="no translation model of CTranslate2"):
        TranslationProbabilities(tmp_path, tmp_path)
    folder = write_unigram_model(tmp_path / "m", [0.0] * 6)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(LabseError, match=r"no tokenizer\.json"):
        TranslationProbabilities(folder, folder)
