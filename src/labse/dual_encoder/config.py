"""The configuration of a dual encoder and of its training, readable without torch."""

from typing import Literal, Self

from pydantic import Field, model_validator

from labse.bert.config import BertConfig
from labse.config import Config

__all__ = ["DataConfig", "DualEncoderConfig", "RunConfig", "TrainConfig"]


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


class DataConfig(Config):
    """Which pairs are read and in what proportion.

    Attributes:
        pairs: files of pairs (Parquet, TSV, JSONL); relative paths start at the TOML file's folder.
        langs: languages kept, as canonical tags; empty keeps all.
        smoothing_exponent: a language pair is drawn with probability share^exponent.
        corpus_exponent: the same for the files within a language pair; 1 draws all pairs alike,
            less lifts the small files, which are often the better text.
    """

    pairs: tuple[str, ...] = Field(min_length=1)
    langs: tuple[str, ...] = ()
    smoothing_exponent: float = Field(0.5, ge=0, le=1)
    corpus_exponent: float = Field(1.0, ge=0, le=1)


class TrainConfig(Config):
    """Translation ranking: loss, optimizer, and what is written when.

    The defaults are those of LaBSE's released configuration (tensorflow/models, official/projects/
    labse/experiments/labse_bert_base.yaml), where it names them.

    Attributes:
        sparse_embeddings: a step touches only the table rows of its pieces, which row-wise AdaGrad
            updates at `embedding_lr`; off, the table is one more weight of AdamW, as in the paper.
        max_grad_norm: the gradient is scaled down to this global norm.
        precision: of the layers' arithmetic; losses, norms and weights are float32.
        eval_every, checkpoint_every, log_every: in steps; the last step does all three.
    """

    seed: int = Field(0, ge=0, lt=2**32)  # What NumPy's global generator takes.
    train_steps: int = Field(500_000, gt=0)
    global_batch_size: int = Field(4096, ge=2)
    logit_scale: float = Field(100.0, gt=0)
    logit_margin: float = Field(0.3, ge=0)
    lr: float = Field(1e-4, gt=0)
    sparse_embeddings: bool = False
    embedding_lr: float = Field(0.03, gt=0)
    warmup_steps: int = Field(5000, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    adam_eps: float = Field(1e-5, gt=0)
    max_grad_norm: float = Field(100.0, gt=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    log_every: int = Field(100, gt=0)
    eval_every: int = Field(5000, gt=0)
    checkpoint_every: int = Field(5000, gt=0)


class RunConfig(Config):
    """One TOML file of `labse train`: sections [data], [model] and [train]."""

    data: DataConfig
    model: DualEncoderConfig = DualEncoderConfig()
    train: TrainConfig = TrainConfig()
