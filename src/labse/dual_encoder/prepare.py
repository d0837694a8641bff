"""Files of pairs to tokenised pairs, kept on disk so that a resumed run need not do it again.

Takes: the [data] section, a vocabulary. Gives: `TokenizedPairs`, what was dropped and why.
Source: docs/design.md, promises.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from tokenizers import Tokenizer

import labse
from labse.corpus.inputs import InputFile, hash_files, list_inputs
from labse.corpus.languages import canonical_tag
from labse.corpus.readers import read_pairs
from labse.corpus.records import SentencePair
from labse.dual_encoder.config import RunConfig
from labse.dual_encoder.pairs import TokenizedPairs, tokenize_pairs
from labse.errors import LabseError, UsageError
from labse.files import MANIFEST_NAME, read_json, sha256_file, write_json

__all__ = ["PairCounts", "PreparedPairs", "fit_to_vocabulary", "prepare_pairs"]


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


def fit_to_vocabulary(config: RunConfig, tokenizer: Tokenizer) -> RunConfig:
    """Sets `model.bert.vocab_size` and `pad_token_id` to those of the tokenizer.

    Raises:
        UsageError: the configuration states another value.
    """
    actual = {
        "vocab_size": tokenizer.get_vocab_size(),
        "pad_token_id": tokenizer.token_to_id("[PAD]"),
    }
    bert = config.model.bert
    for name, value in actual.items():
        stated = getattr(bert, name)
        if name in bert.model_fields_set and stated != value:
            raise UsageError(
                f"model.bert.{name} is {stated}, the vocabulary says {value}; "
                "leave the key out or take the other vocabulary"
            )
    model = config.model.model_copy(update={"bert": bert.model_copy(update=actual)})
    return config.model_copy(update={"model": model})


def prepare_pairs(
    config: RunConfig, *, data_folder: Path, vocab_folder: Path, tokenizer: Tokenizer, cache: Path
) -> PreparedPairs:
    """Reads, filters and tokenises the pairs, or maps what an earlier call left in `cache`.

    The cache holds for the same bytes of data and vocabulary and the same options; else it is made
    anew.

    Args:
        config: `data.pairs`, `data.langs` and `model.max_seq_length` count here.
        data_folder: where relative paths start.
        vocab_folder: whose tokenizer.json the cache is tied to.
        tokenizer: that of `vocab_folder`.
        cache: a folder for this function alone.

    Raises:
        LabseError: broken data, or no pair is left.
        UsageError: an unknown language in `data.langs`.
        ResourceError: the cache cannot be written.
    """
    langs = _canonical_langs(config)
    hashes = hash_files(config.data.pairs, folder=data_folder)
    key = {
        "labse_version": labse.__version__,
        "sha256": list(hashes.values()),
        "tokenizer": sha256_file(vocab_folder / "tokenizer.json"),
        "langs": sorted(langs),
        "max_seq_length": config.model.max_seq_length,
    }
    if prepared := _load_cache(cache, key):
        return prepared

    reader = _Reader(config.data.pairs, data_folder, langs)
    corpora = {file: reader.iter_kept(file) for file in config.data.pairs}
    pairs = tokenize_pairs(corpora, tokenizer, max_seq_length=config.model.max_seq_length)

    (cache / MANIFEST_NAME).unlink(missing_ok=True)  # What is half replaced is not valid.
    pairs.save(cache)
    inputs = list_inputs(hashes, reader.num_rows)
    counts = PairCounts(
        num_read=reader.num_rows.total(),
        num_other_langs=reader.dropped["other_langs"],
        num_blank=reader.dropped["blank"],
        num_copies=reader.dropped["copies"],
        num_kept=len(pairs.pairs),
    )
    manifest = {"kind": "tokens", "key": key, "counts": asdict(counts)}
    write_json(cache / MANIFEST_NAME, manifest | {"inputs": [asdict(file) for file in inputs]})
    return PreparedPairs(TokenizedPairs.load(cache), counts, inputs, is_cached=False)


def _canonical_langs(config: RunConfig) -> frozenset[str]:
    try:
        return frozenset(canonical_tag(lang) for lang in config.data.langs)
    except UsageError as error:
        raise UsageError(f"data.langs: {error}") from None


def _load_cache(cache: Path, key: Mapping[str, object]) -> PreparedPairs | None:
    try:
        manifest = read_json(cache / MANIFEST_NAME)
        if manifest["key"] != key:
            return None
        counts = PairCounts(**manifest["counts"])  # type: ignore[arg-type]
        inputs = tuple(InputFile(**file) for file in manifest["inputs"])  # type: ignore[attr-defined]
        return PreparedPairs(TokenizedPairs.load(cache), counts, inputs, is_cached=True)
    except (LabseError, KeyError, TypeError):  # Not there, damaged, or of another version.
        return None


class _Reader:
    """Reads the files one after the other and counts what it reads and drops, over all of them."""

    def __init__(self, files: tuple[str, ...], folder: Path, langs: frozenset[str]) -> None:
        self.num_rows: Counter[str] = Counter()  # By file, those read to the end.
        self.dropped: Counter[str] = Counter()  # By reason.
        self._files = files
        self._folder = folder
        self._langs = langs
        self._seen_langs: set[str] = set()
        self._is_any_kept = False

    def iter_kept(self, file: str) -> Iterator[SentencePair]:
        """Yields the pairs of a file to train on.

        Raises:
            LabseError: the file is empty, or it is the last and no pair of all is left.
            UsageError: it is the last, and a language that is asked for was in none.
        """
        rows = 0
        for pair in read_pairs(self._folder / file):
            rows += 1
            self._seen_langs |= {pair.source_lang, pair.target_lang}
            if reason := self._reason_to_drop(pair):
                self.dropped[reason] += 1
            else:
                self._is_any_kept = True
                yield pair
        if not rows:
            raise LabseError(f"{self._folder / file}: empty, it has no rows")
        self.num_rows[file] = rows
        if len(self.num_rows) == len(self._files):
            self._check()

    def _reason_to_drop(self, pair: SentencePair) -> str:
        if self._langs and self._langs.isdisjoint((pair.source_lang, pair.target_lang)):
            return "other_langs"
        if not pair.source.strip() or not pair.target.strip():
            return "blank"
        return "copies" if pair.source == pair.target else ""

    def _check(self) -> None:
        if missing := sorted(self._langs - self._seen_langs):
            raise UsageError(f"data.langs: no pair is in {', '.join(missing)}; leave it out")
        if not self._is_any_kept:
            raise LabseError(
                f"no pair is left to train on: {self.dropped['other_langs']} of other languages, "
                f"{self.dropped['blank']} blank, {self.dropped['copies']} copies"
            )
