"""Scores of pairs by their text, chunk by chunk, here or elsewhere.

Takes: columns of pairs, and what is known of them. Gives: a line of JSON for each pair.
Source: OpusFilter (Aulamo et al. 2020), whose format the lines are; docs/cluster.md.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from labse.cleaning.bounds import Scores
from labse.cleaning.langid import match_languages
from labse.cleaning.normalize import normalize_text
from labse.cleaning.pair_scores import score_pair_texts
from labse.cluster.local import LocalExecutor
from labse.cluster.tasks import Executor, Task
from labse.corpus.languages import canonical_tag, is_language
from labse.corpus.records import UNKNOWN_LANG
from labse.errors import LabseError
from labse.files.atomic import make_folder, write_atomic
from labse.files.stage import Result
from labse.mining.pair_corpus import MINED_SCORE
from labse.mining.quality import measure_quality

__all__ = [
    "NEARBY",
    "UNKNOWN_LANGUAGE",
    "Chunk",
    "PairSelector",
    "run_chunk_tasks",
    "score_chunk",
    "score_chunk_step",
    "score_texts",
    "to_json",
]

UNKNOWN_LANGUAGE = "unknown_language"
"""The reason why a pair is dropped, if that is asked for in place of an error."""

NEARBY = "nearby"
"""The score of a pair's neighbours, which the quality is made of; it is not written."""


class PairSelector(Protocol):
    """What adds scores to those of `filter_pairs`."""

    def score(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        cosines: NDArray[np.floating],
        nearby: NDArray[np.floating],
        known: Scores,
    ) -> dict[str, NDArray[np.float32]]:
        """Returns (N,) columns of N pairs, whose cosines and text scores are known."""
        ...


@dataclass(frozen=True, slots=True)
class Chunk:
    """N pairs that follow each other.

    Attributes:
        columns: their values by name, N each: `source`, `target` and what else is known.
        scores: (N,) by name, those that need vectors.
        skip_unknown: whether a language that is not known is a score, not an error.
    """

    columns: Mapping[str, Sequence[str]]
    scores: Mapping[str, NDArray[np.float32]]
    skip_unknown: bool = False


def score_chunk(chunk: Chunk, selector: PairSelector | None = None) -> bytes:
    """Returns a line of scores for each pair of a chunk.

    Raises:
        LabseError: a language that is not known.
        ResourceError: a package is missing.
    """
    columns, scores = chunk.columns, dict(chunk.scores)
    if MINED_SCORE in columns:
        scores[MINED_SCORE] = np.array(columns[MINED_SCORE], np.float32)
    langs: tuple[Sequence[str], Sequence[str]] | None = None
    if {"source_lang", "target_lang"} <= columns.keys():
        langs = (columns["source_lang"], columns["target_lang"])
    if langs and chunk.skip_unknown:
        scores[UNKNOWN_LANGUAGE], langs = _find_unknown_languages(*langs)
    texts = columns["source"], columns["target"]
    scores |= score_texts(*texts, langs)
    if (nearby := scores.pop(NEARBY, None)) is not None:
        scores["quality"] = measure_quality(scores["cosine"], nearby, *texts, known=scores)
        if selector is not None:
            scores |= selector.score(*texts, scores["cosine"], nearby, scores)
    return "".join(f"{line}\n" for line in to_json(scores)).encode()


def run_chunk_tasks(
    chunks: Iterable[Chunk], work: Path, workers: int | Executor
) -> Iterator[bytes]:
    """Yields the lines of chunks in their order; see `score_chunk`.

    Args:
        chunks: the pairs.
        work: a folder for them, which those who score must see.
        workers: processes, or what runs the tasks elsewhere.
    """
    shutil.rmtree(work, ignore_errors=True)
    make_folder(work)

    def make_tasks() -> Iterator[Task]:
        for number, chunk in enumerate(chunks):
            pairs, out = work / f"{number:06}.npz", work / f"{number:06}.jsonl"
            _write_chunk(pairs, chunk)
            places = {"pairs": str(pairs), "out": str(out)}
            arguments = {"number": number}
            yield Task(f"text/{number:06}", score_chunk_step, arguments, "", (str(out),), places)

    executor = LocalExecutor(workers) if isinstance(workers, int) else workers
    done: set[int] = set()
    num_told = 0
    for task, _ in executor.run(make_tasks()):
        done.add(cast("int", task.arguments["number"]))
        while num_told in done:
            yield (work / f"{num_told:06}.jsonl").read_bytes()
            for suffix in ("npz", "jsonl"):
                (work / f"{num_told:06}.{suffix}").unlink(missing_ok=True)
            done.remove(num_told)
            num_told += 1
    shutil.rmtree(work, ignore_errors=True)


def score_chunk_step(pairs: str, out: str, *, number: int) -> Result:
    """Writes a line of scores for each pair of chunk `number`, which `run_chunk_tasks` wrote."""
    lines = score_chunk(_read_chunk(Path(pairs)))
    with write_atomic(out) as stream:
        stream.write(lines)
    return {"number": number, "num_rows": lines.count(b"\n")}


def _write_chunk(path: Path, chunk: Chunk) -> None:
    told = {"columns": chunk.columns, "skip_unknown": chunk.skip_unknown}
    content = json.dumps(told, ensure_ascii=False).encode(errors="surrogatepass")
    scores = {f"score_{name}": column for name, column in chunk.scores.items()}
    with write_atomic(path) as stream:
        np.savez(stream, content=np.frombuffer(content, np.uint8), **scores)  # type: ignore[arg-type]


def _read_chunk(path: Path) -> Chunk:
    if not path.is_file():
        raise LabseError(f"{path}: not seen on this machine; all must share the folder")
    with np.load(path, allow_pickle=False) as arrays:
        told = json.loads(arrays["content"].tobytes().decode(errors="surrogatepass"))
        names = [name for name in arrays if name.startswith("score_")]
        scores = {name.removeprefix("score_"): arrays[name] for name in names}
    return Chunk(told["columns"], scores, told["skip_unknown"])


def score_texts(
    sources: Sequence[str],
    targets: Sequence[str],
    langs: tuple[Sequence[str], Sequence[str]] | None,
) -> dict[str, NDArray[np.float32]]:
    """Scores what the texts of N pairs tell without a model; see docs/cleaning.md for each score.

    Args:
        sources: N texts.
        targets: as many.
        langs: N tags of each side; None: languages are not looked at.

    Raises:
        ResourceError: languages are asked for and the packages that tell them are missing.
    """
    sides = [[normalize_text(text).text for text in texts] for texts in (sources, targets)]
    scores = {}
    for name, texts in zip(("source", "target"), sides, strict=True):
        scores[f"{name}_characters"] = np.fromiter(map(len, texts), np.float32, len(texts))
    scores |= score_pair_texts(*sides)
    for name, texts, tags in zip(("source", "target"), sides, langs or (), strict=bool(langs)):
        canonical = {tag: canonical_tag(tag) for tag in {*tags}}
        langs_of = [canonical[tag] for tag in tags]
        scores[f"{name}_language_match"] = match_languages(texts, langs_of)[1]
    return scores


def _find_unknown_languages(
    sources: Sequence[str], targets: Sequence[str]
) -> tuple[NDArray[np.float32], tuple[list[str], list[str]]]:
    """Returns which of N pairs have a language that is not known, and the tags without those."""
    is_known = {tag: is_language(tag) for tag in {*sources, *targets}}
    sides = [
        [tag if is_known[tag] else UNKNOWN_LANG for tag in tags] for tags in (sources, targets)
    ]
    pairs = zip(sources, targets, strict=True)
    unknown = [not (is_known[source] and is_known[target]) for source, target in pairs]
    return np.array(unknown, np.float32), (sides[0], sides[1])


def to_json(scores: Scores) -> Iterator[str]:
    """Yields one line of JSON for each row."""
    for row in zip(*(column.tolist() for column in scores.values()), strict=True):
        yield json.dumps(dict(zip(scores, row, strict=True)))
