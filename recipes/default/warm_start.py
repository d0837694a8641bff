"""A model on a new vocabulary that begins near one on another: each new piece gets a mean of old.

Use: python recipes/default/warm_start.py MODEL_FOLDER VOCAB_FOLDER OUT_FOLDER COUNTS_FOLDER ...

Words of COUNTS_FOLDER (labse vocab --counts) are cut by both tokenizers. A new piece is the mean of
the layer-normed rows of the old pieces that cover its characters, over all words that hold it, by
their smoothed weights; one that no word holds is 0 and cut by the old tokenizer as a word.

The norm's scale and shift move into the dense layer, and the rows are turned by a random rotation
that keeps the mean of a row, with the dense layer turned back: the same function, with values that
are spread alike over all columns, which is what 4 bits a value want.
"""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from labse.dual_encoder.start import start_lineage
from labse.model_folder.folder import ModelFolder, read_model_folder, write_model_folder
from labse.vocab.count_tables import open_tables, smooth_tables
from labse.vocab.tokenizer import load_tokenizer

MAX_WORDS = 1_500_000
SMOOTHING_EXPONENT = 0.75  # Of the vocabulary.
BATCH_WORDS = 20_000
SEED = 1


def main() -> None:
    """Parses the arguments and writes the folder."""
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    model_path, vocab_path, out, *counts = map(Path, sys.argv[1:])
    old = read_model_folder(model_path)
    tokenizer = load_tokenizer(vocab_path)
    words = smooth_tables(list(map(open_tables, counts)), SMOOTHING_EXPONENT, max_words=MAX_WORDS)

    # The rows, in the old basis, then turned.
    old_rows = normed_rows(old)
    rows = carry_rows(old_rows, old.tokenizer, tokenizer, words.weights)
    rotation = draw_rotation(old_rows.shape[1])
    weights = turn_weights(old, rows, rotation)

    bert = old.config.bert.model_copy(update={"vocab_size": len(rows)})
    config = old.config.model_copy(update={"bert": bert})
    model = ModelFolder(config=config, weights=weights, tokenizer=tokenizer)
    write_model_folder(
        out,
        model,
        vocab_folder=vocab_path,
        manifest={"kind": "warm start", "start": start_lineage(model_path)},
    )


def normed_rows(model: ModelFolder) -> NDArray[np.float32]:
    """Returns (V, H): what the layer norm makes of each row, without scale and shift."""
    rows = np.array(model.weights["embeddings.word_embeddings.weight"])
    rows += model.weights["embeddings.token_type_embeddings.weight"][0]
    rows -= rows.mean(1, keepdims=True)
    rows /= np.sqrt(np.square(rows).mean(1, keepdims=True) + model.config.bert.layer_norm_eps)
    return rows


def carry_rows(
    old_rows: NDArray[np.float32], old: Tokenizer, new: Tokenizer, words: dict[str, float]
) -> NDArray[np.float32]:
    """Returns a row for each new piece, by the words that hold it."""
    sums = np.zeros((new.get_vocab_size(), old_rows.shape[1]), np.float32)
    counts = np.zeros(len(sums), np.float32)
    unknown = old.token_to_id("[UNK]")
    listed = list(words)
    starts = range(0, len(listed), BATCH_WORDS)
    batches = [listed[start : start + BATCH_WORDS] for start in starts]
    weights = [[words[word] for word in batch] for batch in batches]
    with ProcessPoolExecutor(os.cpu_count(), get_context("fork")) as pool:
        found = pool.map(partial(share_characters, old, new), batches, weights)
        for pieces, old_pieces, shares in found:
            known = old_pieces != unknown
            pieces, old_pieces, shares = pieces[known], old_pieces[known], shares[known]
            firsts = np.flatnonzero(np.diff(pieces, prepend=-1))
            values = old_rows[old_pieces] * shares[:, None]
            sums[pieces[firsts]] += np.add.reduceat(values, firsts)
            counts[pieces[firsts]] += np.add.reduceat(shares, firsts)

    # Pieces that no word holds, special tokens among them.
    for piece in np.flatnonzero(counts == 0):
        name = str(new.id_to_token(int(piece)))
        number = old.token_to_id(name)
        ids = old.encode(name.removeprefix("##"), add_special_tokens=False).ids
        sums[piece] = old_rows[[number] if number is not None else ids or [unknown]].sum(0)
    sums -= sums.mean(1, keepdims=True)
    deviations = np.sqrt(np.square(sums).mean(1, keepdims=True))
    return sums / np.maximum(deviations, np.finfo(np.float32).tiny)


def share_characters(
    old: Tokenizer, new: Tokenizer, words: list[str], weights: list[float]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Returns new pieces in order, the old ones that cover them, and by which weight."""
    triples: list[tuple[int, int, float]] = []
    cuts = (one.encode_batch(words, add_special_tokens=False) for one in (old, new))
    for weight, old_cut, new_cut in zip(weights, *cuts, strict=True):
        old_spans = list(zip(old_cut.ids, old_cut.offsets, strict=True))
        for piece, (first, end) in zip(new_cut.ids, new_cut.offsets, strict=True):
            for old_piece, (old_first, old_end) in old_spans:
                shared = min(end, old_end) - max(first, old_first)
                if shared > 0:
                    triples.append((piece, old_piece, weight * shared / (old_end - old_first)))
    triples.sort()
    pieces, old_pieces, shares = zip(*triples, strict=True)
    return np.array(pieces), np.array(old_pieces), np.array(shares, np.float32)


def draw_rotation(size: int) -> NDArray[np.float32]:
    """Returns an orthogonal (H, H) that maps the vector of ones to itself."""
    generator = np.random.default_rng(SEED)
    ones = np.full((size, 1), size**-0.5)
    basis, _ = np.linalg.qr(np.hstack([ones, generator.normal(size=(size, size - 1))]))
    basis[:, 0] = ones[:, 0]
    turn, _ = np.linalg.qr(generator.normal(size=(size - 1, size - 1)))
    inner = np.eye(size)
    inner[1:, 1:] = turn
    return (basis @ inner @ basis.T).astype(np.float32)


def turn_weights(
    model: ModelFolder, rows: NDArray[np.float32], rotation: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """Returns all weights: the function of the rows, in another basis."""
    scale = model.weights["embeddings.LayerNorm.weight"]
    shift = model.weights["embeddings.LayerNorm.bias"]
    dense = model.weights["dense.weight"]
    weights = {name: np.zeros_like(model.weights[name]) for name in model.weights}
    weights["embeddings.word_embeddings.weight"] = rows @ rotation.T
    weights["embeddings.LayerNorm.weight"] = np.ones_like(scale)
    weights["dense.weight"] = (dense * scale) @ rotation.T
    weights["dense.bias"] = dense @ shift + model.weights["dense.bias"]
    return weights


if __name__ == "__main__":
    main()
