"""Signature strings never move within a version: scores of two runs are compared by them."""

import pytest

from labse import __version__
from labse.evaluation.datasets import TATOEBA_GROUPS
from labse.evaluation.tatoeba import tatoeba_signature


@pytest.mark.parametrize("group", ["14", "36", "82", "112"])
def test_a_group_goes_by_its_name(group: str) -> None:
    signature = tatoeba_signature(TATOEBA_GROUPS[group], 128)
    assert signature == (
        f"p_at_1|data:tatoeba|langs:{group}|dir:both|max_seq_length:128|norm:l2|v:{__version__}"
    )


def test_other_languages_are_listed_in_order() -> None:
    assert tatoeba_signature(["fra", "deu"], None, "xx-en") == (
        f"p_at_1|data:tatoeba|langs:deu+fra|dir:xx-en|max_seq_length:none|norm:l2|v:{__version__}"
    )
