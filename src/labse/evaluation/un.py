"""UN: is the nearest of ten million sentences the translation?

Takes: an encoder, queries, and a pool of any size that holds their translations.
Gives: P@1. The pool lies on disk as float16 shards; one shard is searched at a time, exactly.
Source: Ziemski et al. 2016 (L16-1561), the corpus; Guo et al. 2018 (W18-6317), the task; Feng et
al. 2020 (arXiv 2007.01852), the numbers.
"""

import contextlib
import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from labse.corpus.languages import canonical_tag
from labse.errors import LabseError, ResourceError, UsageError
from labse.evaluation.protocol import (
    Encoder,
    build_signature,
    describe_length,
    encode_sentences,
)
from labse.evaluation.samples import Sample, build_sample
from labse.files.atomic import write_atomic
from labse.files.text import read_lines
from labse.search.knn import Neighbours, nearest_neighbours

__all__ = [
    "PAPER_UN_P_AT_1",
    "Pool",
    "UnScore",
    "evaluate_un",
    "evaluate_un_files",
    "search_shards",
    "write_pool",
]

PAPER_UN_P_AT_1: Mapping[str, float] = MappingProxyType(
    {"en-es": 0.911, "en-fr": 0.883, "en-ru": 0.908, "en-zh": 0.877}
)
"""P@1 of LaBSE in a pool of about ten million sentences."""

_SHARD_ROWS = 1 << 18  # 384 MiB of 768 dimensions in float16.


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Vectors on disk, one shard after the other, and what tells their texts apart.

    `texts` holds 64 bits of hash a row: two of 10^7 different texts share them by chance once in
    370,000 pools.
    """

    shards: tuple[Path, ...]
    num_rows: int
    texts: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class UnScore:
    """P@1 from 0 to 1: the text of the nearest row is that of the translation."""

    lang_pair: str
    num_queries: int
    num_pool: int
    p_at_1: float
    signature: str
    sample: Sample


def evaluate_un(
    encoder: Encoder,
    source: Sequence[str],
    target: Iterable[str],
    folder: Path,
    *,
    lang_pair: str,
    max_seq_length: int | None,
    distractors: Iterable[str] = (),
    num_queries: int | None = None,
    shard_rows: int = _SHARD_ROWS,
    block_rows: int = 2048,
) -> UnScore:
    """Searches each query among all targets and distractors.

    Memory: the vectors of the queries and of one shard, 8 bytes a row of the pool, and the blocks
    of `nearest_neighbours`.

    Args:
        encoder: called once for the queries and once a shard.
        source: N sentences.
        target: their N translations; read once.
        folder: an existing folder for the shards, which stay there.
        lang_pair: `en-fr`, for the signature.
        max_seq_length: where the encoder cuts, for the signature; None if it does not.
        distractors: further sentences of the language of `target`; read once.
        num_queries: so many of the sources, evenly spread; None asks all.
        shard_rows: rows of a shard.
        block_rows: see `nearest_neighbours`.

    Raises:
        ValueError: an option out of range.
        LabseError: not as many targets as sources, or a broken encoder.
    """
    if not source:
        raise LabseError("no sentences to ask for")
    if num_queries is not None and not 1 <= num_queries <= len(source):
        raise ValueError(f"num_queries is {num_queries}; there are {len(source)} sentences")
    asked = np.linspace(0, len(source) - 1, num_queries or len(source)).round().astype(np.int64)
    queries = encode_sentences(encoder, [source[number] for number in asked.tolist()])
    paired = _check_aligned(target, len(source))
    pool = write_pool(encoder, chain(paired, distractors), folder, shard_rows=shard_rows)
    found = search_shards(queries, pool.shards, block_rows=block_rows).neighbours[:, 0]
    hits = pool.texts[found] == pool.texts[asked]

    fields: dict[str, str | int] = {
        "data": "un",
        "lang_pair": lang_pair,
        "queries": len(asked),
        "pool": pool.num_rows,
        "dtype": "float16",
        "match": "text",
        "max_seq_length": describe_length(max_seq_length),
        "norm": "l2",
    }
    texts = [source[number] for number in asked.tolist()]
    return UnScore(
        lang_pair=lang_pair,
        num_queries=len(asked),
        num_pool=pool.num_rows,
        p_at_1=float(hits.mean()),
        signature=build_signature("p_at_1", fields),
        sample=build_sample(lang_pair, [hits], [*texts, str(pool.num_rows)]),
    )


def evaluate_un_files(
    encoder: Encoder,
    source: Path,
    target: Path,
    folder: Path | None = None,
    *,
    lang_pair: str | None = None,
    max_seq_length: int | None,
    distractors: Path | None = None,
    num_queries: int | None = None,
    shard_rows: int = _SHARD_ROWS,
    block_rows: int = 2048,
) -> UnScore:
    """Does `evaluate_un` with files; None as folder takes a temporary one.

    Raises:
        UsageError: an unknown language, or a folder that holds shards already.
        LabseError: files that cannot be used, unequal line counts, or a broken encoder.
    """
    lang_pair = lang_pair or f"{source.suffix[1:]}-{target.suffix[1:]}"
    _check_pair(lang_pair)
    sentences = list(read_lines(source))
    num_targets = sum(1 for _ in read_lines(target))
    if num_targets != len(sentences):
        raise LabseError(
            f"{source} has {len(sentences)} lines, {target} has {num_targets}; "
            "the two must be aligned line by line"
        )
    if num_queries is not None and num_queries > len(sentences):
        raise UsageError(f"{source} has {len(sentences)} lines, fewer than {num_queries} queries")
    if folder is not None and folder.is_dir() and any(folder.glob("*.npy")):
        raise UsageError(f"{folder}: holds vectors already; give an empty folder")
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="labse-pool-")))
        folder.mkdir(exist_ok=True)
        return evaluate_un(
            encoder,
            sentences,
            read_lines(target),
            folder,
            lang_pair=lang_pair,
            max_seq_length=max_seq_length,
            distractors=() if distractors is None else read_lines(distractors),
            num_queries=num_queries,
            shard_rows=shard_rows,
            block_rows=block_rows,
        )


def write_pool(
    encoder: Encoder, sentences: Iterable[str], folder: Path, *, shard_rows: int = _SHARD_ROWS
) -> Pool:
    """Encodes sentences into float16 shards `00000.npy`, ..., one shard in memory at a time.

    Raises:
        ValueError: `shard_rows` below 1.
        LabseError: a broken encoder, or one whose vectors change width from call to call.
        ResourceError: a shard cannot be written.
    """
    if shard_rows < 1:
        raise ValueError(f"shard_rows must be at least 1, not {shard_rows}")
    paths: list[Path] = []
    texts: list[NDArray[np.uint64]] = []
    width = None
    for chunk in _chunks(sentences, shard_rows):
        embeddings = encode_sentences(encoder, chunk)
        width = width or embeddings.shape[1]
        if embeddings.shape[1] != width:
            raise LabseError(
                f"the encoder returned {width} dimensions first and {embeddings.shape[1]} later"
            )
        norms = np.sqrt(np.einsum("nd,nd->n", embeddings, embeddings, dtype=np.float64))
        path = folder / f"{len(paths):05d}.npy"
        with write_atomic(path) as stream:
            np.save(stream, (embeddings / norms[:, None]).astype(np.float16))
        paths.append(path)
        texts.append(np.fromiter(map(_hash_text, chunk), np.uint64, len(chunk)))
    hashes = np.concatenate(texts) if texts else np.empty(0, np.uint64)
    return Pool(tuple(paths), len(hashes), hashes)


def search_shards(
    queries: NDArray[np.floating],
    shards: Sequence[Path | NDArray[np.floating]],
    *,
    block_rows: int = 2048,
) -> Neighbours:
    """Finds the nearest row of all shards, exactly; of equal ones the first.

    Args:
        queries: (N, D).
        shards: (M, D) each, in memory or `.npy` files, which are read one at a time.
        block_rows: see `nearest_neighbours`.

    Returns:
        (N, 1) neighbours, numbered through all shards.

    Raises:
        LabseError: no shards, one that cannot be read, or a broken row.
    """
    if not shards:
        raise LabseError("the pool is empty; give at least one sentence")
    best = np.full((len(queries), 1), -np.inf, dtype=np.float32)
    neighbours = np.zeros((len(queries), 1), dtype=np.int64)
    offset = 0
    for shard in shards:
        rows = _load_shard(shard) if isinstance(shard, Path) else shard
        found = nearest_neighbours(queries, rows, 1, block_rows=block_rows)
        is_better = found.similarities > best
        best = np.where(is_better, found.similarities, best)
        neighbours = np.where(is_better, found.neighbours + offset, neighbours)
        offset += len(rows)
    return Neighbours(neighbours, best)


def _check_pair(lang_pair: str) -> None:
    langs = lang_pair.split("-")
    if len(langs) != 2 or not all(langs):
        raise UsageError(f"{lang_pair!r}: give the pair of languages, such as en-fr")
    for lang in langs:
        canonical_tag(lang)


def _load_shard(path: Path) -> NDArray[np.floating]:
    try:
        rows: NDArray[np.floating] = np.load(path, allow_pickle=False)
    except OSError as error:
        raise ResourceError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise LabseError(f"{path}: no array of numbers: {error}") from None
    return rows


def _check_aligned(target: Iterable[str], num_source: int) -> Iterator[str]:
    count = 0
    for count, sentence in enumerate(target, start=1):
        if count > num_source:
            break
        yield sentence
    if count != num_source:
        more = "more" if count > num_source else f"only {count}"
        raise LabseError(
            f"{num_source} sources and {more} targets; the two must be aligned line by line"
        )


def _chunks(sentences: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(sentences)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _hash_text(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
