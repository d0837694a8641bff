"""Files of pairs to tokenised pairs, kept on disk so that a resumed run need not do it again.

Takes: the [data] section, a vocabulary. Gives: `TokenizedPairs`, what was dropped and why.
Source: docs/design.md, promises.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from tokenizers import Tokenizer

import labse
from labse.cluster.run import run_tasks
from labse.cluster.tasks import Task
from labse.corpus.equal_texts import number_texts
from labse.corpus.inputs import InputFile, hash_files, list_inputs
from labse.corpus.languages import canonical_tag
from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.data.arrays import (
    FileChoice,
    FileScan,
    Resources,
    find_file_starts,
    join_tokens,
    scan_step,
    tokenize_step,
    write_labels,
)
from labse.dual_encoder.data.pairs import TokenizedPairs, write_summary
from labse.errors import LabseError, UsageError
from labse.files.stage import Result, Stage, make_once

__all__ = ["PairCounts", "PreparedPairs", "prepare_pairs"]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PairCounts:
    """What became of the pairs read; the reasons are tried in this order.

    Attributes:
        num_read: pairs in all files.
        num_other_langs: neither side is in `data.langs`.
        num_blank: a side is empty or white space.
        num_copies: both sides are the same text.
        num_kept: the rest.
    """

    num_read: int
    num_other_langs: int
    num_blank: int
    num_copies: int
    num_kept: int


@dataclass(frozen=True, slots=True)
class PreparedPairs:
    """Training data and where it comes from.

    Attributes:
        pairs: mapped from the cache folder.
        counts: what was kept and dropped.
        inputs: the files, in the order of the configuration.
        is_cached: an earlier call made them.
    """

    pairs: TokenizedPairs
    counts: PairCounts
    inputs: tuple[InputFile, ...]
    is_cached: bool


def prepare_pairs(
    config: RunConfig,
    *,
    data_folder: Path,
    tokenizer: Tokenizer,
    cache: Path,
    resources: Resources | None = None,
    is_main: bool = True,
) -> PreparedPairs:
    """Reads, filters and tokenises the pairs, or maps what an earlier call left in `cache`.

    The cache holds for the same bytes of data and vocabulary and the same options; else it is made
    anew. Files are worked on in processes and each is done once: after a kill the same call goes
    on. Sentences are numbered as they first appear, in the order of files and rows, whatever the
    memory and the number of processes.

    Args:
        config: `data` and `model.max_seq_length` count here, what is about drawing does not.
        data_folder: where relative paths start.
        tokenizer: one that neither pads nor truncates, as `read_tokenizer` gives it.
        cache: a folder for this function alone.
        resources: None takes the defaults.
        is_main: of several processes, whether this one makes the cache; the others find it made.

    Raises:
        LabseError: broken data, or no pair is left; or the main process has read other bytes.
        UsageError: an unknown language in `data.langs`.
        ResourceError: the cache cannot be written.
    """
    langs = _canonical_langs(config)
    hashes = hash_files(config.data.pairs, folder=data_folder)
    key = {
        "labse_version": labse.__version__,
        "sha256": list(hashes.values()),
        "tokenizer": hashlib.sha256(tokenizer.to_str().encode()).hexdigest(),
        "langs": sorted(langs),
        "given_langs": [config.data.source_lang, config.data.target_lang],
        "max_seq_length": config.model.max_seq_length,
    }
    given_langs = (config.data.source_lang, config.data.target_lang)
    choices = [
        FileChoice(str(data_folder / name), sorted(langs), *given_langs)
        for name in config.data.pairs
    ]
    make = partial(_write_tokens, config, hashes, choices, tokenizer, resources or Resources())
    prepared, is_cached = make_once(cache, key, make, partial(_load, cache), is_main=is_main)
    return replace(prepared, is_cached=is_cached)


def _write_tokens(
    config: RunConfig,
    hashes: Mapping[str, str],
    choices: Sequence[FileChoice],
    tokenizer: Tokenizer,
    resources: Resources,
    stage: Stage,
) -> dict[str, object]:
    """Writes the arrays of `TokenizedPairs`; returns their manifest."""
    # Each file is read and hashed.
    cache, work = stage.folder, stage.work
    run = partial(_run_step, choices, " ".join(hashes.values()), stage, resources.workers)
    found = run(scan_step, [{}] * len(choices), ("hashes.npy", "langs.npy", "rows.npy"))
    scans = [
        FileScan(_work_of_file(work, number), **cast("dict[str, Any]", result))
        for number, result in enumerate(found)
    ]
    counts = _count(scans)
    _check(counts, scans, frozenset(choices[0].langs))

    # The sentences of all files are numbered by their hashes.
    lang_pairs = write_labels(scans, cache)
    _LOGGER.info("numbering the sentences of %d files", len(scans))
    number_texts(
        [scan.folder / "hashes.npy" for scan in scans],
        cache / "pairs.npy",
        work=work,
        memory_bytes=resources.memory_bytes,
        texts_per_row=2,
    )

    # Each file is read again, and what it is the first to have is tokenised.
    _LOGGER.info("tokenising the distinct sentences")
    (work / "tokenizer.json").write_text(tokenizer.to_str(), "utf-8")
    arguments = [
        {
            "numbers": str(cache / "pairs.npy"),
            "start": start,
            "num_before": num_before,
            "tokenizer": str(work / "tokenizer.json"),
            "max_seq_length": config.model.max_seq_length,
        }
        for start, num_before in find_file_starts(scans, cache / "pairs.npy")
    ]
    tokenized = run(tokenize_step, arguments, ("input_ids.npy", "lengths.npy"))
    join_tokens(scans, cache)

    # The manifest says what all of it is made of.
    num_truncated = sum(cast("int", result["num_truncated"]) for result in tokenized)
    write_summary(
        cache, lang_pairs=lang_pairs, corpora=config.data.pairs, num_truncated=num_truncated
    )
    num_rows = {name: scan.num_rows for name, scan in zip(hashes, scans, strict=True)}
    inputs = [asdict(file) for file in list_inputs(hashes, num_rows)]
    return {"kind": "tokens", "counts": asdict(counts), "inputs": inputs}


def _load(cache: Path, manifest: dict[str, Any]) -> PreparedPairs:
    counts = PairCounts(**manifest["counts"])
    inputs = tuple(InputFile(**file) for file in manifest["inputs"])
    return PreparedPairs(TokenizedPairs.load(cache), counts, inputs, is_cached=True)


def _run_step(
    choices: Sequence[FileChoice],
    inputs: str,
    stage: Stage,
    workers: int,
    step: Callable[..., Result],
    arguments: Sequence[Mapping[str, object]],
    outputs: Sequence[str],
) -> list[Result]:
    """Runs a step for each file that it is not done for yet; all depend on all files."""
    tasks = []
    for number, (choice, more) in enumerate(zip(choices, arguments, strict=True)):
        folder = _work_of_file(stage.work, number)
        own = {"choice": asdict(choice), "folder": str(folder), **more}
        paths = tuple(str(folder / output) for output in outputs)
        tasks.append(Task(f"{step.__name__}-{number:05}", step, own, inputs, paths))
    return run_tasks(tasks, stage, workers=workers)


def _work_of_file(work: Path, number: int) -> Path:
    return work / f"file-{number:05}"


def _canonical_langs(config: RunConfig) -> frozenset[str]:
    try:
        return frozenset(canonical_tag(lang) for lang in config.data.langs)
    except UsageError as error:
        raise UsageError(f"data.langs: {error}") from None


def _count(scans: Sequence[FileScan]) -> PairCounts:
    dropped: Counter[str] = Counter()
    for scan in scans:
        dropped.update(scan.dropped)
    num_read = sum(scan.num_rows for scan in scans)
    return PairCounts(
        num_read=num_read,
        num_other_langs=dropped["other_langs"],
        num_blank=dropped["blank"],
        num_copies=dropped["copies"],
        num_kept=num_read - dropped.total(),
    )


def _check(counts: PairCounts, scans: Sequence[FileScan], langs: frozenset[str]) -> None:
    if missing := sorted(langs.difference(*(scan.langs for scan in scans))):
        raise UsageError(f"data.langs: no pair is in {', '.join(missing)}; leave it out")
    if not counts.num_kept:
        raise LabseError(
            f"no pair is left to train on: {counts.num_other_langs} of other languages, "
            f"{counts.num_blank} blank, {counts.num_copies} copies"
        )
