"""The loss of a batch and its gradients: one matrix in place, against the plain form.

Sides alternate in one process; figures are medians in milliseconds. `products` is the least that
there is to do: three products of (B, D) with (B, D) in the type of the side.

    python benchmarks/loss.py --batch-sizes 1024 2048 4096 --rounds 15
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from labse.dual_encoder.inplace_loss import inplace_additive_margin_softmax
from labse.dual_encoder.loss import additive_margin_softmax

SCALE, MARGIN = 20.0, 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows = [measure(size, options.width, options.rounds) for size in options.batch_sizes]
    print(json.dumps({"threads": options.threads, "width": options.width, "rows": rows}, indent=2))


def measure(batch_size: int, width: int, rounds: int) -> dict[str, float]:
    generator = torch.Generator().manual_seed(0)
    sides = F.normalize(torch.randn(2, batch_size, width, generator=generator), dim=-1)
    source, target = (side.clone().requires_grad_() for side in sides)
    options: dict[str, Any] = {"logit_scale": SCALE, "logit_margin": MARGIN}

    def backward(loss: Tensor) -> None:
        source.grad = target.grad = None
        loss.backward()  # type: ignore[no-untyped-call]

    def multiply(dtype: torch.dtype) -> None:
        with torch.no_grad():
            logits = source @ target.T
            narrow = logits.to(dtype)
            _ = narrow @ target.to(dtype), narrow.T @ source.to(dtype)

    work: dict[str, Callable[[], None]] = {
        "plain": lambda: backward(additive_margin_softmax(source, target, **options)),
        "inplace": lambda: backward(inplace_additive_margin_softmax(source, target, **options)),
        "products": lambda: multiply(torch.float32),
        "inplace_bfloat16": lambda: backward(
            inplace_additive_margin_softmax(
                source, target, gradient_dtype=torch.bfloat16, **options
            )
        ),
        "products_bfloat16": lambda: multiply(torch.bfloat16),
    }
    taken: dict[str, list[float]] = {name: [] for name in work}
    for number in range(rounds + 1):
        for name, side in work.items():
            started = time.perf_counter()
            side()
            if number:  # The first round warms up.
                taken[name].append(1e3 * (time.perf_counter() - started))
    medians = {name: round(statistics.median(times), 2) for name, times in taken.items()}
    ratios = {
        f"plain_over_{name}": round(medians["plain"] / medians[name], 2)
        for name in ("inplace", "inplace_bfloat16")
    }
    return {"batch_size": batch_size, **medians, **ratios}


if __name__ == "__main__":
    main()
