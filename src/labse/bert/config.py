"""The sizes of a BERT, under their published names."""

from typing import Literal, Self

from pydantic import Field, model_validator

from labse.config import Config

__all__ = ["BertConfig"]


class BertConfig(Config):
    """Architecture of a BERT encoder; the defaults are BERT-Base, as in LaBSE (paper, section 4).

    `num_hidden_layers` may be 0: then the encoder is its embedding layer, a bag of word pieces
    once pooled by their mean, and the first stage of progressive stacking (0 -> L/2 -> L).
    """

    vocab_size: int = Field(501_153, gt=0)
    hidden_size: int = Field(768, gt=0)
    num_hidden_layers: int = Field(12, ge=0)
    num_attention_heads: int = Field(12, gt=0)
    intermediate_size: int = Field(3072, gt=0)
    hidden_act: Literal["gelu"] = "gelu"
    hidden_dropout_prob: float = Field(0.1, ge=0, lt=1)
    attention_probs_dropout_prob: float = Field(0.1, ge=0, lt=1)
    max_position_embeddings: int = Field(512, gt=0)
    type_vocab_size: int = Field(2, gt=0)
    initializer_range: float = Field(0.02, gt=0)
    layer_norm_eps: float = Field(1e-12, gt=0)
    pad_token_id: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of "
                f"num_attention_heads {self.num_attention_heads}"
            )
        return self
