"""Word counts: how often each word occurs in each language, and their smoothed sum.

Takes: sentences. Gives: a counter a language, then one counter for the learner.
Source: BERT's basic tokenizer, cased; smoothing of tensorflow/text, tools/wordpiece_vocab/utils.py.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from labse.corpus.records import Sentence
from labse.corpus.sampling import smoothed_shares

__all__ = ["build_normalizer", "build_splitter", "count_words", "smooth_counts"]

_BUFFER_CHARS = 1 << 18  # For each language: text that is split at once.


def build_normalizer() -> BertNormalizer:
    """Builds BERT's cased cleaning: control characters dropped, CJK characters set apart."""
    return BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=False
    )


def build_splitter() -> BertPreTokenizer:
    """Builds BERT's splitter: words end at white space, each punctuation mark is a word."""
    return BertPreTokenizer()


def count_words(sentences: Iterable[Sentence]) -> dict[str, Counter[str]]:
    """Counts the words of each language, split as the tokenizer splits them.

    Memory is bounded by the distinct words. A script without spaces (Thai, Lao, Khmer, Burmese)
    gives a whole phrase as one word; a CJK character is a word.
    """
    counter = _WordCounter()
    counts: dict[str, Counter[str]] = {}
    for lang, texts in _iter_buffers(sentences):
        counter.add(texts, counts.setdefault(lang, Counter()))
    return counts


def smooth_counts(counts: Mapping[str, Counter[str]], exponent: float) -> dict[str, float]:
    """Merges the counters of all languages, lifting the small languages.

    With p_l the share of language l in all word tokens, each of its occurrences counts

        c_l = p_l^a / (p_l * sum_k p_k^a)

    so that language l weighs p_l^a / sum_k p_k^a of an unchanged total. Exponent a = 1 changes
    nothing, 0 makes all languages equally heavy; LaBSE has 0.3 (paper, section 4).

    Raises:
        ValueError: the exponent is not in [0, 1], or there is no word.
    """
    totals = {lang: counts[lang].total() for lang in sorted(counts)}
    shares = smoothed_shares(totals, exponent)
    num_tokens = sum(totals.values())

    merged: dict[str, float] = {}
    for lang, total in totals.items():
        if not total:
            continue
        coefficient = shares[lang] * num_tokens / total
        for word, count in counts[lang].items():
            merged[word] = merged.get(word, 0.0) + coefficient * count
    return merged


def _iter_buffers(sentences: Iterable[Sentence]) -> Iterator[tuple[str, list[str]]]:
    """Gathers the texts of each language into long buffers; the splitter is called less often."""
    buffers: dict[str, list[str]] = {}
    lengths: Counter[str] = Counter()
    for sentence in sentences:
        buffers.setdefault(sentence.lang, []).append(sentence.text)
        lengths[sentence.lang] += len(sentence.text)
        if lengths[sentence.lang] >= _BUFFER_CHARS:
            yield sentence.lang, buffers[sentence.lang]
            buffers[sentence.lang] = []
            lengths[sentence.lang] = 0
    yield from buffers.items()


class _WordCounter:
    """Counts words at about the speed of the normalizer, with the splitter's exact result.

    Space-separated chunks repeat, and the splitter cuts each the same way wherever it stands: it is
    asked only about distinct chunks that may hold punctuation.
    """

    def __init__(self) -> None:
        self._normalizer = build_normalizer()
        self._splitter = build_splitter()

    def add(self, texts: list[str], words: Counter[str]) -> None:
        chunks = Counter(self._normalizer.normalize_str("\n".join(texts)).split())
        for chunk, count in chunks.items():
            if chunk.isalnum():  # Letters and digits alone: no punctuation.
                words[chunk] += count
                continue
            for word, _ in self._splitter.pre_tokenize_str(chunk):
                words[word] += count
