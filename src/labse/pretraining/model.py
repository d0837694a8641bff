"""A BERT with the head of masked language modelling."""

import torch
from torch import Tensor, nn

from labse.network.bert import Bert
from labse.network.config import BertConfig
from labse.network.flat import lay_rows
from labse.network.heads import MlmHead, MlmLoss
from labse.pretraining.batches import MicroBatch

__all__ = ["MaskedLm"]


class MaskedLm(nn.Module):
    """Encoder and head; the decoder is the encoder's word table.

    Args:
        config: the sizes.
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
        """Returns the last states of masked tokens, (M, H), without padding on the way."""
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
        """Where the weights are."""
        return self.bert.embeddings.word.weight.device
