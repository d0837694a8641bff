"""The configuration of a dual encoder and of its training, readable without torch."""

import math
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from labse.config import Config
from labse.network.config import DualEncoderConfig

__all__ = ["DataConfig", "DistillConfig", "RunConfig", "TeacherSide", "TrainConfig"]

TeacherSide = Literal["own", "source", "target"]


class DataConfig(Config):
    """Which pairs are read and in what proportion.

    Attributes:
        pairs: files of pairs (Parquet, TSV, JSONL); relative paths start at the TOML file's folder.
        langs: languages kept, as canonical tags; empty keeps all.
        smoothing_exponent: a language pair is drawn with probability share^exponent.
        corpus_exponent: the same for the files within a language pair; 1 draws all pairs alike,
            less lifts the small files, which are often the better text.
        repeats: what becomes of a pair that repeats a sentence of the batch. `skip` draws another;
            `mask` takes it and leaves the copies out of each other's negatives.
        source_lang, target_lang: languages of every row of files without a column that tells them.
        batches: `mixed` draws each batch from all language pairs and files; `one-language-pair`
            from one, which is drawn by the exponents; `by-corpus` from one file as far as possible,
            for negatives of its kind of text.
        direction: `random` exchanges the sides of half of the pairs drawn.
        pivot_share: share of the pairs drawn that become xx-yy: the translations into two languages
            of one sentence in `pivot_lang`. A pair without such a partner stays.
        max_pairs_per_corpus: a larger file counts and is drawn as a random part of this size.
        max_pairs_per_lang_pair: the same for a language pair, of what is left of its files.
        held_out: pairs that are not trained on, and say at the end whether the model is better:
            below 1 a share of all, else their number. None and 0: none.
        hard_negatives: how many of its hard negatives a side each pair of a batch brings, at most;
            they are read from the columns that `labse hard-negatives` adds.
    """

    pairs: tuple[str, ...] = Field(min_length=1)
    source_lang: str | None = None
    target_lang: str | None = None
    langs: tuple[str, ...] = ()
    smoothing_exponent: float = Field(0.5, ge=0, le=1)
    corpus_exponent: float = Field(1.0, ge=0, le=1)
    repeats: Literal["skip", "mask"] = "skip"
    batches: Literal["mixed", "one-language-pair", "by-corpus"] = "mixed"
    direction: Literal["as-stored", "random"] = "as-stored"
    pivot_share: float = Field(0.0, ge=0, le=1)
    pivot_lang: str = "eng"
    max_pairs_per_corpus: int | None = Field(None, gt=0)
    max_pairs_per_lang_pair: int | None = Field(None, gt=0)
    held_out: float | None = Field(None, ge=0)
    hard_negatives: int = Field(0, ge=0)

    @field_validator("held_out")
    @classmethod
    def _check_held_out(cls, amount: float | None) -> float | None:
        if amount is not None and amount >= 1 and amount != round(amount):
            raise ValueError(f"held_out is {amount}; give a share below 1 or a whole number")
        return amount

    @model_validator(mode="after")
    def _check_pivot(self) -> Self:
        if not self.pivot_share:
            return self
        if self.batches == "one-language-pair":
            raise ValueError('pivot_share makes pairs of all languages; it needs batches = "mixed"')
        if self.repeats != "skip":
            raise ValueError(
                'pivot_share needs repeats = "skip": the loss cannot tell that two pairs come from '
                "one sentence that neither of them holds"
            )
        return self


class TrainConfig(Config):
    """Translation ranking: loss, optimizer, and what is written when.

    The defaults are those of LaBSE's released configuration (tensorflow/models, official/projects/
    labse/experiments/labse_base.yaml), where it names them.

    Attributes:
        micro_batch_size: pairs that the encoder holds activations of at a time; the loss is still
            that of the whole batch (docs/training.md). None holds all of them.
        logit_block_bytes: a matrix of logits larger than this is made block by block, forward and
            backward.
        negative_margin: the margin by which a pair must win over hard negatives, which may mean
            nearly the same; None takes `logit_margin`.
        max_negative_excess: a negative whose cosine is above the positive's by more than this is
            left out of the loss as a translation that no pair tells of; None leaves all in.
        sparse_embeddings: a step touches only the table rows of its pieces, which
            `embedding_optimizer` updates at `embedding_lr`; off, the table is one more weight of
            AdamW, as in the paper.
        char_ngrams: lengths of character n-grams whose rows pieces share while the table is learnt;
            they are part of it at the end. Empty: each piece learns by itself.
        round_rows_after: steps after which sentences see word rows in 4 bits, each value at the
            nearest level, while the rows themselves learn as before; None never rounds.
        embedding_optimizer: row-wise AdaGrad, or AdamW that catches up on the steps a row missed.
        embedding_lr: its rate; 0 leaves the table as it is, to be shared with another model.
        max_grad_norm: the gradient is scaled down to this global norm.
        precision: type of the products in layers, and of those of the loss's backward pass where it
            is made in one matrix (docs/training.md); losses, norms and weights are float32.
        shard: `full` cuts weights, gradients and moments over the processes (FSDP2), all but a
            table with sparse gradients; `none` gives each process all of them.
        keep_best: the model of the run is that of the best evaluation, and not the last.
        best_by: the measure that says which is best, higher being better; None takes the first that
            an evaluation gives.
        patience: the run ends after so many evaluations in a row that were not the best.
        average_checkpoints: the model of the run is the mean of the weights at so many checkpoints,
            the last that are due; 1 takes the last weights.
        eval_every, checkpoint_every, log_every: steps between two; the last step does all three.
    """

    seed: int = Field(0, ge=0, lt=2**32)  # What NumPy's global generator takes.
    train_steps: int = Field(500_000, gt=0)
    global_batch_size: int = Field(4096, ge=2)
    micro_batch_size: int | None = Field(None, gt=0)
    logit_block_bytes: int = Field(2**28, gt=0)  # 8,192 x 8,192 in float32.
    logit_scale: float = Field(100.0, gt=0)
    logit_margin: float = Field(0.3, ge=0)
    negative_margin: float | None = Field(None, ge=-2, le=2)  # Cosines lie within 2.
    max_negative_excess: float | None = Field(None, ge=0, lt=2)  # Cosines lie within 2.
    lr: float = Field(1e-4, gt=0)
    sparse_embeddings: bool = False
    char_ngrams: tuple[Annotated[int, Field(gt=0)], ...] = ()
    round_rows_after: int | None = Field(None, ge=0)
    embedding_optimizer: Literal["adagrad", "adamw"] = "adagrad"
    embedding_lr: float = Field(0.03, ge=0)
    warmup_steps: int = Field(5000, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    adam_eps: float = Field(1e-5, gt=0)
    max_grad_norm: float = Field(100.0, gt=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    shard: Literal["none", "full"] = "none"
    keep_best: bool = False
    best_by: str | None = None
    patience: int | None = Field(None, gt=0)
    average_checkpoints: int = Field(1, gt=0)
    log_every: int = Field(100, gt=0)
    eval_every: int = Field(5000, gt=0)
    checkpoint_every: int = Field(5000, gt=0)

    @field_validator("char_ngrams")
    @classmethod
    def _sort(cls, lengths: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(lengths)))

    @model_validator(mode="after")
    def _check_batch(self) -> Self:
        if self.micro_batch_size is not None and self.micro_batch_size > self.global_batch_size:
            raise ValueError(
                f"micro_batch_size {self.micro_batch_size} exceeds "
                f"global_batch_size {self.global_batch_size}; lower it or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _check_char_ngrams(self) -> Self:
        if self.char_ngrams and not self.sparse_embeddings:
            raise ValueError("char_ngrams is for sparse_embeddings = true")
        if self.char_ngrams and self.shard != "none":
            raise ValueError("char_ngrams adds to the table, which is whole; it needs shard none")
        return self

    @model_validator(mode="after")
    def _check_embedding_optimizer(self) -> Self:
        if self.embedding_optimizer == "adamw":
            if not self.sparse_embeddings:
                raise ValueError(
                    "embedding_optimizer is for sparse_embeddings = true; without, all is AdamW's"
                )
            if "embedding_lr" not in self.model_fields_set:
                raise ValueError("embedding_optimizer adamw: state embedding_lr too, such as 1e-3")
        return self

    @model_validator(mode="after")
    def _check_frozen_table(self) -> Self:
        if self.embedding_lr:
            return self
        if not self.sparse_embeddings:
            raise ValueError("embedding_lr 0 leaves the table as it is; it needs sparse_embeddings")
        for key in ("char_ngrams", "round_rows_after"):
            if getattr(self, key) not in ((), None):
                raise ValueError(f"{key} is for a table that learns; embedding_lr is 0")
        return self

    @model_validator(mode="after")
    def _check_what_is_kept(self) -> Self:
        for key in ("best_by", "patience"):
            if getattr(self, key) is not None and not self.keep_best:
                raise ValueError(f"{key} needs keep_best = true")
        if self.average_checkpoints > 1 and self.keep_best:
            raise ValueError("keep_best and average_checkpoints exclude each other; choose one")
        if self.average_checkpoints > 1 and self.shard != "none":
            raise ValueError("average_checkpoints sums whole weights; it needs shard none")
        due = math.ceil(self.train_steps / self.checkpoint_every)
        if self.average_checkpoints > due:
            raise ValueError(
                f"average_checkpoints is {self.average_checkpoints}, but {due} are due in "
                f"{self.train_steps} steps; lower it or checkpoint_every"
            )
        return self


class DistillConfig(Config):
    """What a student learns from a teacher, beside translation ranking or in its place.

    Attributes:
        teacher: a model folder, or `default` for the one that comes with labse; relative paths
            start at the TOML file's folder.
        loss: distance of the student's unit vector to the teacher's; `mse` is the squared one,
            `cosine` half of that.
        teacher_side: whose vector by the teacher a sentence learns: its `own` (LEALLA), or for both
            sides of a pair that of the `source` (Reimers & Gurevych 2020) or of the `target`.
        weight: factor on this loss.
        ranking_weight: factor on the loss of translation ranking; 0 leaves distillation alone.
    """

    teacher: str = Field(min_length=1)
    loss: Literal["mse", "cosine"] = "cosine"
    teacher_side: TeacherSide = "own"
    weight: float = Field(10.0, gt=0)
    ranking_weight: float = Field(1.0, ge=0)


class RunConfig(Config):
    """One TOML file of `labse train`: sections [data], [model] and [train], perhaps [distill]."""

    data: DataConfig
    model: DualEncoderConfig = DualEncoderConfig()
    train: TrainConfig = TrainConfig()
    distill: DistillConfig | None = None

    @model_validator(mode="after")
    def _check_negative_margin(self) -> Self:
        if self.train.negative_margin is not None and not self.data.hard_negatives:
            raise ValueError("train.negative_margin is for data.hard_negatives of 1 or more")
        return self
