import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labse.cleaning.naive_bayes import MAX_BYTES, load_naive_bayes

langid = pytest.importorskip("py3langid.langid")
SENTENCES = [
    "The cat sat on the mat.",
    "Der Hund läuft durch den Wald.",
    "Привет, как дела?",
    "这是一个句子。",
    "THE CAT SAT ON THE MAT",
    "",
    "x",
    "12345",
]


@pytest.fixture(scope="module")
def identifier():  # type: ignore[no-untyped-def]  # noqa: ANN201
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)


def check_parity(identifier, texts: list[str]) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    guess = load_naive_bayes().classify(texts)
    for text, label, prob in zip(texts, guess.labels, guess.probs.tolist(), strict=True):
        expected, expected_prob = identifier.classify(text)
        if label == "und":
            assert len(text.encode("utf-8", "surrogatepass")) < 8
            continue
        assert prob == pytest.approx(expected_prob, abs=1e-4)
        assert label == expected


def test_labels_and_probabilities_are_those_of_py3langid(identifier) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    check_parity(identifier, SENTENCES)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=4), st.integers(1, 200))
def test_parity_holds_for_texts_of_many_lengths(identifier, parts, size) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    text = " ".join(parts)
    check_parity(identifier, [text[:size], text, parts[0]])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=())), max_size=5))
def test_any_text_has_an_answer(texts: list[str]) -> None:
    guess = load_naive_bayes().classify(texts)
    assert len(guess.labels) == len(texts)
    assert np.isfinite(guess.probs).all()


def test_only_the_first_bytes_are_looked_at() -> None:
    start = "Der Hund läuft durch den Wald. " * (MAX_BYTES // 20)
    guess = load_naive_bayes().classify([start + "the cat " * 100_000, start])
    assert guess.labels[0] == guess.labels[1]
    assert guess.probs[0] == guess.probs[1]
