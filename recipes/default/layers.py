"""Layers above the shipped bag, apart from its table: packed for a journey, and joined to it again.

Use: python recipes/default/layers.py pack RUN_FOLDER OUT_FOLDER
     python recipes/default/layers.py join BAG_FOLDER PARTS_FOLDER OUT_FOLDER

pack takes the newest checkpoint of a run with train.embedding_lr = 0, and writes all of its model
but the table, in parts of at most 15 MiB: 7 MB a layer. join makes a model folder of the newest
whole set of parts: table and tokenizer are the bag's, to the byte; matrices of layers are int8.
"""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load, save

from labse.dual_encoder.config import RunConfig
from labse.encoder.check.golden import GOLDEN_NAME, build_golden
from labse.encoder.sentence_encoder import SentenceEncoder
from labse.files.atomic import write_atomic
from labse.model_folder.folder import ModelFolder, read_model_folder, write_model_folder
from labse.model_folder.hub import locate_model
from labse.model_folder.int8 import StoredWeights, narrow_weights, stored_weight
from labse.network.names import to_hf_state_dict
from labse.training.checkpoint import latest_checkpoint

PART_BYTES = 15 << 20
TABLE, HF_TABLE = "bert.embeddings.word.weight", "embeddings.word_embeddings.weight"
WEIGHTS = "model.int4.safetensors"
PART = re.compile(r"layers-(\d{9})\.(\d)-of-(\d)")


def main() -> None:
    """Parses the arguments and does one of the two."""
    match sys.argv[1:]:
        case ["pack", run, out]:
            pack(Path(run), Path(out))
        case ["join", bag, parts, out]:
            join(locate_model(bag), Path(parts), Path(out))
        case _:
            sys.exit(__doc__)


def pack(run: Path, out: Path) -> None:
    """Writes the parts of the newest checkpoint and deletes those of older ones."""
    checkpoint = latest_checkpoint(run / "checkpoints")
    if checkpoint is None:
        sys.exit(f"{run}: no checkpoint yet")
    config = RunConfig.model_validate(checkpoint.config)
    if config.train.embedding_lr:
        sys.exit(f"{run}: its table has learnt; take RUN/model as a whole")
    weights = {
        name.removeprefix("model."): tensor.contiguous()
        for name, tensor in checkpoint.tensors.items()
        if name.startswith("model.") and name != f"model.{TABLE}"
    }
    content = save(weights, {"step": str(checkpoint.step), "config": config.model_dump_json()})

    # All of the new ones are there before an old one goes.
    out.mkdir(parents=True, exist_ok=True)
    parts = [content[start : start + PART_BYTES] for start in range(0, len(content), PART_BYTES)]
    names = [
        f"layers-{checkpoint.step:09d}.{number}-of-{len(parts)}"
        for number in range(1, len(parts) + 1)
    ]
    for name, part in zip(names, parts, strict=True):
        with write_atomic(out / name) as stream:
            stream.write(part)
    for old in out.glob("layers-*"):
        # A slower call for an older checkpoint leaves those of a newer one.
        if (match := PART.fullmatch(old.name)) and int(match[1]) < checkpoint.step:
            old.unlink()
    print(f"{out}: step {checkpoint.step}, {len(content):,} bytes in {len(parts)} parts")


def join(bag: Path, parts: Path, out: Path) -> None:
    """Writes the bag with the layers above it as a model folder."""
    content = read_parts(parts)
    config, step = read_header(content, where=parts)
    if not (bag / WEIGHTS).is_file():
        sys.exit(f"{bag}: not a model with word rows of 4 bits; labse export --storage int4")
    known = read_model_folder(bag)
    if config.model.bert.vocab_size != known.config.bert.vocab_size:
        sys.exit(f"{parts}: the layers are of a model with another vocabulary than {bag}")

    # Our names to those of a folder, which the table has no part in.
    state = load(content)
    dense = {name: state.pop(name) for name in list(state) if name.startswith("dense.")}
    bert = {name.removeprefix("bert."): tensor for name, tensor in state.items()}
    bert["embeddings.word.weight"] = torch.empty(0)
    tensors = to_hf_state_dict(bert) | dense
    weights = {name: tensor.numpy() for name, tensor in tensors.items() if name != HF_TABLE}

    # As they come back from the files, for the golden vectors.
    stored = StoredWeights({**weights, HF_TABLE: stored_weight(known.weights, HF_TABLE)})
    model = ModelFolder(config.model, narrow_weights(stored, "int4"), known.tokenizer)
    encoder = SentenceEncoder.from_model(model)
    write_model_folder(
        out,
        replace(model, prompts=known.prompts),
        vocab_folder=bag,
        manifest={"kind": "model", "step": step, "run_config": config.model_dump(mode="json")},
        storage="int4",
        extra_files={GOLDEN_NAME: build_golden(encoder)},
    )
    more = (out / WEIGHTS).stat().st_size - (bag / WEIGHTS).stat().st_size
    print(f"{out}: step {step}, {more:,} bytes of weights more than {bag}")


def read_parts(folder: Path) -> bytes:
    """Returns the newest whole set of parts as one file."""
    sets: dict[int, dict[int, Path]] = {}
    counts: dict[int, int] = {}
    for path in folder.iterdir():
        if match := PART.fullmatch(path.name):
            step, number, count = map(int, match.groups())
            sets.setdefault(step, {})[number] = path
            counts[step] = count
    whole = [step for step, found in sets.items() if len(found) == counts[step]]
    if not whole:
        sys.exit(f"{folder}: no whole set of layers-*; run pack again")
    newest = sets[max(whole)]
    return b"".join(newest[number].read_bytes() for number in sorted(newest))


def read_header(content: bytes, *, where: Path) -> tuple[RunConfig, int]:
    """Returns the configuration of the run and the step that the layers are of."""
    size = int.from_bytes(content[:8], "little")
    try:
        metadata = json.loads(content[8 : 8 + size])["__metadata__"]
        return RunConfig.model_validate_json(metadata["config"]), int(metadata["step"])
    except (ValueError, KeyError) as error:
        sys.exit(f"{where}: damaged layers ({error}); copy them again")


if __name__ == "__main__":
    main()
