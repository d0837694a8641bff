"""Signature strings never move within a version: scores of two runs are compared by them."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from labse import __version__
from labse.evaluation.bucc import evaluate_bucc
from labse.evaluation.bucc_files import BuccSplit
from labse.evaluation.datasets import TATOEBA_GROUPS, AlignedLines
from labse.evaluation.retrieval import evaluate_retrieval
from labse.evaluation.sts import StsPairs, evaluate_sts
from labse.evaluation.tatoeba import tatoeba_signature
from labse.evaluation.xsim import evaluate_xsim_files


class Alphabet:
    """Counts a few characters of each sentence."""

    def __init__(self, max_seq_length: int | None) -> None:
        self.max_seq_length = max_seq_length

    def encode(self, sentences: Sequence[str], /) -> NDArray[np.float32]:
        return np.array([[1.0, *(text.count(c) for c in "abc 1")] for text in sentences])


@pytest.mark.parametrize("group", ["14", "36", "82", "112"])
def test_a_group_goes_by_its_name(group: str) -> None:
    signature = tatoeba_signature(TATOEBA_GROUPS[group], Alphabet(128))
    assert signature == (
        f"p_at_1|data:tatoeba|langs:{group}|dir:both|max_seq_length:128|norm:l2|v:{__version__}"
    )


def test_other_languages_are_listed_in_order() -> None:
    assert tatoeba_signature(["fra", "deu"], Alphabet(None), "xx-en") == (
        f"p_at_1|data:tatoeba|langs:deu+fra|dir:xx-en|max_seq_length:none|norm:l2|v:{__version__}"
    )


def test_signatures_of_the_other_protocols() -> None:
    files = [AlignedLines("deu", ("a", "b 1")), AlignedLines("eng", ("a", "b 1"))]
    encoder = Alphabet(64)
    retrieval = evaluate_retrieval(encoder, files, name="toy")
    assert [score.signature for score in retrieval.scores] == [
        f"p_at_1|data:toy|langs:deu+eng|dir:both|lines:2|max_seq_length:64|norm:l2|v:{__version__}"
    ]
    xsim = evaluate_xsim_files(encoder, files, "eng", data="toy", per_kind=1)
    assert [score.signature for score in xsim] == [
        "xsim_error|data:toy|lang_pair:deu-eng|margin:ratio|k:4|match:text|max_seq_length:64"
        f"|v:{__version__}",
        "xsimpp_error|data:toy|lang_pair:deu-eng|margin:ratio|k:4|match:text"
        f"|near_misses:number|num_near_misses:1|max_seq_length:64|v:{__version__}",
    ]
    split = BuccSplit("de-en", "training", ("a", "b"), ("a", "c"), frozenset({(0, 0)}), (2, 2))
    bucc = evaluate_bucc(encoder, split, None)
    assert [score.signature for score in bucc[:2]] == [
        "bucc_f1|data:bucc|lang_pair:de-en|split:training|retrieval:forward|similarity:cosine"
        f"|threshold:{tuning}|max_seq_length:64|norm:l2|v:{__version__}"
        for tuning in ("folds", "oracle")
    ]
    pairs = StsPairs("toy", ("a", "b"), ("a", "c"), (1, 0))
    sts = evaluate_sts(encoder, [pairs])
    assert [score.signature for score in sts.scores] == [
        f"spearman|data:toy|pairs:2|similarity:cosine|max_seq_length:64|v:{__version__}"
    ]
