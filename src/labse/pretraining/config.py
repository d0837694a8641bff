"""The configuration of a pre-training run: its stages, and the sizes that it leaves open.

Takes: a TOML file, a tokenizer, the sizes of a model to grow. Gives: a configuration; no torch.
"""

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator
from tokenizers import Tokenizer

from labse.config import Config, parse_config
from labse.errors import UsageError
from labse.network.config import BertConfig
from labse.training.sizes import fit_bert, keep_stated

__all__ = [
    "MaskingConfig",
    "PretrainConfig",
    "PretrainDataConfig",
    "PretrainModelConfig",
    "PretrainTrainConfig",
    "Stage",
    "fit_to_start",
    "fit_to_vocabulary",
    "plan_stages",
]

_MAY_DIFFER = (
    "model.bert.num_hidden_layers",
    "model.bert.hidden_dropout_prob",
    "model.bert.attention_probs_dropout_prob",
)
_SHORTEST_PAIR = 5  # [CLS], a piece, [SEP], a piece, [SEP].


class PretrainDataConfig(Config):
    """What is read and in what proportion.

    Attributes:
        text: files for MLM: text whose name ends in its language (`news.deu`, `news.deu.txt`),
            tables with the columns text and lang, or pairs, of which both sides are read. Relative
            paths start at the TOML file's folder.
        pairs: files of pairs for TLM.
        max_seq_length: tokens of an example, special ones included.
        cross_documents: text goes on from one document into the next, with [SEP] between.
        positions: of the second side of a pair: `continue` counts on, `reset` begins at 1, as the
            first side behind [CLS] does (XLM).
        segments: `on` gives the second side of a pair token type 1.
        tlm_share: the share of examples that are TLM; None: a half where there is text and pairs.
        smoothing_exponent: within an objective a language has probability share^exponent, share
            being of its tokens. 0.7 is multilingual BERT's.
        validation_examples: held out of each objective and language, at most a twentieth of it.
    """

    text: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()
    max_seq_length: int = Field(512, ge=3)
    cross_documents: bool = False
    positions: Literal["continue", "reset"] = "continue"
    segments: Literal["on", "off"] = "off"
    tlm_share: float | None = Field(None, gt=0, lt=1)
    smoothing_exponent: float = Field(0.7, ge=0, le=1)
    validation_examples: int = Field(64, ge=0)

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        if not self.text and not self.pairs:
            raise ValueError("give text, pairs, or both")
        if self.pairs and self.max_seq_length < _SHORTEST_PAIR:
            raise ValueError(f"max_seq_length of pairs is {_SHORTEST_PAIR} at least")
        if self.tlm_share is not None and not (self.text and self.pairs):
            raise ValueError("tlm_share needs text and pairs; leave it out")
        if not self.pairs and {"positions", "segments"} & self.model_fields_set:
            raise ValueError("positions and segments are of pairs, and there are none")
        return self


class MaskingConfig(Config):
    """Which tokens are hidden, and by what; the first two defaults are LaBSE's (paper, section 4).

    Attributes:
        masked_share: of the tokens that are not special.
        max_masked: tokens of one example, both sides of a pair together.
        mask_token_share, random_token_share: of the masked tokens; the rest stays as it is (BERT).
    """

    masked_share: float = Field(0.2, gt=0, lt=1)
    max_masked: int = Field(80, gt=0)
    mask_token_share: float = Field(0.8, ge=0, le=1)
    random_token_share: float = Field(0.1, ge=0, le=1)

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        if self.mask_token_share + self.random_token_share > 1:
            raise ValueError("mask_token_share and random_token_share exceed 1 together")
        return self


class PretrainModelConfig(Config):
    """The encoder of the last stage and what is written beside it.

    Attributes:
        pooler: `random` writes an untrained pooler, from which a dual encoder starts as LaBSE does
            (tanh(Dense([CLS]))); with `none` its sentence vector is the mean of the last states.
    """

    bert: BertConfig = BertConfig()
    pooler: Literal["random", "none"] = "random"


class PretrainTrainConfig(Config):
    """Steps, optimizer, and what is written when.

    Attributes:
        stage_steps: of each stage; the last has all layers, each one before half of the next.
            LaBSE's "400k, 800k, 1.8M", on 3, 6 and 12 layers.
        stage_steps_are: `per_stage`, or `cumulative`: the step at which a stage ends.
        stage_warmup_steps: of each stage after the first, whose optimizer starts without moments.
        micro_batch_size: examples that are on the device at once; without dropout, no number
            depends on it. It may change when a run goes on: a deeper stage needs more memory.
        max_logits_bytes: of the logits that exist at once (float32).
        precision: arithmetic of the layers; losses, norms and weights are float32.
        shard: `full` cuts weights, gradients and moments over the processes (FSDP2); `none` gives
            each process all of them.
        peak_tflops: of one device, at this precision; the record then has the share reached.
        eval_every, checkpoint_every, log_every: in steps; the last step does all three.
    """

    seed: int = Field(0, ge=0, lt=2**32)
    stage_steps: tuple[int, ...] = Field((400_000, 800_000, 1_800_000), min_length=1)
    stage_steps_are: Literal["per_stage", "cumulative"] = "per_stage"
    global_batch_size: int = Field(8192, gt=0)
    micro_batch_size: int = Field(32, gt=0)
    max_logits_bytes: int = Field(256 << 20, gt=0)
    optimizer: Literal["adamw", "lamb"] = "adamw"
    lr: float = Field(1e-4, gt=0)
    warmup_steps: int = Field(10_000, ge=0)
    stage_warmup_steps: int = Field(0, ge=0)
    weight_decay: float = Field(0.01, ge=0)
    adam_eps: float = Field(1e-6, gt=0)
    max_grad_norm: float = Field(1.0, gt=0)
    precision: Literal["float32", "bfloat16"] = "float32"
    shard: Literal["none", "full"] = "none"
    peak_tflops: float | None = Field(None, gt=0)
    log_every: int = Field(100, gt=0)
    eval_every: int = Field(5000, gt=0)
    checkpoint_every: int = Field(5000, gt=0)

    @model_validator(mode="after")
    def _check_stages(self) -> Self:
        if min(self.stage_ends, default=0) < 1 or any(
            end <= start for start, end in zip(self.stage_ends, self.stage_ends[1:], strict=False)
        ):
            raise ValueError("stage_steps leaves a stage without a step")
        return self

    @property
    def stage_ends(self) -> tuple[int, ...]:
        """The step after which each stage ends, counted from the start of the run."""
        if self.stage_steps_are == "cumulative":
            return self.stage_steps
        return tuple(sum(self.stage_steps[: n + 1]) for n in range(len(self.stage_steps)))

    @property
    def train_steps(self) -> int:
        """Updates of the whole run."""
        return self.stage_ends[-1]


class PretrainConfig(Config):
    """One TOML file of `labse pretrain`: sections [data], [masking], [model] and [train]."""

    data: PretrainDataConfig
    masking: MaskingConfig = MaskingConfig()
    model: PretrainModelConfig = PretrainModelConfig()
    train: PretrainTrainConfig = PretrainTrainConfig()

    @model_validator(mode="after")
    def _check_sizes(self) -> Self:
        bert, num_growths = self.model.bert, len(self.train.stage_steps) - 1
        if self.data.max_seq_length > bert.max_position_embeddings:
            raise ValueError(
                f"data.max_seq_length {self.data.max_seq_length} exceeds "
                f"max_position_embeddings {bert.max_position_embeddings}"
            )
        if num_growths and (bert.num_hidden_layers < 1 or bert.num_hidden_layers % 2**num_growths):
            raise ValueError(
                f"num_hidden_layers {bert.num_hidden_layers} cannot be halved {num_growths} times, "
                f"once for each stage but the last of train.stage_steps"
            )
        if self.data.segments == "on" and bert.type_vocab_size < 2:
            raise ValueError("data.segments needs type_vocab_size 2")
        return self


@dataclass(frozen=True, slots=True)
class Stage:
    """Steps with one depth.

    Attributes:
        number: from 1.
        num_layers: of the encoder.
        first_step: updates done when it begins.
        last_step: updates done when it ends.
    """

    number: int
    num_layers: int
    first_step: int
    last_step: int


def plan_stages(config: PretrainConfig) -> tuple[Stage, ...]:
    """Returns the stages of a run; each has twice the layers of the one before."""
    ends = config.train.stage_ends
    starts = (0, *ends[:-1])
    num_layers = config.model.bert.num_hidden_layers
    return tuple(
        Stage(n + 1, num_layers // 2 ** (len(ends) - 1 - n), starts[n], ends[n])
        for n in range(len(ends))
    )


def fit_to_vocabulary(config: PretrainConfig, tokenizer: Tokenizer) -> PretrainConfig:
    """Sets `vocab_size` and `pad_token_id` to those of the tokenizer.

    Raises:
        UsageError: the configuration states another value.
    """
    return _with_bert(config, fit_bert(config.model.bert, tokenizer))


def fit_to_start(config: PretrainConfig, start: BertConfig) -> PretrainConfig:
    """Completes the sizes with those of the model to grow; dropout may be stated anew.

    Raises:
        UsageError: a stated size is another, the first stage has not twice the layers, the model
            has none, or is too small for what is asked.
    """
    if not start.num_hidden_layers:
        raise UsageError("the model to grow has no layers to stack")
    stated = config.model.bert
    first = plan_stages(config)[0].num_layers
    if "num_hidden_layers" not in stated.model_fields_set:
        num_layers = 2 * start.num_hidden_layers * 2 ** (len(config.train.stage_steps) - 1)
    elif first == 2 * start.num_hidden_layers:
        num_layers = stated.num_hidden_layers
    else:
        raise UsageError(
            f"model.bert.num_hidden_layers: the first stage has {first} layers, and the model to "
            f"grow has {start.num_hidden_layers}; it must be twice as many"
        )
    bert = keep_stated(
        stated, start, may_differ=_MAY_DIFFER, whose="the model to grow", prefix="model.bert."
    )
    fitted = _with_bert(config, bert.model_copy(update={"num_hidden_layers": num_layers}))
    # Once more: a rule between keys may not hold with these sizes.
    return parse_config(
        PretrainConfig,
        fitted.model_dump(exclude_unset=True),
        where="with the sizes of the model to grow",
    )


def _with_bert(config: PretrainConfig, bert: BertConfig) -> PretrainConfig:
    model = config.model.model_copy(update={"bert": bert})
    return config.model_copy(update={"model": model})
