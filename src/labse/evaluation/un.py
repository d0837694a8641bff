"""UN: is the nearest of ten million sentences the translation?

Takes: an encoder, queries, and a pool of any size that holds their translations.
Gives: P@1 and a report. The pool lies on disk as float16 shards; one shard is searched at a time,
exactly.
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
from labse.encoder.protocol import Encoder, encode_sentences
from labse.errors import LabseError, ResourceError, UsageError
from labse.evaluation.report import Report, Score, Table, build_signature, format_percent
from labse.evaluation.significance import Sample, build_sample
from labse.files.atomic import write_atomic
from labse.files.text import read_lines
from labse.search.knn import Neighbours, nearest_neighbours

__all__ = [
    "PAPER_UN_P_AT_1",
    "SHARD_ROWS",
    "Pool",
    "UnScore",
    "build_un_report",
    "check_un",
    "evaluate_un",
    "search_shards",
    "write_pool",
]

PAPER_UN_P_AT_1: Mapping[str, float] = MappingProxyType(
    {"en-es": 0.911, "en-fr": 0.883, "en-ru": 0.908, "en-zh": 0.877}
)
"""P@1 of LaBSE in a pool of about ten million sentences."""

SHARD_ROWS = 1 << 18
"""Rows of a shard: 384 MiB of 768 dimensions in float16."""

_PAPER_POOL = 5_000_000  # Half of the paper's ten million: below, the task is another one.


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
    source: Path,
    target: Path,
    folder: Path | None = None,
    *,
    lang_pair: str | None = None,
    distractors: Path | None = None,
    num_queries: int | None = None,
    shard_rows: int = SHARD_ROWS,
    block_rows: int = 2048,
) -> UnScore:
    """Searches each query among all targets and distractors.

    Memory: the vectors of the queries and of one shard, 8 bytes a row of the pool, and the blocks
    of `nearest_neighbours`.

    Args:
        encoder: what is called once for the queries and once a shard.
        folder: folder for the shards, which stay there; None takes a temporary one.
        lang_pair: such as `en-fr`; None takes the suffixes of both files.
        distractors: file of further sentences in the language of `target`.
        num_queries: how many of the sources ask, evenly spread; None asks for all.
        block_rows: rows that bound the memory of the search, see `nearest_neighbours`.

    Raises:
        UsageError: an unknown language, more queries than sources, or a folder with vectors in it.
        LabseError: files that cannot be used, unequal line counts, or a broken encoder.
    """
    lang_pair, sentences = check_un(source, target, folder, lang_pair, num_queries)
    last = len(sentences) - 1
    asked = np.linspace(0, last, num_queries or len(sentences)).round().astype(np.int64)
    queries = [sentences[number] for number in asked.tolist()]
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="labse-pool-")))
        folder.mkdir(exist_ok=True)
        embeddings = encode_sentences(encoder, queries)
        texts = chain(read_lines(target), () if distractors is None else read_lines(distractors))
        pool = write_pool(encoder, texts, folder, shard_rows=shard_rows)
        found = search_shards(embeddings, pool.shards, block_rows=block_rows).neighbours[:, 0]
    hits = pool.texts[found] == pool.texts[asked]

    fields: dict[str, str | int] = {
        "data": "un",
        "lang_pair": lang_pair,
        "queries": len(asked),
        "pool": pool.num_rows,
        "dtype": "float16",
        "match": "text",
    }
    return UnScore(
        lang_pair=lang_pair,
        num_queries=len(asked),
        num_pool=pool.num_rows,
        p_at_1=float(hits.mean()),
        signature=build_signature("p_at_1", fields, encoder, norm="l2"),
        sample=build_sample(lang_pair, [hits], [*queries, str(pool.num_rows)]),
    )


def check_un(
    source: Path, target: Path, folder: Path | None, lang_pair: str | None, num_queries: int | None
) -> tuple[str, list[str]]:
    """Finds what is wrong with files and options before the work.

    Returns:
        the pair of languages, and the sentences of the source.

    Raises:
        UsageError, LabseError: see `evaluate_un`.
    """
    lang_pair = lang_pair or f"{source.suffix[1:]}-{target.suffix[1:]}"
    langs = lang_pair.split("-")
    if len(langs) != 2 or not all(langs):
        raise UsageError(f"{lang_pair!r}: give the pair of languages, such as en-fr")
    for lang in langs:
        canonical_tag(lang)
    sentences = list(read_lines(source))
    num_targets = sum(1 for _ in read_lines(target))
    if num_targets != len(sentences):
        raise LabseError(
            f"{source} has {len(sentences)} lines, {target} has {num_targets}; "
            "the two must be aligned line by line"
        )
    if not sentences:
        raise LabseError(f"{source}: no lines")
    if num_queries is not None and not 1 <= num_queries <= len(sentences):
        raise UsageError(
            f"{source} has {len(sentences)} lines; it cannot give {num_queries} queries"
        )
    if folder is not None and folder.is_dir() and any(folder.glob("*.npy")):
        raise UsageError(f"{folder}: holds vectors already; give an empty folder")
    return lang_pair, sentences


def write_pool(
    encoder: Encoder, sentences: Iterable[str], folder: Path, *, shard_rows: int = SHARD_ROWS
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
        shards: (M, D) each, in memory or `.npy` files, which are read one at a time.

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


def _load_shard(path: Path) -> NDArray[np.floating]:
    try:
        rows: NDArray[np.floating] = np.load(path, allow_pickle=False)
    except OSError as error:
        raise ResourceError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise LabseError(f"{path}: no array of numbers: {error}") from None
    return rows


def _chunks(sentences: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(sentences)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _hash_text(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


# ---- for people ------------------------------------------------------------------------------


def build_un_report(score: UnScore) -> Report:
    """Returns one row; the paper's number stands beside it if the pool is of the paper's size."""
    paper = PAPER_UN_P_AT_1.get(score.lang_pair)
    is_same = paper is not None and score.num_pool >= _PAPER_POOL
    cells = (f"{score.num_queries:,}", f"{score.num_pool:,}", format_percent(score.p_at_1))
    shown = format_percent(paper) if paper is not None and is_same else ""
    notes = [] if is_same else ["the paper's pool has about 10,000,000 sentences of the UN corpus"]
    return Report(
        data="un",
        metric="p_at_1",
        scores=(
            Score(score.lang_pair, "p_at_1", score.p_at_1, score.signature, (score.sample.name,)),
        ),
        tables=(
            Table(
                "UN, P@1 in percent",
                ("pair", "queries", "pool", "P@1", "LaBSE"),
                ((score.lang_pair, *cells, shown),),
            ),
        ),
        samples=(score.sample,),
        notes=(*notes, "a row of equal text counts as the translation"),
        details={"num_queries": score.num_queries, "num_pool": score.num_pool},
    )
