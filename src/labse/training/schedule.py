"""The learning rate at a step."""

__all__ = ["linear_schedule"]


def linear_schedule(step: int, *, lr: float, warmup_steps: int, train_steps: int) -> float:
    """Returns the rate of update `step` (from 0): linear warm-up to `lr`, linear decay towards 0.

    The last update, `train_steps` - 1, still moves: the rate reaches 0 one step later (BERT's
    optimization.py, polynomial decay of power 1).
    """
    warmup = min(1.0, (step + 1) / max(1, warmup_steps))
    return lr * warmup * max(0.0, 1.0 - step / train_steps)
