"""A BERT with the head of masked language modelling, and the same twice as deep.

Source: Gong et al. 2019, "Efficient Training of BERT by Progressively Stacking".
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from labse.network.bert import Bert
from labse.network.config import BertConfig
from labse.network.flat import lay_rows
from labse.network.heads import MlmHead, MlmLoss
from labse.pretraining.batches import MicroBatch
from labse.pretraining.config import PretrainConfig

__all__ = [
    "MaskedLm",
    "build_model",
    "stack_layers",
]


class MaskedLm(nn.Module):
    """Encoder and head; the decoder is the encoder's word table.

    Args:
        max_logits_bytes: see `MlmHead`.
    """

    def __init__(self, config: BertConfig, *, max_logits_bytes: int = 256 << 20) -> None:
        super().__init__()
        self.config = config
        self.bert = Bert(config)
        self.head = MlmHead(config, max_logits_bytes=max_logits_bytes)

    def forward(self, batch: MicroBatch) -> MlmLoss:
        """Returns the sum of the losses at the masked tokens, and how many are right."""
        if self.device.type == "cpu":
            hidden_MH = self._encode_masked(batch)
        else:
            hidden_BSH = self.bert(
                batch.input_ids, batch.attention_mask, batch.token_type_ids, batch.position_ids
            ).last_hidden_state
            hidden_MH = hidden_BSH.flatten(0, 1).index_select(0, batch.positions)
        loss: MlmLoss = self.head(hidden_MH, self.bert.embeddings.word.weight, batch.labels)
        return loss

    def _encode_masked(self, batch: MicroBatch) -> Tensor:
        """Returns the last states of masked tokens, (M, H), computed without padding."""
        sentences = lay_rows(batch.input_ids, batch.attention_mask)
        places_BS = torch.empty(batch.input_ids.numel(), dtype=torch.int64)
        places_BS[sentences.tokens] = torch.arange(len(sentences.tokens))
        types, positions = batch.token_type_ids, batch.position_ids
        return self.bert.encode_flat(
            sentences,
            places_BS[batch.positions],
            None if types is None else types.flatten()[sentences.tokens],
            None if positions is None else positions.flatten()[sentences.tokens],
        )

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.bert.embeddings.word.weight.device


def build_model(
    config: PretrainConfig, num_layers: int, grown_from: Mapping[str, Tensor] | None = None
) -> MaskedLm:
    """Returns the model of a first stage.

    Args:
        grown_from: weights of a model with half of the layers, which are stacked twice; None draws
            random weights.
    """
    num_drawn = num_layers if grown_from is None else num_layers // 2
    bert = config.model.bert.model_copy(update={"num_hidden_layers": num_drawn})
    model = MaskedLm(bert, max_logits_bytes=config.train.max_logits_bytes)
    if grown_from is None:
        return model
    model.load_state_dict(dict(grown_from))
    return stack_layers(model)


def stack_layers(model: MaskedLm) -> MaskedLm:
    """Returns a model whose layers are those of `model` and, above them, the same again.

    Embeddings and head are kept: layers 0, 1, 2 become 0, 1, 2, 0, 1, 2. Nothing is shared with
    `model`, and no number is drawn from a generator that others use.
    """
    num_layers = len(model.bert.layers)
    config = model.config.model_copy(update={"num_hidden_layers": 2 * num_layers})
    with torch.random.fork_rng([]):  # Building draws weights, which are replaced.
        grown = MaskedLm(config, max_logits_bytes=model.head.max_logits_bytes)
    state = model.state_dict()
    for name in list(state):
        if name.startswith("bert.layers."):
            _, _, number, rest = name.split(".", 3)
            state[f"bert.layers.{int(number) + num_layers}.{rest}"] = state[name]
    grown.load_state_dict(state)
    return grown.to(model.device).train(model.training)
