"""The sizes of a BERT and of the dual encoder on it, under their published names."""

from typing import Literal, Self

from pydantic import Field, model_validator

from labse.config import Config

__all__ = ["BertConfig", "DualEncoderConfig"]


class BertConfig(Config):
    """Architecture of a BERT encoder; the defaults are BERT-Base, as in LaBSE (paper, section 4).

    `num_hidden_layers` may be 0: then the encoder is its embedding layer, a bag of word pieces
    once pooled by their mean, and the first stage of progressive stacking (0 -> L/2 -> L).
    """

    vocab_size: int = Field(501_153, gt=0)
    hidden_size: int = Field(768, gt=0)
    # The deepest published has 1,000 (DeepNet, arXiv 2203.00555). A bound, for config.json may
    # be a stranger's.
    num_hidden_layers: int = Field(12, ge=0, le=1000)
    num_attention_heads: int = Field(12, gt=0)
    intermediate_size: int = Field(3072, gt=0)
    hidden_act: Literal["gelu", "gelu_tanh"] = "gelu"  # Exact, or Google's form by tanh.
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

    @property
    def gelu_form(self) -> Literal["none", "tanh"]:
        """How gelu is approximated, as torch and ONNX call it."""
        return "tanh" if self.hidden_act == "gelu_tanh" else "none"


class DualEncoderConfig(Config):
    """A shared encoder and its pooling.

    Attributes:
        pooling: `cls` takes the first hidden state; `mean` averages those of real tokens.
        projection: what follows pooling. `tanh` is LaBSE's pooler, tanh(Dense(h)); `linear` is the
            dense layer alone; `none` leaves the pooled state (then embedding_size is hidden_size).
        embedding_size: D, the width of a sentence vector; None means hidden_size.
        max_seq_length: tokens of a sentence, [CLS] and [SEP] included; the rest is cut off.
    """

    bert: BertConfig = BertConfig()
    pooling: Literal["cls", "mean"] = "cls"
    projection: Literal["tanh", "linear", "none"] = "tanh"
    embedding_size: int | None = Field(None, gt=0)
    max_seq_length: int = Field(64, ge=3)

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        if self.projection == "none" and self.embedding_size not in (None, self.bert.hidden_size):
            raise ValueError("embedding_size needs a projection; set projection to tanh or linear")
        if self.max_seq_length > self.bert.max_position_embeddings:
            raise ValueError(
                f"max_seq_length {self.max_seq_length} exceeds "
                f"max_position_embeddings {self.bert.max_position_embeddings}"
            )
        return self

    @property
    def output_size(self) -> int:
        """D, the width of a sentence vector."""
        return self.embedding_size or self.bert.hidden_size
