"""The definition of CDS with translation models, for those who have them.

Takes: a base model and the same one tuned on trusted pairs, both converted to CTranslate2.
Gives: the difference of their log probabilities, a token.
Source: Wang et al. 2018 (arXiv 1809.00068), section 3.
"""

from collections.abc import Sequence
from pathlib import Path

import ctranslate2
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from labse.errors import LabseError

__all__ = ["TranslationProbabilities"]

_BATCH_TOKENS = 4096
_TOKENIZER = "tokenizer.json"


class TranslationProbabilities:
    """Two translation models of one tokenizer."""

    def __init__(self, base: str | Path, tuned: str | Path, *, threads: int | None = None) -> None:
        """Loads both.

        Args:
            base: a folder of CTranslate2 (model.bin), with the tokenizer.json of its source model.
            tuned: likewise, of the same model after some steps on trusted pairs.
            threads: of the processor; None: all.

        Raises:
            LabseError: a folder holds no such model, or the two have other tokenizers.
        """
        self._models = [_load(Path(folder), threads) for folder in (base, tuned)]
        texts = [_read_tokenizer(Path(folder)) for folder in (base, tuned)]
        if texts[0] != texts[1]:
            raise LabseError(f"{tuned}: another {_TOKENIZER} than that of {base}")
        self._tokenizer = Tokenizer.from_str(texts[0])
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def score(
        self, sources: Sequence[str], targets: Sequence[str]
    ) -> dict[str, NDArray[np.float64]]:
        """Returns (N,) `cds_forward`: (log P(y | x; tuned) - log P(y | x; base)) / |y|.

        The end of the sentence is a token too. A pair with a blank side has 0.
        """
        tokens = [
            [encoding.tokens for encoding in self._tokenizer.encode_batch([*texts])]
            for texts in (sources, targets)
        ]
        rows = [row for row in range(len(sources)) if tokens[0][row] and tokens[1][row]]
        found = np.zeros(len(sources))
        means = []
        for model in self._models:
            results = model.score_batch(
                [tokens[0][row] for row in rows],
                [tokens[1][row] for row in rows],
                max_batch_size=_BATCH_TOKENS,
                batch_type="tokens",
            )
            means.append(np.array([np.mean(result.log_probs) for result in results], np.float64))
        found[rows] = means[1] - means[0]
        return {"cds_forward": found}


def _load(folder: Path, threads: int | None) -> ctranslate2.Translator:
    try:
        return ctranslate2.Translator(str(folder), intra_threads=threads or 0)
    except (RuntimeError, ValueError) as error:
        raise LabseError(
            f"{folder}: no translation model of CTranslate2 ({error}); its ct2-*-converter makes "
            "one of a model of Hugging Face, Marian or fairseq"
        ) from None


def _read_tokenizer(folder: Path) -> str:
    try:
        return (folder / _TOKENIZER).read_text(encoding="utf-8")
    except OSError:
        raise LabseError(
            f"{folder}: no {_TOKENIZER}; put that of the model in which it was trained beside it"
        ) from None
