"""What a corpus holds: rows by language, lengths and scripts.

Takes: sentences and pairs. Gives: counts, a table of them and a picture.
Source: Feng et al. 2020, figure 1: monolingual sentences and bilingual pairs of each language.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from labse.corpus.records import Sentence, SentencePair, TextRecord

__all__ = ["CorpusStatistics", "LangStatistics", "count_corpus", "script_name"]

_PIVOT = "eng"  # LaBSE's bitext is with English; a pair of two others counts for both.


@dataclass(slots=True)
class LangStatistics:
    """What a corpus holds of one language.

    Attributes:
        num_sentences: monolingual ones.
        num_pairs: pairs with this language on a side; for English, all of its pairs.
        num_characters: of both kinds.
        lengths: texts by the number of bits of their length: key k counts those of 2^(k-1) to
            2^k - 1 characters, key 0 the empty ones.
        scripts: letters by the name of their script, `Latin`.
    """

    num_sentences: int = 0
    num_pairs: int = 0
    num_characters: int = 0
    lengths: Counter[int] = field(default_factory=Counter)
    scripts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class CorpusStatistics:
    """What a corpus holds.

    Attributes:
        langs: by tag, the largest first, ties by tag.
        lang_pairs: number of pairs by `source-target`, each pair of tags in the order of the data.
        origins: number of rows by file or origin.
    """

    langs: Mapping[str, LangStatistics]
    lang_pairs: Mapping[str, int]
    origins: Mapping[str, int]


def count_corpus(
    rows: Iterable[tuple[str, Sentence | TextRecord | SentencePair]],
) -> CorpusStatistics:
    """Counts the rows, each given with its origin; memory is that of the distinct characters."""
    langs: dict[str, LangStatistics] = {}
    characters: dict[str, Counter[str]] = {}
    lang_pairs: Counter[str] = Counter()
    origins: Counter[str] = Counter()

    def count_text(text: str, lang: str) -> LangStatistics:
        statistics = langs.setdefault(lang, LangStatistics())
        statistics.num_characters += len(text)
        statistics.lengths[len(text).bit_length()] += 1
        characters.setdefault(lang, Counter()).update(text)
        return statistics

    for origin, row in rows:
        origins[origin] += 1
        if isinstance(row, SentencePair):
            source = count_text(row.source, row.source_lang)
            target = count_text(row.target, row.target_lang)
            source.num_pairs += 1
            target.num_pairs += target is not source
            lang_pairs[f"{row.source_lang}-{row.target_lang}"] += 1
        else:
            count_text(row.text, row.lang).num_sentences += 1

    for lang, counts in characters.items():
        for char, count in counts.items():
            if char.isalpha():
                langs[lang].scripts[script_name(char)] += count
    ordered = sorted(
        langs, key=lambda lang: (-langs[lang].num_sentences - langs[lang].num_pairs, lang)
    )
    return CorpusStatistics(
        {lang: langs[lang] for lang in ordered},
        dict(sorted(lang_pairs.items(), key=lambda item: (-item[1], item[0]))),
        dict(sorted(origins.items(), key=lambda item: (-item[1], item[0]))),
    )


@cache
def script_name(char: str) -> str:
    """Returns the first word of a letter's Unicode name, `Latin`, `Cyrillic`; `Han` for `CJK`."""
    name = unicodedata.name(char, "unknown").split()[0].capitalize()
    return "Han" if name == "Cjk" else name
