"""Peak memory of one training step of a very large batch: blockwise loss and gradient caching.

    python benchmarks/training_memory.py --batch 65536

A small BERT (two layers of width 64, vectors of --dimensions) on sentences of random pieces: what
grows with the batch is the same for any encoder. Prints JSON: seconds, peak resident memory, that
before the step, the bytes of the matrix of logits that was never held, and the arithmetic of the
loss, four products of the two sides in each direction (one forward, three backward).
"""

import argparse
import json
import resource
import time

import numpy as np
import torch

from labse.dual_encoder.config import TrainConfig
from labse.dual_encoder.data.batch import Batch
from labse.dual_encoder.data.pairs import TokenizedPairs, sides_of
from labse.dual_encoder.gradients import add_gradients
from labse.network.config import BertConfig, DualEncoderConfig
from labse.network.dual_encoder import DualEncoder

VOCAB_SIZE = 30_000


def random_pairs(num_pairs: int) -> TokenizedPairs:
    generator = np.random.default_rng(0)
    lengths = generator.integers(6, 25, 2 * num_pairs)
    return TokenizedPairs(
        input_ids=generator.integers(5, VOCAB_SIZE, lengths.sum(), dtype=np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        pairs=np.arange(2 * num_pairs, dtype=np.int32).reshape(-1, 2),
        pair_langs=np.zeros(num_pairs, dtype=np.int16),
        lang_pairs=("und-und",),
        pair_corpora=np.zeros(num_pairs, dtype=np.int16),
        corpora=("random",),
        num_truncated=0,
    )


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=65_536)
    parser.add_argument("--micro-batch", type=int, default=512)
    parser.add_argument("--dimensions", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    bert = BertConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=256,
        max_position_embeddings=32,
    )
    config = DualEncoderConfig(bert=bert, embedding_size=options.dimensions, max_seq_length=32)
    model, pairs = DualEncoder(config).train(), random_pairs(options.batch)
    train = TrainConfig(global_batch_size=options.batch, micro_batch_size=options.micro_batch)

    before, started, cpu = peak_gb(), time.perf_counter(), time.process_time()
    batch = Batch.gather(pairs, sides_of(np.arange(options.batch)))
    loss = add_gradients(model, batch, train).loss.item()
    record = {
        "batch": options.batch,
        "micro_batch": options.micro_batch,
        "dimensions": options.dimensions,
        "loss": round(loss, 4),
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_gb": round(peak_gb(), 2),
        "peak_gb_before": round(before, 2),
        "logits_gb": round(4 * options.batch**2 / 2**30, 2),
        "loss_tflop": round(2 * 4 * 2 * options.batch**2 * options.dimensions / 1e12, 2),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
