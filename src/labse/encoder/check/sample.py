"""Real sentences that come with labse: what a model is tried on when no other text is at hand.

Takes: nothing. Gives: 32 paragraphs of one text in 25 languages and 13 scripts.
Source: Universal Declaration of Human Rights, UN, free use; plain text of unicode.org/udhr.
"""

from functools import cache
from pathlib import Path

import numpy as np

from labse.encoder.protocol import Encoder

__all__ = ["sample_languages", "sample_sentences", "score_sample_languages"]

_PATH = Path(__file__).with_name("udhr_sample.tsv")


def sample_languages() -> dict[str, list[str]]:
    """Returns the paragraphs by language; entry i of each is a translation of entry i of all."""
    return {lang: list(texts) for lang, texts in _read().items()}


def sample_sentences(num_sentences: int) -> list[str]:
    """Returns that many sentences, of as many languages and paragraphs as it takes."""
    columns = list(_read().values())
    sentences = []
    for number in range(num_sentences):
        turn, place = divmod(number, len(columns))
        column = columns[place]
        sentences.append(column[(place + 16 * turn) % len(column)])
    return sentences


def score_sample_languages(encoder: Encoder) -> dict[str, float]:
    """Returns P@1 of each language against English, mean of both directions."""
    languages = sample_languages()
    english = encoder.encode(languages.pop("eng"))
    gold = np.arange(len(english))
    scores = {}
    for lang, sentences in languages.items():
        cosines = encoder.encode(sentences) @ english.T
        scores[lang] = float(np.mean([cosines.argmax(axis) == gold for axis in (0, 1)]))
    return scores


@cache
def _read() -> dict[str, list[str]]:
    languages: dict[str, list[str]] = {}
    for line in _PATH.read_text(encoding="utf-8").splitlines()[1:]:
        lang, _, text = line.split("\t")
        languages.setdefault(lang, []).append(text)
    return languages
