"""Settings to train a model further on somebody's own pairs.

Takes: files of pairs, their number, the model to start from. Gives: the configuration of the run.
Source: docs/experiments.md, 2026-11-22 and 2026-11-30, for a model without layers; Devlin et al.,
arXiv 1810.04805, appendix A.3, for the learning rate of one with layers.
"""

from collections.abc import Sequence

from labse.dual_encoder.config import DataConfig, DistillConfig, RunConfig, TeacherSide, TrainConfig
from labse.network.config import DualEncoderConfig

__all__ = ["tuning_config"]

_MAX_BATCH_SIZE = 512
_EPOCHS = 3
_LAYERS_MICRO_BATCH_SIZE = 64  # BERT-Base at 64 tokens keeps about 7 GiB of it.
_HELD_OUT_SHARE = 0.05
_MIN_HELD_OUT, _MAX_HELD_OUT = 20, 1000
_MIN_PAIRS_TO_HOLD_OUT = 200  # Of fewer every tenth or more would be missing from training.
_SHORT_STEPS = 30


def tuning_config(
    files: Sequence[str],
    num_pairs: int,
    model: DualEncoderConfig,
    *,
    start: str,
    teacher_side: TeacherSide = "own",
    held_out: float | None = None,
) -> RunConfig:
    """Returns settings to train a model further on somebody's own pairs.

    Three passes over the pairs in batches of 512, or half of the pairs if there are fewer than
    1,024; equal sentences are masked, so that any pairs will do. A model without layers moves its
    rows by AdaGrad, and is held near its old vectors by distillation from itself; one with layers
    is moved by AdamW at BERT's rate for fine-tuning.

    Args:
        files: of pairs.
        num_pairs: in them.
        model: the sizes of the model to start from.
        start: its name or folder.
        teacher_side: the side that the model knows best, whose old vectors both sides learn.
        held_out: see `data.held_out`; None takes 5 % of the pairs, 20 to 1,000, and none of fewer
            than 200.
    """
    # Pairs that say at the end whether it helped.
    if held_out is None:
        wanted = min(max(round(_HELD_OUT_SHARE * num_pairs), _MIN_HELD_OUT), _MAX_HELD_OUT)
        held_out = 0 if num_pairs < _MIN_PAIRS_TO_HOLD_OUT else wanted
    num_trained = num_pairs - round(held_out * num_pairs if held_out < 1 else held_out)

    # What every model is tuned with.
    batch_size = min(_MAX_BATCH_SIZE, max(2, num_trained // 2))
    steps = max(1, -(-_EPOCHS * num_trained // batch_size))
    train = TrainConfig(
        train_steps=steps,
        global_batch_size=batch_size,
        logit_scale=20.0,
        logit_margin=0.1,
        sparse_embeddings=True,
        adam_eps=1e-8,
        # 9 steps on 1,500 Swahili pairs, P@1 of others: 82.2 without a warm-up, 81.7 with 2 steps
        # of one, 81.1 with 3 (2026-11-29).
        warmup_steps=steps // 10,
        log_every=max(1, steps // 10),
        eval_every=max(1, steps // 4),
        checkpoint_every=max(1, min(500, steps)),
    )

    # The optimizer that fits a bag, or layers. AdaGrad moves a row by its whole rate the first time
    # it is touched, so that in few steps rates count for more than gradients; and without itself as
    # a teacher a bag lost 1.2 points of other languages in 9 steps, not 0.2 (2026-11-30).
    is_short = steps < _SHORT_STEPS
    of_kind: dict[str, object] = {"lr": 2e-4, "embedding_lr": 0.005 if is_short else 0.01}
    distill = None
    if not model.bert.num_hidden_layers:
        distill = DistillConfig(teacher=start, teacher_side=teacher_side, weight=30.0)
    if model.bert.num_hidden_layers:
        of_kind = {"lr": 2e-5, "embedding_lr": 2e-5, "embedding_optimizer": "adamw"}
        of_kind["weight_decay"] = 0.01
        if batch_size > _LAYERS_MICRO_BATCH_SIZE:
            of_kind["micro_batch_size"] = _LAYERS_MICRO_BATCH_SIZE
    return RunConfig(
        data=DataConfig(pairs=tuple(files), repeats="mask", held_out=held_out),
        train=train.model_copy(update=of_kind),
        distill=distill,
    )
