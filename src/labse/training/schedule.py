"""The learning rate at a step."""

__all__ = ["linear_schedule"]


def linear_schedule(step: int, *, warmup_steps: int, train_steps: int) -> float:
    """Returns the share of the full rate for update `step` (from 0): warm-up times decay.

        min(1, (step + 1) / warmup_steps) * (1 - step / train_steps)

    The last update, `train_steps` - 1, still moves: the rate reaches 0 one step later. The decay is
    that of BERT's optimization.py (polynomial, power 1); there a step of the warm-up has the first
    factor alone.
    """
    warmup = min(1.0, (step + 1) / max(1, warmup_steps))
    return warmup * max(0.0, 1.0 - step / train_steps)
