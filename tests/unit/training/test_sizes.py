import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

from labse.errors import UsageError
from labse.network.config import BertConfig
from labse.training.sizes import fit_bert


def tokenizer() -> Tokenizer:
    return Tokenizer(WordPiece({"[UNK]": 0, "a": 1, "[PAD]": 2}, unk_token="[UNK]"))


def test_sizes_that_are_left_out_are_those_of_the_vocabulary() -> None:
    fitted = fit_bert(BertConfig(hidden_size=12), tokenizer())
    assert (fitted.vocab_size, fitted.pad_token_id, fitted.hidden_size) == (3, 2, 12)
    assert "vocab_size" in fitted.model_fields_set
    assert fit_bert(fitted, tokenizer()) == fitted


@pytest.mark.parametrize("stated", [{"vocab_size": 7}, {"pad_token_id": 1}])
def test_a_stated_size_that_differs_is_refused_with_both(stated: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=r"model\.bert\.\w+ is [17], the vocabulary says [23];"):
        fit_bert(BertConfig(hidden_size=12, **stated), tokenizer())
