"""Files of text and of pairs to examples, kept on disk for the next start.

Takes: the [data] section, a vocabulary. Gives: `TokenizedExamples`, what was dropped and why.
Source: docs/design.md, promises.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

import labse
from labse.corpus.file_formats import is_text
from labse.corpus.inputs import InputFile, hash_files, list_inputs
from labse.corpus.languages import canonical_tag
from labse.corpus.pair_files import iter_rows
from labse.corpus.readers import read_pairs
from labse.corpus.records import UNKNOWN_LANG, SentencePair
from labse.errors import LabseError, UsageError
from labse.files.atomic import sha256_file
from labse.files.stage import Stage, make_once
from labse.pretraining.config import PretrainDataConfig
from labse.pretraining.examples import (
    ExampleCollector,
    TextPacker,
    TokenizedExamples,
    join_pair,
)
from labse.vocab.tokenizer import SPECIAL_TOKENS

__all__ = ["ExampleCounts", "PreparedExamples", "prepare_examples"]

_CHUNK_ROWS = 20_000
_COMPRESSIONS = (".bz2", ".gz", ".zst")


@dataclass(frozen=True, slots=True)
class ExampleCounts:
    """What became of the rows read.

    Attributes:
        num_texts: rows of text, both sides of each pair that is read as text.
        num_blank_texts: of these, without a piece that the vocabulary knows, so that there would
            be nothing to hide; in a text file a line without text ends a document.
        num_repeated_texts: of these, a side of a pair that its file has had before.
        num_pairs: rows of pairs.
        num_blank_pairs: of these, a side is without a known piece.
        num_copies: of these, both sides are the same text.
        num_cut_pairs: of these, cut to max_seq_length.
        num_examples: what was made of them.
    """

    num_texts: int
    num_blank_texts: int
    num_repeated_texts: int
    num_pairs: int
    num_blank_pairs: int
    num_copies: int
    num_cut_pairs: int
    num_examples: int


@dataclass(frozen=True, slots=True)
class PreparedExamples:
    """Training data and where it comes from; `is_cached`: an earlier call made them."""

    examples: TokenizedExamples
    counts: ExampleCounts
    inputs: tuple[InputFile, ...]
    is_cached: bool


def prepare_examples(
    config: PretrainDataConfig,
    *,
    data_folder: Path,
    vocab_folder: Path,
    tokenizer: Tokenizer,
    cache: Path,
    is_main: bool = True,
) -> PreparedExamples:
    """Reads, packs and tokenises the files, or maps what an earlier call left in `cache`.

    All tokens are in memory once while they are made (4 bytes each).

    Args:
        data_folder: where relative paths start.
        vocab_folder: whose tokenizer.json the cache is tied to.
        is_main: of several processes, whether this one makes the cache; the others find it made.

    Raises:
        LabseError: broken data, an empty file, nothing is left, or the main process has read other
            bytes.
        UsageError: a text file whose name does not end in a language.
        ResourceError: the cache cannot be written.
    """
    # A file may be in both lists; each list may have it once.
    text_hashes = hash_files(config.text, folder=data_folder)
    pair_hashes = hash_files(config.pairs, folder=data_folder)
    key = {
        "labse_version": labse.__version__,
        "text": list(text_hashes.values()),
        "text_langs": [_name_lang(file) for file in config.text],
        "pairs": list(pair_hashes.values()),
        "tokenizer": sha256_file(vocab_folder / "tokenizer.json"),
        "max_seq_length": config.max_seq_length,
        "cross_documents": config.cross_documents,
    }

    def make(stage: Stage) -> dict[str, object]:
        maker = _Maker(config, tokenizer)
        num_texts = {file: maker.add_text(data_folder / file) for file in config.text}
        maker.flush_text()
        num_pairs = {file: maker.add_pairs(data_folder / file) for file in config.pairs}
        examples = maker.collector.build()
        if not len(examples.groups):
            raise LabseError(
                "nothing is left to train on: every row is a copy, or without a piece of the "
                "vocabulary"
            )
        examples.save(stage.folder)
        inputs = list_inputs(text_hashes, num_texts) + list_inputs(pair_hashes, num_pairs)
        names = [field.name for field in fields(ExampleCounts)]
        counts = {name: maker.counts[name.removeprefix("num_")] for name in names}
        counts["num_examples"] = len(examples.groups)
        files = [asdict(file) for file in inputs]
        return {"kind": "tokens", "key": key, "counts": counts, "inputs": files}

    def load(manifest: dict[str, Any]) -> PreparedExamples:
        counts = ExampleCounts(**manifest["counts"])
        inputs = tuple(InputFile(**file) for file in manifest["inputs"])
        return PreparedExamples(TokenizedExamples.load(cache), counts, inputs, is_cached=False)

    prepared, is_cached = make_once(cache, key, make, load, is_main=is_main)
    return replace(prepared, is_cached=is_cached)


def _name_lang(file: str) -> str | None:
    """Returns the language that the name of a text file ends in; None for a table."""
    if not is_text(file):
        return None
    name = Path(Path(file).stem if Path(file).suffix in _COMPRESSIONS else file)
    if name.suffix == ".txt":
        name = Path(name.stem)
    try:
        return canonical_tag(name.suffix.removeprefix("."))
    except UsageError:
        raise UsageError(
            f"data.text: the name of {file} does not end in a language; call it news.deu or "
            "news.deu.txt, or give a table with the columns text and lang"
        ) from None


@dataclass(frozen=True, slots=True)
class _Text:
    lang: str
    document: tuple[object, ...]
    text: str


class _Maker:
    """Turns files into examples and counts what it reads and drops, over all of them."""

    def __init__(self, config: PretrainDataConfig, tokenizer: Tokenizer) -> None:
        self.collector = ExampleCollector()
        self.counts: Counter[str] = Counter()
        self._tokenizer = tokenizer
        self._max_seq_length = config.max_seq_length
        ids = tokenizer.get_vocab()
        self._cls_id, self._sep_id = ids["[CLS]"], ids["[SEP]"]
        self._special_ids = {ids[token] for token in SPECIAL_TOKENS}
        self._packer = TextPacker(
            max_seq_length=config.max_seq_length,
            cls_id=self._cls_id,
            sep_id=self._sep_id,
            cross_documents=config.cross_documents,
        )

    def add_text(self, path: Path) -> int:
        """Packs a file of text, or the sides of a file of pairs; returns its rows."""
        before = self.counts["rows"]
        texts = self._iter_texts(path)
        while chunk := list(islice(texts, _CHUNK_ROWS)):
            for text, pieces in zip(chunk, self._tokenize(t.text for t in chunk), strict=True):
                if self._special_ids.issuperset(pieces):
                    self.counts["blank_texts"] += 1
                    continue
                for example in self._packer.add(text.lang, text.document, pieces):
                    self.collector.add("mlm", text.lang, example)
        return self._num_rows(path, before)

    def flush_text(self) -> None:
        for lang, example in self._packer.flush():
            self.collector.add("mlm", lang, example)

    def add_pairs(self, path: Path) -> int:
        """Joins the sides of each pair; returns the rows of the file."""
        before = self.counts["rows"]
        pairs = iter(read_pairs(path))
        while chunk := list(islice(pairs, _CHUNK_ROWS)):
            self.counts["rows"] += len(chunk)
            self.counts["pairs"] += len(chunk)
            sources = self._tokenize(pair.source for pair in chunk)
            targets = self._tokenize(pair.target for pair in chunk)
            for pair, source, target in zip(chunk, sources, targets, strict=True):
                self._add_pair(pair, source, target)
        return self._num_rows(path, before)

    def _add_pair(self, pair: SentencePair, source: list[int], target: list[int]) -> None:
        if self._special_ids.issuperset(source) or self._special_ids.issuperset(target):
            self.counts["blank_pairs"] += 1
            return
        if pair.source == pair.target:
            self.counts["copies"] += 1
            return
        joined = join_pair(
            source,
            target,
            max_seq_length=self._max_seq_length,
            cls_id=self._cls_id,
            sep_id=self._sep_id,
        )
        self.counts["cut_pairs"] += joined.is_cut
        langs = f"{pair.source_lang}-{pair.target_lang}"
        self.collector.add("tlm", langs, joined.input_ids, joined.source_length)

    def _iter_texts(self, path: Path) -> Iterator[_Text]:
        lang = _name_lang(str(path))
        seen: set[tuple[str, str]] = set()
        num_documents = 0
        for _, row in iter_rows([str(path)], lang=lang, drops=Counter()):
            self.counts["rows"] += 1
            if not isinstance(row, SentencePair):
                self.counts["texts"] += 1
                num_documents += not row.text.strip()  # As in BERT's data, a blank line ends one.
                if row.lang == UNKNOWN_LANG:
                    raise UsageError(
                        f"data.text: {path} does not tell its language; add a column lang"
                    )
                yield _Text(row.lang, (path, row.document, num_documents), row.text)
                continue
            for side in ((row.source_lang, row.source), (row.target_lang, row.target)):
                self.counts["texts"] += 1
                if side in seen:
                    self.counts["repeated_texts"] += 1
                    continue
                seen.add(side)
                yield _Text(side[0], (path,), side[1])

    def _tokenize(self, texts: Iterable[str]) -> list[list[int]]:
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def _num_rows(self, path: Path, before: int) -> int:
        num_rows = self.counts["rows"] - before
        if not num_rows:
            raise LabseError(f"{path}: empty, it has no rows")
        return num_rows
