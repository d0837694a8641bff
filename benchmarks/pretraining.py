"""Masked language modelling: labse against transformers' Trainer, on the same masked batches.

    python benchmarks/pretraining.py PAIRS VOCAB --vocab-size 120000

PAIRS is a file of pairs whose sides are packed as text, VOCAB a vocabulary folder: its pieces are
cut, or filled up with unused ones, to --vocab-size. Both sides train one BERT (--layers layers,
width 384, random weights, dropout 0.1) on the same examples with the same tokens masked, with AdamW
and clipping at norm 1. Theirs is `Trainer` on `BertForMaskedLM`. `first_loss` is that of the first
step, equal up to dropout.

Each side runs in a process of its own, in turn, for --rounds rounds. Prints JSON as training.py
does, in tokens a second, padding not counted. Needs: pip install "transformers[torch]".
"""

import argparse
import json
import os
import resource
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from training import StepEnds, bert_config, build_parser, run_benchmark, sized_tokenizer, spread

from labse.config import parse_config
from labse.corpus.readers import read_pairs
from labse.pretraining.batches import BatchBuilder, ExampleOrder
from labse.pretraining.config import MaskingConfig, PretrainConfig
from labse.pretraining.estimate import estimate_flops
from labse.pretraining.examples import ExampleCollector, TextPacker, TokenizedExamples
from labse.pretraining.folder import BertFolder, write_bert_folder
from labse.pretraining.gradients import TrainingData, ValidationSet
from labse.pretraining.model import MaskedLm
from labse.pretraining.train import train

SIDES: dict[str, dict[str, object]] = {
    "transformers float32": {},
    "transformers bfloat16": {"bf16": True},
    "labse float32": {"precision": "float32"},
    "labse bfloat16": {"precision": "bfloat16"},
}


def main() -> None:
    parser = build_parser(__doc__, SIDES, batch=16, max_seq_length=128, steps=3)
    run_benchmark(__file__, parser.parse_args(), SIDES, prepare, run_side)


def prepare(scratch: Path, options: argparse.Namespace) -> dict[str, object]:
    """Writes the vocabulary, the examples, the model and the options."""
    tokenizer = sized_tokenizer(options.vocab, options.vocab_size, scratch / "vocab")
    num_examples = 4 * options.batch
    cls_id, sep_id = (tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]"))
    assert cls_id is not None
    assert sep_id is not None
    packer = TextPacker(
        max_seq_length=options.max_seq_length, cls_id=cls_id, sep_id=sep_id, cross_documents=False
    )
    collector = ExampleCollector()
    for record in spread(list(read_pairs(options.pairs)), 100 * num_examples):
        for lang, text in (
            (record.source_lang, record.source),
            (record.target_lang, record.target),
        ):
            for ids in packer.add(lang, None, tokenizer.encode(text, add_special_tokens=False).ids):
                collector.add("mlm", lang, ids)
    collector.build().save(scratch / "examples")

    (scratch / "options.json").write_text(json.dumps(vars(options)))
    torch.manual_seed(0)
    model = MaskedLm(bert_config(options))
    write_bert_folder(scratch / "bert", BertFolder(model.config, model.state_dict()), files={})

    data = training_data(scratch, options)
    batch = data.builder.build(data.order.batch(0), np.random.default_rng([0, 0, 0]))
    flops = estimate_flops(model.config, batch.lengths, len(batch.masked.positions))
    return {
        "batch": options.batch,
        "max_seq_length": options.max_seq_length,
        "tokens_a_step": int(batch.lengths.sum()),
        "masked_tokens_a_step": len(batch.masked.positions),
        "vocab_size": options.vocab_size,
        "layers": options.layers,
        "gflop_each": flops / float(batch.lengths.sum()) / 1e9,
        "threads": options.threads,
        "load_average": os.getloadavg()[0],
    }


def training_data(scratch: Path, options: argparse.Namespace) -> TrainingData:
    examples = TokenizedExamples.load(scratch / "examples")
    special = np.arange(5, dtype=np.int32)  # [PAD] [UNK] [CLS] [SEP] [MASK], as labse writes them.
    builder = BatchBuilder(examples, MaskingConfig(), special, 4, options.vocab_size)
    groups = [np.arange(len(examples.offsets) - 1)]
    order = ExampleOrder(groups, np.ones(1), batch_size=options.batch, seed=0)
    return TrainingData(order, builder, ValidationSet(builder, [], 0))


def run_side(side: str, scratch: Path) -> dict[str, object]:
    """Trains in this process; a step's time is that between the ends of two steps."""
    options = argparse.Namespace(**json.loads((scratch / "options.json").read_text()))
    torch.set_num_threads(options.threads)
    ends = StepEnds()
    num_steps = options.warmup_steps + options.steps
    data = training_data(scratch, options)
    batches = [
        data.builder.build(data.order.batch(step), np.random.default_rng([0, step, 0]))
        for step in range(num_steps)
    ]
    run = run_ours if side.startswith("labse") else run_theirs
    run(SIDES[side], scratch, options, data, ends)
    seconds = ends.times[-1] - ends.times[options.warmup_steps - 1]
    tokens = sum(int(batch.lengths.sum()) for batch in batches[options.warmup_steps :])
    return {
        "per_second": round(tokens / seconds, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "first_loss": round(ends.losses[0], 4),
    }


EndStep = Callable[[Mapping[str, float]], None]


def run_ours(
    changes: Mapping[str, object],
    scratch: Path,
    options: argparse.Namespace,
    data: TrainingData,
    end_step: EndStep,
) -> None:
    num_steps = options.warmup_steps + options.steps
    values: dict[str, object] = {
        "stage_steps": [num_steps],
        "global_batch_size": options.batch,
        "micro_batch_size": options.batch,
        "lr": 5e-5,
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "adam_eps": 1e-8,
        "log_every": 1,
        "eval_every": num_steps + 1,
        "checkpoint_every": num_steps + 1,
    }
    sections = {
        "data": {"text": ["-"], "max_seq_length": options.max_seq_length},
        "model": {"bert": bert_config(options).model_dump()},
        "train": {**values, **changes},
    }
    config = parse_config(PretrainConfig, sections, where="benchmark")
    torch.manual_seed(0)
    model = MaskedLm(config.model.bert)  # The weights in the folder: drawn with the same seed.
    with tempfile.TemporaryDirectory() as out:
        train(config, data, Path(out), build=lambda _: model, on_metrics=end_step)


def run_theirs(
    changes: Mapping[str, object],
    scratch: Path,
    options: argparse.Namespace,
    data: TrainingData,
    end_step: EndStep,
) -> None:
    from torch.utils.data import SequentialSampler
    from transformers import BertForMaskedLM, Trainer, TrainerCallback, TrainingArguments

    class Ends(TrainerCallback):
        def on_log(  # type: ignore[override] # It is called by keyword.
            self, *_: object, logs: Mapping[str, float], **__: object
        ) -> None:
            end_step(logs)

    class InOrder(Trainer):
        def _get_train_sampler(self, *_: object) -> SequentialSampler:
            return SequentialSampler(self.train_dataset)

    num_steps = options.warmup_steps + options.steps
    rows: list[dict[str, torch.Tensor]] = []
    for step in range(num_steps):
        batch = data.builder.build(data.order.batch(step), np.random.default_rng([0, step, 0]))
        for micro in data.builder.iter_micro_batches(batch, 1):
            labels = torch.full_like(micro.input_ids, -100).flatten()
            labels[micro.positions] = micro.labels
            rows.append({"input_ids": micro.input_ids[0], "labels": labels})

    with tempfile.TemporaryDirectory() as out:
        arguments = TrainingArguments(
            output_dir=out,
            per_device_train_batch_size=options.batch,
            max_steps=num_steps,
            learning_rate=5e-5,
            max_grad_norm=1.0,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            **changes,  # type: ignore[arg-type]
        )
        InOrder(
            model=BertForMaskedLM.from_pretrained(scratch / "bert"),
            args=arguments,
            train_dataset=rows,
            data_collator=collate,
            callbacks=[Ends()],
        ).train()


def collate(rows: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Pads to the longest example of the batch."""
    pad = torch.nn.utils.rnn.pad_sequence
    ids = [row["input_ids"] for row in rows]
    return {
        "input_ids": pad(ids, batch_first=True),
        "attention_mask": pad([torch.ones_like(row) for row in ids], batch_first=True),
        "labels": pad([row["labels"] for row in rows], batch_first=True, padding_value=-100),
    }


if __name__ == "__main__":
    main()
