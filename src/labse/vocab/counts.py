"""Word counts: how often each word occurs in each language, and their smoothed sum.

Takes: sentences. Gives: a counter a language, then one counter for the learner.
Source: BERT's basic tokenizer, cased; smoothing of tensorflow/text, tools/wordpiece_vocab/utils.py.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from tokenizers import Regex
from tokenizers.normalizers import NFC, NFD, NFKD, BertNormalizer, Normalizer, Replace
from tokenizers.normalizers import Sequence as NormalizerSequence
from tokenizers.pre_tokenizers import BertPreTokenizer

from labse.corpus.records import Sentence
from labse.corpus.sampling import smoothed_shares

__all__ = [
    "WordCounter",
    "build_normalizer",
    "build_splitter",
    "count_words",
    "fold_words",
    "language_coefficients",
    "smooth_counts",
]

_BUFFER_CHARS = 1 << 16  # For each language: text that is counted at once.
_MAX_BUFFERED_CHARS = 1 << 24  # Over all languages.
_SPLIT_CHARS = 1 << 20  # Chunks that are cut into words at once.
# A slot and a third of a Counter with its integer; CPython 3.11, 64 bits.
_ENTRY_BYTES = 160
# Vowel signs of Arabic and the stroke that stretches a word, which most Arabic texts leave out.
_ARABIC_MARKS = "[\u064b-\u0652\u0670\u0640]"
# Accents and breathings of Greek; the dot that a small i has by itself; the hamza of an alef, which
# many write without it.
_LOST_MARKS = "(?<=[\u03b1-\u03c9])[\u0300-\u0344]+|(?<=i)\u0307+|(?<=\u0627)[\u0654\u0655]+"
# Right and left quotation marks, the letters that stand for them, the prime.
_APOSTROPHES = "[\u2019\u2018\u02bc\u02bb\u02b9\u2032\u201b]"


def build_normalizer(*, uncased: bool = False) -> Normalizer:
    """Builds BERT's cleaning: control characters dropped, CJK characters set apart.

    Args:
        uncased: text in CAPITALS, Title Case, full-width letters and the like becomes what it is in
            plain small letters. So does what capitals do not show: the accents and the final sigma
            of Greek, the German ß (ss), the dot of the Turkish i; and the forms of an apostrophe
            are one. Arabic loses its common vowel signs and the hamza of an alef, which most
            Arabic texts leave out. LaBSE's vocabulary is cased.
    """
    cleaning = BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=uncased
    )
    if not uncased:
        return cleaning
    return NormalizerSequence(
        [
            NFKD(),  # Compatibility forms may be capitals, and all accents are marks now.
            cleaning,
            Replace(Regex(_ARABIC_MARKS), ""),
            NFD(),  # Marks that stood behind those are in their order again.
            Replace("\u0345", "\u03b9"),  # A iota below a Greek vowel, a letter in capitals.
            Replace("\u0671", "\u0627"),  # Alef with a wasla.
            Replace(Regex(_LOST_MARKS), ""),
            NFC(),
            Replace("\u03c2", "\u03c3"),  # Final sigma.
            Replace("\u0131", "i"),
            Replace("\u00df", "ss"),
            Replace(Regex(_APOSTROPHES), "'"),
        ]
    )


def build_splitter() -> BertPreTokenizer:
    """Builds BERT's splitter: words end at white space, each punctuation mark is a word."""
    return BertPreTokenizer()


def count_words(sentences: Iterable[Sentence]) -> dict[str, Counter[str]]:
    """Counts the words of each language, split as the tokenizer splits them.

    Memory is bounded by the distinct words; `count_tables` bounds it whatever the corpus. A script
    without spaces (Thai, Lao, Khmer, Burmese) gives a whole phrase as one word; a CJK character is
    a word.
    """
    counter = WordCounter()
    for sentence in sentences:
        counter.add(sentence.text, sentence.lang)
    return dict(counter.pop_languages())


def language_coefficients(totals: Mapping[str, int], exponent: float) -> dict[str, float]:
    """Returns what an occurrence counts in each language that has words, sorted by tag.

    With p_l the share of language l in all word tokens, each of its occurrences counts

        c_l = p_l^a / (p_l * sum_k p_k^a)

    so that language l weighs p_l^a / sum_k p_k^a of an unchanged total. Exponent a = 1 changes
    nothing, 0 makes all languages equally heavy; LaBSE has 0.3 (paper, section 4).

    Args:
        totals: word tokens of each language.
        exponent: a, from 0 to 1.

    Raises:
        ValueError: the exponent is not in [0, 1], or there is no word.
    """
    totals = {lang: totals[lang] for lang in sorted(totals)}
    shares = smoothed_shares(totals, exponent)
    num_tokens = sum(totals.values())
    return {lang: shares[lang] * num_tokens / total for lang, total in totals.items() if total}


def smooth_counts(counts: Mapping[str, Counter[str]], exponent: float) -> dict[str, float]:
    """Merges the counters of all languages with their `language_coefficients`.

    Raises:
        ValueError: see `language_coefficients`.
    """
    totals = {lang: counter.total() for lang, counter in counts.items()}
    merged: dict[str, float] = {}
    for lang, coefficient in language_coefficients(totals, exponent).items():
        for word, count in counts[lang].items():
            merged[word] = merged.get(word, 0.0) + coefficient * count
    return merged


def fold_words(words: Mapping[str, float]) -> dict[str, float]:
    """Returns words as the uncased tokenizer sees them; those that become equal are added up.

    A word that falls into several, as one with an apostrophe that was a letter, gives each of them.
    """
    normalizer, splitter = build_normalizer(uncased=True), build_splitter()
    folded: dict[str, float] = {}
    for word, weight in words.items():
        if word.isascii():
            parts = [word.lower()]
        else:
            text = normalizer.normalize_str(word)
            parts = [text] if text.isalpha() else [w for w, _ in splitter.pre_tokenize_str(text)]
        for part in parts:
            folded[part] = folded.get(part, 0.0) + weight
    return folded


class WordCounter:
    """Counts words faster than the tokenizer's own splitter, with its exact result.

    What stands between two spaces (a chunk) repeats, so chunks are counted as they are and only
    distinct ones are cut into words. Cleaning and splitting ask each character for itself, never
    its neighbours: one table of characters does both.

    Attributes:
        num_bytes: an estimate of the memory that the counts take now.
    """

    def __init__(self) -> None:
        self.num_bytes = 0
        self._chunks: dict[str, Counter[str]] = {}
        self._buffers: dict[str, list[str]] = {}
        self._lengths: Counter[str] = Counter()
        self._num_buffered = 0
        self._table = _CharacterTable()

    def add(self, text: str, lang: str) -> None:
        """Counts the words of one text."""
        self._buffers.setdefault(lang, []).append(text)
        self._lengths[lang] += len(text)
        self._num_buffered += len(text)
        if self._lengths[lang] >= _BUFFER_CHARS:
            self._count(lang)
        elif self._num_buffered >= _MAX_BUFFERED_CHARS:
            self.flush()

    def flush(self) -> None:
        """Counts what is buffered, so that `num_bytes` tells all."""
        for lang in list(self._buffers):
            self._count(lang)

    def pop_languages(self) -> Iterator[tuple[str, Counter[str]]]:
        """Yields each language with its words and forgets it; one without words is there too."""
        self.flush()
        self.num_bytes = 0
        while self._chunks:
            lang = next(iter(self._chunks))
            yield lang, self._cut(self._chunks.pop(lang))

    def _count(self, lang: str) -> None:
        texts = self._buffers.pop(lang)
        self._num_buffered -= self._lengths.pop(lang)
        chunks = self._chunks.setdefault(lang, Counter())
        num_before = len(chunks)
        # Not str.split(): it ends words at U+001C to U+001F and U+0085, which BERT drops.
        chunks.update(" ".join(texts).split(" "))
        num_new = len(chunks) - num_before
        self.num_bytes += num_new * _ENTRY_BYTES
        self.num_bytes += sum(map(sys.getsizeof, islice(reversed(chunks), num_new)))

    def _cut(self, chunks: Counter[str]) -> Counter[str]:
        words: Counter[str] = Counter()
        mixed: list[str] = []
        num_chars = 0
        for chunk, count in chunks.items():
            if chunk.isascii() and chunk.isalnum():  # Letters and digits alone: one word.
                words[chunk] += count
                continue
            mixed.append(chunk)
            num_chars += len(chunk)
            if num_chars >= _SPLIT_CHARS:
                self._cut_mixed(mixed, chunks, words)
                mixed, num_chars = [], 0
        self._cut_mixed(mixed, chunks, words)
        return words

    def _cut_mixed(self, mixed: list[str], chunks: Mapping[str, int], words: Counter[str]) -> None:
        if not mixed:
            return
        # A chunk holds no line feed: `Sentence` refuses it.
        lines = "\n".join(mixed).translate(self._table).split("\n")
        for chunk, line in zip(mixed, lines, strict=True):
            count = chunks[chunk]
            for word in line.split(" "):
                if word:
                    words[word] += count


class _CharacterTable(dict[int, str]):
    """What cleaning and splitting make of each character, for str.translate; asked once each."""

    def __init__(self) -> None:
        super().__init__({ord("\n"): "\n"})
        self._normalizer = build_normalizer()
        self._splitter = build_splitter()

    def __missing__(self, code_point: int) -> str:
        character = chr(code_point)
        probe = self._normalizer.normalize_str(f"a{character}a")
        words = [word for word, _ in self._splitter.pre_tokenize_str(probe)]
        # Dropped: ["aa"]. A letter: ["a?a"]. White space: ["a", "a"]. Alone: ["a", "?", "a"].
        self[code_point] = " ".join(words)[1:-1]
        return self[code_point]
