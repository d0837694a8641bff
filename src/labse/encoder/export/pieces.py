"""Which pieces of a vocabulary some text, or some scripts, can ever need; and a tokenizer of them.

Takes: a WordPiece tokenizer. Gives: numbers of pieces, and the tokenizer that has only these.
Source: WordPiece takes the longest piece that matches (Devlin et al., arXiv 1810.04805). So if all
pieces of a word are kept, the smaller vocabulary cuts it alike: at each place the longest piece is
still there, and no longer one came in.
"""

import json
import sys
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from labse.corpus.languages import find_language
from labse.encoder.streaming import split_by_budget
from labse.errors import LabseError, UsageError

__all__ = ["changed_tokens", "count_pieces", "pieces_of_langs", "shrink_tokenizer"]

_CHUNK_SENTENCES = 4096
_CHUNK_CHARACTERS = 1 << 22
# ISO 15924 codes of languages that are written in several scripts.
_MEMBERS = {
    "Hans": ("Hani", "Bopo"),
    "Hant": ("Hani", "Bopo"),
    "Jpan": ("Hani", "Hira", "Kana"),
    "Kore": ("Hang", "Hani"),
}
_EVERY_SCRIPT = "Zyyy"


def count_pieces(tokenizer: Tokenizer, sentences: Iterable[str]) -> NDArray[np.int64]:
    """Returns (V,): how often each piece is needed to cut the sentences as the tokenizer cuts them.

    A word that becomes [UNK] needs the pieces that matched before none did, for without them it
    might be cut otherwise.
    """
    state = _wordpiece_state(tokenizer)
    unknown = tokenizer.token_to_id(state["model"]["unk_token"])
    counts = np.zeros(_num_ids(tokenizer), np.int64)
    for chunk in split_by_budget(sentences, _CHUNK_SENTENCES, _CHUNK_CHARACTERS):
        encodings = tokenizer.encode_batch_fast(chunk)
        for sentence, encoding in zip(chunk, encodings, strict=True):
            ids = np.array(encoding.ids, np.int64)
            np.add.at(counts, ids, 1)
            if (ids == unknown).any():
                for number in _iter_tried(tokenizer, state["model"], sentence):
                    counts[number] += 1
    return counts


def pieces_of_langs(tokenizer: Tokenizer, langs: Collection[str]) -> NDArray[np.bool_]:
    """Returns (V,): whether a piece has letters of no other script than those of the languages.

    Digits, punctuation, symbols and combining marks are of all scripts, and so are some letters;
    others are of several, as Unicode's Script_Extensions say. All text in these scripts then keeps
    its pieces, whatever it says.

    Raises:
        UsageError: an unknown language, or one of a script without a table here.
    """
    scripts, letters = {_EVERY_SCRIPT}, _scripts_of_letters()
    known = frozenset().union(*letters.values())
    for lang in langs:
        script = find_language(lang).script
        members = _MEMBERS.get(script, (script,))
        if not known.issuperset(members):
            raise UsageError(f"--langs {lang}: the script {script} is not known here; use --text")
        scripts.update(members)
    kept = np.zeros(tokenizer.get_vocab_size(), bool)
    nowhere: frozenset[str] = frozenset()
    for piece, number in tokenizer.get_vocab().items():
        kept[number] = all(
            not scripts.isdisjoint(letters.get(char, nowhere)) for char in piece if char.isalpha()
        )
    # A normalizer may make letters of another script of them: the micro sign becomes a Greek mu.
    for char in _compatibility_characters():
        if not char.isalpha() or not scripts.isdisjoint(letters.get(char, nowhere)):
            for text in (char, f"0{char}"):
                kept[tokenizer.encode(text, add_special_tokens=False).ids] = True
    return kept


@cache
def _compatibility_characters() -> tuple[str, ...]:
    """Returns the characters that Unicode calls forms of others."""
    characters = map(chr, range(sys.maxunicode + 1))
    return tuple(char for char in characters if unicodedata.decomposition(char).startswith("<"))


@cache
def _scripts_of_letters() -> dict[str, frozenset[str]]:
    """Reads scripts.tsv: the scripts in which each letter is used."""
    table = resources.files("labse.encoder.export").joinpath("scripts.tsv")
    scripts: dict[str, frozenset[str]] = {}
    for line in table.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            first, last, names = line.split("\t")
            codes = range(int(first, 16), int(last, 16) + 1)
            scripts.update(dict.fromkeys(map(chr, codes), frozenset(names.split(","))))
    return scripts


def shrink_tokenizer(
    tokenizer: Tokenizer, kept: NDArray[np.bool_]
) -> tuple[Tokenizer, NDArray[np.int64]]:
    """Returns the tokenizer of the kept pieces, and the old numbers (V',) of its pieces in order.

    Special and added tokens are always kept.

    Raises:
        LabseError: the tokenizer is not WordPiece.
    """
    state = _wordpiece_state(tokenizer)
    kept = kept.copy()
    kept[[token["id"] for token in state["added_tokens"]]] = True
    kept[tokenizer.token_to_id(state["model"]["unk_token"])] = True
    old_numbers = np.flatnonzero(kept)
    new = np.full(len(kept), -1, np.int64)
    new[old_numbers] = np.arange(len(old_numbers))

    vocab = state["model"]["vocab"]
    state["model"]["vocab"] = {
        piece: int(new[number]) for piece, number in vocab.items() if kept[number]
    }
    for token in state["added_tokens"]:
        token["id"] = int(new[token["id"]])
    processor = state["post_processor"] or {}
    for name in ("cls", "sep"):  # Of BertProcessing: a piece and its number.
        if isinstance(processor.get(name), list):
            processor[name][1] = int(new[processor[name][1]])
    for special in (processor.get("special_tokens") or {}).values():  # Of TemplateProcessing.
        special["ids"] = [int(new[number]) for number in special["ids"]]
    return Tokenizer.from_str(json.dumps(state)), old_numbers


def _num_ids(tokenizer: Tokenizer) -> int:
    """Returns V; the ids of a stranger's vocabulary may have gaps."""
    return max(tokenizer.get_vocab().values()) + 1


def changed_tokens(
    before: Tokenizer, after: Tokenizer, sentences: Iterable[str]
) -> tuple[int, int]:
    """Returns the tokens of `before` in words that `after` cuts otherwise, and all its tokens."""
    num_changed = num_tokens = 0
    for chunk in split_by_budget(sentences, _CHUNK_SENTENCES, _CHUNK_CHARACTERS):
        pairs = (tokenizer.encode_batch(chunk) for tokenizer in (before, after))
        for old, new in zip(*pairs, strict=True):
            new_words = _words(new)
            for word, pieces in _words(old).items():
                num_tokens += len(pieces)
                num_changed += len(pieces) if new_words.get(word) != pieces else 0
    return num_changed, num_tokens


def _words(encoding: Encoding) -> dict[int, list[str]]:
    """Returns the pieces of each word by its number; special tokens are none."""
    words: dict[int, list[str]] = {}
    for word, piece in zip(encoding.word_ids, encoding.tokens, strict=True):
        if word is not None:
            words.setdefault(word, []).append(piece)
    return words


def _wordpiece_state(tokenizer: Tokenizer) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(tokenizer.to_str())
    kind = state["model"].get("type", "WordPiece")
    if kind != "WordPiece":
        raise LabseError(
            f"the tokenizer is {kind}; only WordPiece can lose pieces and stay the same"
        )
    return state


def _iter_tried(tokenizer: Tokenizer, model: dict[str, Any], sentence: str) -> Iterator[int]:
    """Yields the pieces that match in words which end up as [UNK]."""
    normalizer, splitter = tokenizer.normalizer, tokenizer.pre_tokenizer
    text = normalizer.normalize_str(sentence) if normalizer else sentence
    words = [word for word, _ in splitter.pre_tokenize_str(text)] if splitter else [text]
    for word, _ in Counter(words).items():
        if len(word) > model["max_input_chars_per_word"]:
            continue
        tried: list[int] = []
        start = 0
        while start < len(word):
            prefix = model["continuing_subword_prefix"] if start else ""
            found = next(
                (
                    (stop, number)
                    for stop in range(len(word), start, -1)
                    if (number := model["vocab"].get(prefix + word[start:stop])) is not None
                ),
                None,
            )
            if found is None:
                yield from tried
                break
            start = found[0]
            tried.append(found[1])
