from pathlib import Path

import pytest
import torch

from labse.bert.config import BertConfig
from labse.errors import UsageError
from labse.pretraining.folder import BertFolder, vocabulary_files, write_bert_folder
from labse.pretraining.model import MaskedLm
from labse.pretraining.stacking import plan_stages
from labse.pretraining.start import build_grown, fit_to_start, fit_to_vocabulary, read_start
from labse.vocab.tokenizer import load_tokenizer

from .conftest import BERT, build_config


def start(**sizes: object) -> BertFolder:
    values = BERT | {"vocab_size": 45, "num_hidden_layers": 1} | sizes
    config = BertConfig.model_validate(values)
    return BertFolder(config, MaskedLm(config).state_dict())


def test_sizes_that_are_not_stated_are_those_of_the_model_to_grow() -> None:
    config = build_config(model={"bert": {}}, train={"stage_steps": [1, 1]})
    bert = fit_to_start(config, start()).model.bert
    assert (bert.hidden_size, bert.vocab_size, bert.num_hidden_layers) == (16, 45, 4)


def test_dropout_may_be_stated_anew_and_a_size_may_not() -> None:
    dropout = {"hidden_dropout_prob": 0.3}
    config = build_config(model={"bert": BERT | dropout}, train={"stage_steps": [1]})
    assert fit_to_start(config, start()).model.bert.hidden_dropout_prob == 0.3
    with pytest.raises(UsageError, match=r"hidden_size is 16, the model to grow has 32"):
        fit_to_start(config, start(hidden_size=32))
    with pytest.raises(UsageError, match="first stage has 2 layers, and the model to grow has 2"):
        fit_to_start(config, start(num_hidden_layers=2))


def test_the_first_stage_is_the_model_stacked_twice() -> None:
    folder = start()
    config = fit_to_start(build_config(train={"stage_steps": [1]}), folder)
    grown = build_grown(config, folder, plan_stages(config)[0])
    for name, tensor in grown.state_dict().items():
        below = folder.state[name.replace("layers.1", "layers.0")]
        assert torch.equal(tensor, below), name


def test_the_vocabulary_gives_its_size_and_must_be_that_of_the_model(run_folder: Path) -> None:
    tokenizer = load_tokenizer(run_folder / "vocab")
    fitted = fit_to_vocabulary(build_config(), tokenizer)
    assert fitted.model.bert.vocab_size == tokenizer.get_vocab_size()
    with pytest.raises(UsageError, match="vocab_size is 7, the vocabulary says"):
        fit_to_vocabulary(build_config(model={"bert": BERT | {"vocab_size": 7}}), tokenizer)

    folder = run_folder / "bert"
    write_bert_folder(folder, start(), files=vocabulary_files(run_folder / "vocab"))
    assert read_start(folder, run_folder / "vocab").config.vocab_size == 45
    (folder / "vocab.txt").write_text("other\n")
    with pytest.raises(UsageError, match="another vocabulary than --vocab"):
        read_start(folder, run_folder / "vocab")
