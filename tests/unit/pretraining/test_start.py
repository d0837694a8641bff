from pathlib import Path

import pytest
import torch

from labse.errors import UsageError
from labse.network.config import BertConfig
from labse.pretraining.folder import BertFolder, vocabulary_files, write_bert_folder
from labse.pretraining.model import MaskedLm
from labse.pretraining.sizes import fit_to_start
from labse.pretraining.stages import plan_stages
from labse.pretraining.start import build_grown, read_start

from .conftest import BERT, build_config


def start() -> BertFolder:
    config = BertConfig.model_validate(BERT | {"vocab_size": 45, "num_hidden_layers": 1})
    return BertFolder(config, MaskedLm(config).state_dict())


def test_the_first_stage_is_the_model_stacked_twice() -> None:
    folder = start()
    config = fit_to_start(build_config(train={"stage_steps": [1]}), folder.config)
    grown = build_grown(config, folder, plan_stages(config)[0])
    for name, tensor in grown.state_dict().items():
        below = folder.state[name.replace("layers.1", "layers.0")]
        assert torch.equal(tensor, below), name


def test_the_model_to_grow_must_have_the_vocabulary_of_the_run(run_folder: Path) -> None:
    folder = run_folder / "bert"
    write_bert_folder(folder, start(), files=vocabulary_files(run_folder / "vocab"))
    assert read_start(folder, run_folder / "vocab").config.vocab_size == 45
    (folder / "vocab.txt").write_text("other\n")
    with pytest.raises(UsageError, match="another vocabulary than --vocab"):
        read_start(folder, run_folder / "vocab")
