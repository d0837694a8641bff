"""The model of an earlier run, from whose layers a run starts.

Takes: a configuration, a BERT folder. Gives: the model of the first stage.
"""

from pathlib import Path

from labse.errors import UsageError
from labse.files.atomic import sha256_file
from labse.pretraining.config import PretrainConfig
from labse.pretraining.folder import BertFolder, read_bert_folder
from labse.pretraining.model import MaskedLm
from labse.pretraining.stacking import stack_layers
from labse.pretraining.stages import Stage

__all__ = ["build_grown", "read_start"]


def build_grown(config: PretrainConfig, start: BertFolder, stage: Stage) -> MaskedLm:
    """Returns the model of the first stage: that of the folder, its layers stacked twice."""
    bert = config.model.bert.model_copy(update={"num_hidden_layers": stage.num_layers // 2})
    model = MaskedLm(bert, max_logits_bytes=config.train.max_logits_bytes)
    model.load_state_dict(dict(start.state))
    return stack_layers(model)


def read_start(folder: Path, vocab_folder: Path) -> BertFolder:
    """Reads the model to grow.

    Raises:
        LabseError: the folder is missing or damaged.
        UsageError: it has another vocabulary than `vocab_folder`.
    """
    start = read_bert_folder(folder)
    names = [path / "vocab.txt" for path in (folder, vocab_folder)]
    if sha256_file(names[0]) != sha256_file(names[1]):
        raise UsageError(
            f"{folder}: has another vocabulary than --vocab; leave --vocab out to take the model's"
        )
    return start
