"""Sentences to token ids in flat arrays: each word is tokenised once and looked up afterwards.

Takes: sentences and how to treat odd ones. Gives: windows of at most the model's length.
Source: BERT's tokenizer ends a word at every space, so the ids of a sentence are those of its
space-separated parts in a row; 3 to 10 times as fast as tokenising whole sentences.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer

from labse.encoder.character_normalizer import CharacterNormalizer, plain_tokenizer
from labse.encoder.runtimes.padding import pad_sentences
from labse.errors import LabseError
from labse.files.npy import ragged_positions
from labse.runtime import fork_safe_lock

__all__ = ["Long", "SentenceTokenizer", "TextOptions", "TokenizedSentences"]

Long = Literal["truncate", "mean"]

_BERT_INPUTS = ("input_ids", "token_type_ids", "attention_mask")
_LEARNT_CHARACTERS = 1 << 20
_JOINED_WORDS = 64
_MAX_KEPT_WORDS = 1 << 19  # About 100 MB; then all are forgotten and learnt anew.
_MAX_KEPT_CHARACTERS = 1 << 24
_BERT_WORD_CHARACTERS = 100  # What BERT's tokenizer takes; a longer word is [UNK] to it.


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How odd text is treated; part of what a vector depends on, so manifests record it.

    Attributes:
        long: a text over the model's length is cut, or encoded in windows whose vectors are
            averaged, each weighted by its tokens.
        nfc: text is composed first (Unicode NFC), so that both spellings of "é" are one.
        split_long_words: words over the tokenizer's limit are split instead of becoming [UNK].
            None: split unless the limit is BERT's 100, whose models have always seen [UNK].
    """

    long: Long = "truncate"
    nfc: bool = False
    split_long_words: bool | None = None

    def __post_init__(self) -> None:
        """Checks what a type checker would.

        Raises:
            ValueError: `long` is neither.
        """
        if self.long not in get_args(Long):
            raise ValueError(f"long {self.long!r}: choose one of {', '.join(get_args(Long))}")


@dataclass(frozen=True, slots=True)
class TokenizedSentences:
    """N sentences in W windows, T tokens in all.

    Attributes:
        input_ids: (T,) int32, one window after the other, special tokens included.
        offsets: (W + 1,) int64; window w is input_ids[offsets[w]:offsets[w + 1]].
        first_windows: (N + 1,) int64; sentence n has windows first_windows[n] and on.
        is_long: (N,) bool, whether the sentence was longer than the model takes.
        is_empty: (N,) bool, whether it has no token but the special ones.
        is_unknown: (N,) bool, whether it has tokens and all are [UNK], so that its vector is that
            of any such sentence.
    """

    input_ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    first_windows: NDArray[np.int64]
    is_long: NDArray[np.bool_]
    is_empty: NDArray[np.bool_]
    is_unknown: NDArray[np.bool_]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(W,) tokens of each window."""
        return np.diff(self.offsets)

    def select(self, windows: NDArray[np.int64]) -> list[NDArray[np.int32]]:
        """Returns the token ids of some windows."""
        return [self.input_ids[self.offsets[row] : self.offsets[row + 1]] for row in windows]


class SentenceTokenizer:
    """Tokenises for one model; remembers words, which changes nothing but the speed.

    Safe to call from several threads.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        max_seq_length: int,
        max_positions: int | None = None,
        options: TextOptions | None = None,
    ) -> None:
        """Prepares.

        Args:
            tokenizer: puts special tokens around a sentence, one behind; copied if it truncates or
                pads.
            max_seq_length: tokens of a window at most, special ones included.
            max_positions: what `max_seq_length` may be set to at most; None: what it is now.
            options: how odd text is treated.

        Raises:
            LabseError: the tokenizer adds no special tokens, or more than the model's length.
        """
        if tokenizer.truncation is not None or tokenizer.padding is not None:
            tokenizer = Tokenizer.from_str(tokenizer.to_str())
            tokenizer.no_truncation()
            tokenizer.no_padding()
        special = tokenizer.encode("").ids
        if len(special) < 2:
            raise LabseError("the tokenizer puts no [CLS] and [SEP] around a sentence")
        if max_seq_length <= len(special):
            raise LabseError(
                f"max_seq_length is {max_seq_length}, which leaves no token for text beside "
                f"{len(special)} special ones; correct the model's sentence_bert_config.json"
            )
        self.options = options or TextOptions()
        self._max_seq_length = max_seq_length
        self._max_positions = max_positions or max_seq_length
        self._tokenizer = tokenizer
        self._before = np.array(special[:-1], np.int32)
        self._after = np.array(special[-1:], np.int32)
        unknown = getattr(tokenizer.model, "unk_token", None) or "<unk>"
        self._unknown = tokenizer.token_to_id(unknown)
        # Others may join words over a space; their sentences are tokenised whole.
        self._is_by_word = isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        self._pad_token_id = _find_padding(tokenizer)
        self._separator = _find_separator(tokenizer, special[-1]) if self._is_by_word else ""
        self._max_word_characters = _word_limit(tokenizer, self.options)
        self._plain: Tokenizer | None = None
        if self._separator and (normalizer := CharacterNormalizer.of(tokenizer)) is not None:
            self._plain, self._normalizer = plain_tokenizer(tokenizer), normalizer
        self._lock = fork_safe_lock()
        # Word w has the ids _ids[_starts[w] : _starts[w] + _lengths[w]].
        self._numbers: dict[str, int] = {}
        self._num_characters = 0
        self._starts = np.empty(0, np.int64)
        self._lengths = np.empty(0, np.int64)
        self._ids = np.empty(0, np.int32)

    @property
    def max_seq_length(self) -> int:
        """Tokens of a window at most, special ones included."""
        return self._max_seq_length

    @max_seq_length.setter
    def max_seq_length(self, length: int) -> None:
        least = len(self._before) + len(self._after) + 1
        if isinstance(length, bool) or not isinstance(length, int):
            raise ValueError(f"max_seq_length is {length!r}; give a whole number")
        if not least <= length <= self._max_positions:
            raise ValueError(
                f"max_seq_length is {length}; this model takes {least} to {self._max_positions}"
            )
        self._max_seq_length = length

    @property
    def backend(self) -> Tokenizer:
        """The tokenizer of the library `tokenizers`, which neither cuts nor pads."""
        return self._tokenizer

    def tokenize(self, sentences: Sequence[str]) -> TokenizedSentences:
        """Returns the windows of N sentences of valid Unicode."""
        if self.options.nfc:
            sentences = [unicodedata.normalize("NFC", sentence) for sentence in sentences]
        words = [sentence.split(" ") if self._is_by_word else [sentence] for sentence in sentences]
        num_words = np.fromiter(map(len, words), np.int64, len(words))
        flat = list(chain.from_iterable(words))

        with self._lock:
            if len(self._numbers) > _MAX_KEPT_WORDS or self._num_characters > _MAX_KEPT_CHARACTERS:
                self._forget()
            self._learn(list(set(flat).difference(self._numbers)))
            numbers = np.fromiter(map(self._numbers.__getitem__, flat), np.int64, len(flat))
            lengths = self._lengths[numbers]
            tokens = self._ids[ragged_positions(self._starts[numbers], lengths)]
        return self._cut_windows(tokens, np.add.reduceat(lengths, np.cumsum(num_words) - num_words))

    def tokenize_padded(self, sentences: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """Returns the first window of each sentence, (N, S), by the names of BERT's inputs."""
        tokenized = self.tokenize(sentences)
        rows = tokenized.select(tokenized.first_windows[:-1])
        if not rows:
            return {name: np.empty((0, 0), np.int64) for name in _BERT_INPUTS}
        padded = pad_sentences(rows, self._pad_token_id)
        arrays = padded.input_ids, np.zeros_like(padded.input_ids), padded.is_real.astype(np.int64)
        return dict(zip(_BERT_INPUTS, arrays, strict=True))

    def find_unknown(self, sentences: Sequence[str]) -> NDArray[np.bool_]:
        """Returns (N,): whether all tokens of a sentence are [UNK]; an empty one has none."""
        is_unknown = np.zeros(len(sentences), bool)
        # One known token is enough, so most are known by their first word.
        firsts = [(sentence.split(None, 1) or [""])[0] for sentence in sentences]
        if self._unknown is not None and sentences:
            rows = np.flatnonzero(self.tokenize(firsts).is_unknown)
            if len(rows):
                whole = [sentences[row] for row in rows.tolist()]
                is_unknown[rows] = self.tokenize(whole).is_unknown
        return is_unknown

    def _learn(self, words: list[str]) -> None:
        """Adds the ids of words that are not known yet."""
        if not words:
            return
        texts = words
        limit = self._max_word_characters
        if limit is not None and max(map(len, words)) > limit:
            texts = [self._split_long(word, limit) if len(word) > limit else word for word in words]
        # An encoding of the library takes about 150 bytes a token, so they are had in parts.
        ends = np.cumsum([len(text) for text in texts])
        cuts = (np.flatnonzero(np.diff(ends // _LEARNT_CHARACTERS)) + 1).tolist()
        parts = [texts[start:end] for start, end in pairwise([0, *cuts, len(texts)])]
        encoded = [self._normalize_and_encode(part) for part in parts]
        flat = np.concatenate([ids for ids, _ in encoded])
        lengths = np.concatenate([counts for _, counts in encoded])
        starts = np.cumsum(lengths) - lengths + len(self._ids)
        self._numbers.update(zip(words, range(len(self._numbers), 10**9), strict=False))
        self._num_characters += sum(map(len, words))
        self._starts = np.concatenate([self._starts, starts])
        self._lengths = np.concatenate([self._lengths, lengths])
        self._ids = np.concatenate([self._ids, flat])

    def _normalize_and_encode(
        self, words: list[str]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Returns the ids of words, one after the other, and how many each has.

        Words that can be normalised character by character are; the library takes the others.
        """
        if self._plain is None:
            return self._encode_words(self._tokenizer, words)
        normal, is_left = self._normalizer.normalize(words)
        left = [word for word, is_one in zip(words, is_left, strict=True) if is_one]
        ids, lengths = self._encode_words(self._plain, normal)
        if not left:
            return ids, lengths

        # Both kinds back in the order of the words.
        left_ids, left_lengths = self._encode_words(self._tokenizer, left)
        order = np.argsort(np.concatenate([np.flatnonzero(~is_left), np.flatnonzero(is_left)]))
        lengths = np.concatenate([lengths, left_lengths])
        starts = np.cumsum(lengths) - lengths
        positions = ragged_positions(starts[order], lengths[order])
        return np.concatenate([ids, left_ids])[positions], lengths[order]

    def _encode_words(
        self, tokenizer: Tokenizer, words: list[str]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Returns the ids of words, one after the other, and how many each has.

        Many are joined by a special token, which the library cuts at before all else: half the time
        of one text a word.
        """
        if not self._separator or any(self._separator in word for word in words):
            ids = [e.ids for e in tokenizer.encode_batch_fast(words, add_special_tokens=False)]
            lengths = np.fromiter(map(len, ids), np.int64, len(ids))
            return np.fromiter(chain.from_iterable(ids), np.int32, int(lengths.sum())), lengths

        texts = [
            self._separator.join([*words[start : start + _JOINED_WORDS], ""])
            for start in range(0, len(words), _JOINED_WORDS)
        ]
        joined = [e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        flat = np.fromiter(chain.from_iterable(joined), np.int32, sum(map(len, joined)))
        is_separator = flat == self._after
        ends = np.flatnonzero(is_separator)
        return flat[~is_separator], np.diff(ends, prepend=-1) - 1

    def _forget(self) -> None:
        self._numbers = {}
        self._num_characters = 0
        self._starts, self._lengths = self._starts[:0], self._lengths[:0]
        self._ids = self._ids[:0]

    def _split_long(self, text: str, limit: int) -> str:
        """Puts spaces into the words that the tokenizer would give up on.

        The parts are of BERT's limit: the library's time grows with the square of a word.
        """
        size = min(limit, _BERT_WORD_CHARACTERS)
        normalizer, splitter = self._tokenizer.normalizer, self._tokenizer.pre_tokenizer
        normal = normalizer.normalize_str(text) if normalizer else text
        parts = [word for word, _ in splitter.pre_tokenize_str(normal)] if splitter else [normal]
        return " ".join(
            part[start : start + (size if len(part) > limit else limit)]
            for part in parts
            for start in range(0, len(part), size if len(part) > limit else limit)
        )

    def _cut_windows(
        self, tokens: NDArray[np.int32], num_tokens: NDArray[np.int64]
    ) -> TokenizedSentences:
        """Cuts sentences into windows, one a sentence if long ones are truncated."""
        num_special = len(self._before) + len(self._after)
        is_unknown = np.zeros(len(num_tokens), bool)
        has_tokens = np.flatnonzero(num_tokens)
        if self._unknown is not None and len(has_tokens):
            starts_of = (np.cumsum(num_tokens) - num_tokens)[has_tokens]
            is_unknown[has_tokens] = np.logical_and.reduceat(tokens == self._unknown, starts_of)
        room = self.max_seq_length - num_special
        num_windows = np.ones(len(num_tokens), np.int64)
        if self.options.long == "mean":
            num_windows = np.maximum(-(-num_tokens // room), 1)
        first_windows = np.concatenate([[0], np.cumsum(num_windows)])

        # Places of the windows in their sentences.
        places = ragged_positions(np.zeros_like(num_windows), num_windows)
        rest = np.repeat(num_tokens, num_windows) - places * room
        lengths = np.minimum(rest, room)
        starts = np.repeat(np.cumsum(num_tokens) - num_tokens, num_windows) + places * room

        offsets = np.concatenate([[0], np.cumsum(lengths + num_special)])
        input_ids = np.empty(int(offsets[-1]), np.int32)
        for place, token in enumerate(self._before):
            input_ids[offsets[:-1] + place] = token
        input_ids[ragged_positions(offsets[:-1] + len(self._before), lengths)] = tokens[
            ragged_positions(starts, lengths)
        ]
        input_ids[offsets[1:] - 1] = self._after
        return TokenizedSentences(
            input_ids,
            offsets,
            first_windows,
            is_long=num_tokens > room,
            is_empty=num_tokens == 0,
            is_unknown=is_unknown,
        )


def _word_limit(tokenizer: Tokenizer, options: TextOptions) -> int | None:
    """Returns the characters over which a word is split; None: none is."""
    if not isinstance(tokenizer.model, WordPiece) or options.split_long_words is False:
        return None
    limit = int(tokenizer.model.max_input_chars_per_word)
    is_split = options.split_long_words or limit > _BERT_WORD_CHARACTERS
    return limit if is_split else None


def _find_padding(tokenizer: Tokenizer) -> int:
    """Returns the id of the padding, which no model looks at."""
    return next((i for p in ("[PAD]", "<pad>") if (i := tokenizer.token_to_id(p)) is not None), 0)


def _find_separator(tokenizer: Tokenizer, token_id: int) -> str:
    """Returns the special token as text if it cuts a text in two and does nothing else."""
    token = str(tokenizer.id_to_token(token_id))
    sides = [tokenizer.encode(side, add_special_tokens=False).ids for side in ("a", "b", "a b")]
    joined = tokenizer.encode(f"a{token}b{token}{token}a b", add_special_tokens=False).ids
    is_exact = joined == [*sides[0], token_id, *sides[1], token_id, token_id, *sides[2]]
    return token if is_exact else ""
