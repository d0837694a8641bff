"""Dual-encoder training: labse against the trainer of sentence-transformers, on the same batches.

    python benchmarks/training.py PAIRS VOCAB --vocab-size 120000
    python benchmarks/training.py PAIRS VOCAB --batch 4096 --micro-batch 64 --steps 1 \\
        --warmup-steps 0 --rounds 1

PAIRS is any file of pairs that `labse train` reads, VOCAB a vocabulary folder: its pieces are cut,
or filled up with unused ones, to --vocab-size. Both sides train one model (BERT of --layers layers
and width 384, random weights, dropout 0.1, [CLS] and tanh pooler) on the same pairs in the same
batches of random lengths, with AdamW and clipping at norm 1. Theirs is SentenceTransformerTrainer
with MultipleNegativesRankingLoss in both directions, CachedMultipleNegativesRankingLoss with
--micro-batch. The margin is 0, so our loss is twice theirs: `first_loss` shows it, up to dropout.

Each side runs in a process of its own, in turn, for --rounds rounds. Prints JSON: pairs a second
(`per_second`, all rounds), their median, the ratio to the first side within each round, peak
resident memory, and the share of the machine's bfloat16 matrix products that the model's own
arithmetic reaches. --micro-batch is in sentences, of which a pair has two.
Needs: pip install "sentence-transformers[train]".
"""

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer

from labse.config import parse_config
from labse.corpus.readers import read_pairs
from labse.corpus.records import SentencePair
from labse.dual_encoder.config import DataConfig, RunConfig
from labse.dual_encoder.data.batch import Batches
from labse.dual_encoder.data.pairs import TokenizedPairs, tokenize_sentences
from labse.dual_encoder.data.sampler import PairSampler
from labse.dual_encoder.train import train
from labse.model_folder.folder import write_model_folder
from labse.model_folder.torch_model import to_model_folder
from labse.network.config import BertConfig, DualEncoderConfig
from labse.network.dual_encoder import DualEncoder
from labse.pretraining.estimate import estimate_flops
from labse.vocab.tokenizer import load_tokenizer, save_vocabulary

SIDES: dict[str, dict[str, object]] = {
    "sentence-transformers float32": {},
    "sentence-transformers bfloat16": {"bf16": True},
    "labse float32": {"precision": "float32"},
    "labse bfloat16": {"precision": "bfloat16"},
    "labse bfloat16, sparse table": {
        "precision": "bfloat16",
        "sparse_embeddings": True,
        "embedding_optimizer": "adamw",
        "embedding_lr": 2e-5,
    },
}
SHARED = {"logit_scale": 20.0, "logit_margin": 0.0, "lr": 2e-5, "warmup_steps": 0}
SHARED |= {"adam_eps": 1e-8, "weight_decay": 0.0, "max_grad_norm": 1.0, "seed": 0}


def main() -> None:
    parser = build_parser(__doc__, SIDES, batch=128, max_seq_length=64, steps=2)
    parser.add_argument("--micro-batch", type=int)
    run_benchmark(__file__, parser.parse_args(), SIDES, prepare, run_side)


def build_parser(
    doc: str, sides: Iterable[str], *, batch: int, max_seq_length: int, steps: int
) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("pairs")
    parser.add_argument("vocab")
    parser.add_argument("--vocab-size", type=int, default=120_000)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--max-seq-length", type=int, default=max_seq_length)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--warmup-steps", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=sides, help="some of the sides")
    parser.add_argument("--side", choices=sides, help=argparse.SUPPRESS)
    return parser


def run_benchmark(
    script: str,
    options: argparse.Namespace,
    sides: Iterable[str],
    prepare: Callable[[Path, argparse.Namespace], dict[str, object]],
    run_side: Callable[[str, Path], dict[str, object]],
) -> None:
    """Runs all sides, each in a process that calls this again with `--side`."""
    if options.side:
        print(json.dumps(run_side(options.side, Path(options.pairs))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        facts = prepare(Path(scratch), options)
        runs = run_rounds(script, options.only or list(sides), options.rounds, Path(scratch))
    print(json.dumps(facts | summarise(runs, facts), indent=2))


class StepEnds:
    """Notes when each step ended, and its loss."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.losses: list[float] = []

    def __call__(self, row: Mapping[str, float]) -> None:
        if "loss" in row:
            self.times.append(time.perf_counter())
            self.losses.append(row["loss"])


def prepare(scratch: Path, options: argparse.Namespace) -> dict[str, object]:
    """Writes the vocabulary, the model, the pairs as text and as tokens, and the options."""
    tokenizer = sized_tokenizer(options.vocab, options.vocab_size, scratch / "vocab")

    config = model_config(options)
    torch.manual_seed(0)
    folder = to_model_folder(DualEncoder(config), tokenizer)
    write_model_folder(
        scratch / "model", folder, vocab_folder=scratch / "vocab", manifest={"kind": "model"}
    )

    # So few pairs that the sampler draws a batch at a time: their lengths are then random.
    num_pairs = 5 * options.batch
    records = spread(list(read_pairs(options.pairs)), num_pairs)
    (scratch / "pairs.json").write_text(json.dumps([[r.source, r.target] for r in records]))
    (scratch / "options.json").write_text(json.dumps(vars(options)))

    tokens = read_tokens(scratch, options)
    lengths = np.diff(tokens.offsets)[tokens.pairs].reshape(-1)
    no_head = config.bert.model_copy(update={"vocab_size": 0})
    flops = estimate_flops(no_head, lengths, 0) / len(tokens.pairs)
    return {
        "batch": options.batch,
        "micro_batch": options.micro_batch,
        "vocab_size": options.vocab_size,
        "layers": options.layers,
        "tokens_a_pair": round(float(2 * lengths.mean()), 1),
        "gflop_each": round(flops / 1e9, 2),
        "threads": options.threads,
        "load_average": os.getloadavg()[0],
    }


def sized_tokenizer(vocabulary: str, size: int, out: Path) -> Tokenizer:
    """Writes the first `size` pieces of a vocabulary, or all and unused ones."""
    ids = load_tokenizer(vocabulary).get_vocab()
    unused = (f"[unused{number}]" for number in itertools.count())
    pieces = itertools.chain(sorted(ids, key=ids.__getitem__), unused)
    save_vocabulary(out, list(itertools.islice(pieces, size)))
    return load_tokenizer(out)


def read_sentences(scratch: Path) -> list[str]:
    """Returns the distinct sentences of the pairs, in the order of their numbers."""
    return list(dict.fromkeys(itertools.chain(*json.loads((scratch / "pairs.json").read_text()))))


def read_tokens(scratch: Path, options: argparse.Namespace) -> TokenizedPairs:
    sentences = read_sentences(scratch)
    numbers = {sentence: number for number, sentence in enumerate(sentences)}
    pairs = json.loads((scratch / "pairs.json").read_text())
    input_ids, offsets, num_truncated = tokenize_sentences(
        sentences, load_tokenizer(scratch / "vocab"), max_seq_length=options.max_seq_length
    )
    return TokenizedPairs(
        input_ids=input_ids,
        offsets=offsets,
        pairs=np.array([[numbers[side] for side in pair] for pair in pairs], dtype=np.int32),
        pair_langs=np.zeros(len(pairs), dtype=np.int16),
        lang_pairs=("und-und",),
        pair_corpora=np.zeros(len(pairs), dtype=np.int16),
        corpora=("all",),
        num_truncated=num_truncated,
    )


def spread(records: list[SentencePair], num_pairs: int) -> list[SentencePair]:
    """Takes pairs from all over the file, so of all its languages."""
    return records[:: max(1, len(records) // num_pairs)][:num_pairs]


def bert_config(options: argparse.Namespace) -> BertConfig:
    return BertConfig(
        vocab_size=options.vocab_size,
        hidden_size=384,
        num_hidden_layers=options.layers,
        num_attention_heads=6,
        intermediate_size=1536,
        max_position_embeddings=options.max_seq_length,
    )


def model_config(options: argparse.Namespace) -> DualEncoderConfig:
    return DualEncoderConfig(bert=bert_config(options), max_seq_length=options.max_seq_length)


def run_rounds(
    script: str, sides: Sequence[str], num_rounds: int, scratch: Path
) -> dict[str, list[dict[str, object]]]:
    """Runs each side in turn, each time in a process of its own."""
    runs: dict[str, list[dict[str, object]]] = {side: [] for side in sides}
    for round_number, side in itertools.product(range(num_rounds), sides):
        runs[side].append(run_process(script, side, scratch))
        print(f"round {round_number}, {side}: {runs[side][-1]}", file=sys.stderr, flush=True)
    return runs


def run_process(script: str, side: str, scratch: Path) -> dict[str, object]:
    command = [sys.executable, script, str(scratch), "-", "--side", side]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, object] = json.loads(found.stdout.splitlines()[-1])
    return result


def run_side(side: str, scratch: Path) -> dict[str, object]:
    """Trains in this process; a step's time is that between the ends of two steps."""
    options = argparse.Namespace(**json.loads((scratch / "options.json").read_text()))
    torch.set_num_threads(options.threads)
    tokens = read_tokens(scratch, options)
    run = run_ours if side.startswith("labse") else run_theirs
    ends, started = StepEnds(), time.perf_counter()
    run(SIDES[side], scratch, tokens, options, ends)
    # Without a step to warm up, the first is counted with what comes before it.
    steps = np.diff([started, *ends.times])[options.warmup_steps :][: options.steps]
    return {
        "per_second": round(options.batch * len(steps) / float(steps.sum()), 2),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "first_loss": round(ends.losses[0] / (2 if run is run_ours else 1), 4),
    }


EndStep = Callable[[Mapping[str, float]], None]


def run_ours(
    changes: Mapping[str, Any],
    scratch: Path,
    tokens: TokenizedPairs,
    options: argparse.Namespace,
    end_step: EndStep,
) -> None:
    config = model_config(options)
    num_steps = options.warmup_steps + options.steps
    values: dict[str, object] = SHARED | {
        "train_steps": num_steps,
        "global_batch_size": options.batch,
        "micro_batch_size": options.micro_batch and options.micro_batch // 2,
        "log_every": 1,
        "checkpoint_every": num_steps + 1,
    }
    run = {"data": {"pairs": ["-"]}, "model": config.model_dump(), "train": {**values, **changes}}
    with tempfile.TemporaryDirectory() as out:
        run_config = parse_config(RunConfig, run, where="benchmark")
        train(
            run_config,
            Batches(run_config, tokens),
            Path(out),
            build=build_from(scratch),
            on_metrics=end_step,
        )


def build_from(scratch: Path) -> Callable[..., DualEncoder]:
    from labse.dual_encoder.grow import start_model
    from labse.model_folder.folder import read_model_folder

    def build(config: DualEncoderConfig, *, sparse_embeddings: bool) -> DualEncoder:
        folder = read_model_folder(scratch / "model")
        return start_model(folder, config, sparse_embeddings=sparse_embeddings)

    return build


def run_theirs(
    changes: Mapping[str, Any],
    scratch: Path,
    tokens: TokenizedPairs,
    options: argparse.Namespace,
    end_step: EndStep,
) -> None:
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from sentence_transformers.sentence_transformer import losses
    from torch.utils.data import SequentialSampler
    from transformers import TrainerCallback

    class Ends(TrainerCallback):
        def on_log(  # type: ignore[override] # It is called by keyword.
            self, *_: object, logs: Mapping[str, float], **__: object
        ) -> None:
            end_step(logs)

    model = SentenceTransformer(str(scratch / "model"), device="cpu")
    both: dict[str, Any] = {
        "scale": 20.0,
        "directions": ("query_to_doc", "doc_to_query"),
        "partition_mode": "per_direction",
    }
    loss: torch.nn.Module
    if options.micro_batch:
        loss = losses.CachedMultipleNegativesRankingLoss(
            model, mini_batch_size=options.micro_batch, **both
        )
    else:
        loss = losses.MultipleNegativesRankingLoss(model, **both)

    num_steps = options.warmup_steps + options.steps
    data = DataConfig(pairs=("-",))  # As in `run_ours`, so that the batches are the same.
    sampler = PairSampler(tokens, data, batch_size=options.batch, seed=0)
    sides = np.concatenate([sampler.sides(step) for step in range(num_steps)])
    sentences = read_sentences(scratch)
    numbers = tokens.pairs.reshape(-1)[sides]
    source, target = ([sentences[number] for number in side] for side in numbers.T)
    with tempfile.TemporaryDirectory() as out:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=out,
            per_device_train_batch_size=options.batch,
            max_steps=num_steps,
            learning_rate=SHARED["lr"],
            max_grad_norm=SHARED["max_grad_norm"],
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            batch_sampler=lambda dataset, **kw: DefaultBatchSampler(
                SequentialSampler(dataset), **{k: v for k, v in kw.items() if k != "generator"}
            ),
            **changes,
        )
        trainer = SentenceTransformerTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_dict({"anchor": source, "positive": target}),
            loss=loss,
            callbacks=[Ends()],
        )
        trainer.train()


def summarise(
    runs: dict[str, list[dict[str, object]]], facts: dict[str, object]
) -> dict[str, object]:
    rates = {side: [float(run["per_second"]) for run in all_] for side, all_ in runs.items()}  # type: ignore[arg-type]
    first = next(iter(rates.values()))
    peak = bfloat16_peak()
    return {
        "per_second": rates,
        "median": {side: statistics.median(values) for side, values in rates.items()},
        "ratio_to_the_first": {
            side: [round(own / base, 2) for own, base in zip(values, first, strict=True)]
            for side, values in rates.items()
        },
        "peak_gb": {side: max(float(r["peak_gb"]) for r in all_) for side, all_ in runs.items()},  # type: ignore[arg-type]
        "first_loss": {side: all_[0]["first_loss"] for side, all_ in runs.items()},
        "bfloat16_gflops_of_products": round(peak),
        "share_of_products": {
            side: round(statistics.median(values) * float(facts["gflop_each"]) / peak, 3)  # type: ignore[arg-type]
            for side, values in rates.items()
        },
    }


def bfloat16_peak() -> float:
    """Returns GFLOP/s of the product of 4,096 tokens with a matrix of the feed-forward layer."""
    rows, matrix = torch.randn(4096, 384).bfloat16(), torch.randn(1536, 384).bfloat16()
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        torch.nn.functional.linear(rows, matrix)
        seconds.append(time.perf_counter() - start)
    return 2 * rows.numel() * len(matrix) / min(seconds) / 1e9


if __name__ == "__main__":
    main()
