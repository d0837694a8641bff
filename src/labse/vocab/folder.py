"""The vocabulary folder: learnt from files, with the manifest of its making.

Takes: files of text and of pairs. Gives: vocab.txt, tokenizer.json and manifest.json in one folder.
Source: Feng et al., arXiv 2007.01852, section 4 (cased WordPiece, smoothing exponent 0.3).
"""

import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import labse
from labse.corpus.inputs import InputFile, hash_files, list_inputs
from labse.corpus.languages import canonical_tag
from labse.corpus.readers import read_pairs, read_sentences
from labse.corpus.records import Sentence
from labse.errors import LabseError, ResourceError, UsageError
from labse.files import MANIFEST_NAME, format_suffix, read_json, sha256_file, write_json
from labse.vocab.counts import count_words, smooth_counts
from labse.vocab.tokenizer import save_vocabulary
from labse.vocab.wordpiece import learn_wordpiece

__all__ = ["VocabularySummary", "learn_vocabulary"]

_LOGGER = logging.getLogger(__name__)

_KIND = "vocabulary"
_PAIR_SUFFIXES = (".jsonl", ".parquet", ".tsv")


@dataclass(frozen=True, slots=True)
class VocabularySummary:
    """What was learnt and from what.

    Attributes:
        num_pieces: entries of the vocabulary, special tokens included; below `vocab_size` where the
            words give no more.
        num_words: distinct words, those of several languages once.
        num_word_tokens: occurrences of words.
        num_langs: languages.
        inputs: the files with their rows; a pair is one row.
    """

    num_pieces: int
    num_words: int
    num_word_tokens: int
    num_langs: int
    inputs: tuple[InputFile, ...]


def learn_vocabulary(
    files: Sequence[str | Path],
    out: str | Path,
    *,
    vocab_size: int = 120_000,
    smoothing_exponent: float = 0.3,
    min_count: float = 2,
    lang: str | None = None,
) -> VocabularySummary:
    """Learns a vocabulary from all files together and writes its folder, whole or not at all.

    Args:
        files: pairs (`.parquet`, `.tsv`, `.jsonl`), of which both sides count under their own
            languages, or text, one sentence a line.
        out: the folder to make; a vocabulary that stands there is replaced.
        vocab_size: the most pieces (paper: 501,153).
        smoothing_exponent: from 0, all languages weigh the same, to 1, each as much as it has.
        min_count: the least smoothed weight of a piece.
        lang: the language of the text files.

    Raises:
        LabseError: broken or empty data.
        UsageError: `lang` is missing or cannot apply, `vocab_size` is too small, or `out` holds
            something else than a vocabulary.
        ResourceError: the folder cannot be written.
    """
    folder = Path(out).resolve()
    _check_replaceable(folder)
    tag = _check_lang(files, lang)
    hashes = hash_files(files)

    num_rows: Counter[str] = Counter()
    counts = count_words(_iter_sentences(files, tag, num_rows))
    word_counts = smooth_counts(counts, smoothing_exponent) if any(counts.values()) else {}
    if not word_counts:
        raise LabseError(f"{', '.join(map(str, files))}: no words to learn from")
    summary_counts = (sum(c.total() for c in counts.values()), len(counts))
    _LOGGER.info("learning from %s words of %d languages", f"{len(word_counts):,}", len(counts))
    vocab = learn_wordpiece(word_counts, vocab_size=vocab_size, min_count=min_count)

    summary = VocabularySummary(
        len(vocab), len(word_counts), *summary_counts, list_inputs(hashes, num_rows)
    )
    config = {
        "vocab_size": vocab_size,
        "smoothing_exponent": smoothing_exponent,
        "min_count": min_count,
        "lang": tag,
    }
    _write(folder, vocab, {"config": config, **asdict(summary)})
    return summary


def _check_lang(files: Sequence[str | Path], lang: str | None) -> str | None:
    """Returns the canonical tag; `lang` is there if and only if a text file is."""
    texts = [file for file in files if format_suffix(file) not in _PAIR_SUFFIXES]
    if texts and lang is None:
        raise UsageError(f"{texts[0]} is read as text; give its language with --lang")
    if lang is None:
        return None
    if not texts:
        raise UsageError("--lang is for text files, and there is none; leave it out")
    return canonical_tag(lang)


def _iter_sentences(
    files: Sequence[str | Path], lang: str | None, num_rows: Counter[str]
) -> Iterator[Sentence]:
    """Yields the sentences of all files and counts the rows of each in `num_rows`."""
    for file in files:
        rows = 0
        if format_suffix(file) in _PAIR_SUFFIXES:
            for pair in read_pairs(file):
                rows += 1
                yield Sentence(pair.source, pair.source_lang)
                yield Sentence(pair.target, pair.target_lang)
        else:
            assert lang is not None
            for sentence in read_sentences(file, lang=lang):
                rows += 1
                yield sentence
        if not rows:
            raise LabseError(f"{file}: empty, it has no rows")
        num_rows[str(file)] = rows
        _LOGGER.info("%s: %s rows", file, f"{rows:,}")


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"--out {folder}: is a file; give a folder")
    found = {path.name for path in folder.iterdir()}
    if not found:
        return
    manifest = read_json(folder / MANIFEST_NAME) if MANIFEST_NAME in found else {}
    files = manifest.get("files")
    if manifest.get("kind") != _KIND or not isinstance(files, dict):
        raise UsageError(
            f"--out {folder}: is not empty and not made by `labse vocab`; give another folder"
        )
    if others := sorted(found - {*files, MANIFEST_NAME}):
        raise UsageError(
            f"--out {folder}: holds {others[0]!r} beside the vocabulary, which replacing it would "
            "delete; move it or give another folder"
        )
    _LOGGER.info("%s: made by `labse vocab` before; it will be replaced", folder)


def _write(folder: Path, vocab: Sequence[str], manifest: dict[str, object]) -> None:
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        save_vocabulary(temporary, vocab)
        files = {path.name: sha256_file(path) for path in sorted(temporary.iterdir())}
        head = {"kind": _KIND, "labse_version": labse.__version__}
        write_json(temporary / MANIFEST_NAME, {**head, **manifest, "files": files})
        if folder.exists():
            shutil.rmtree(folder)
        temporary.replace(folder)
    except OSError as error:
        raise ResourceError(f"{folder}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
