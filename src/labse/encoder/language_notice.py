"""A warning, once a language, where a text is in one that the model is not usable for.

Takes: the texts that are encoded. Gives: a line in the log.
Source: the verdicts of `languages.tsv`; pycld2, if it is installed, tells the language of
    the first texts of a call.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path

from labse.cleaning.langid import guess_language
from labse.model_folder.languages import ModelLanguage, read_languages
from labse.runtime import has_module

__all__ = ["LanguageNotice"]

_LOGGER = logging.getLogger(__name__)

_NUM_TEXTS = 64  # Looked at in a call, 2 ms.
_MIN_TEXTS = 16  # Fewer do not tell.
_MIN_CHARACTERS = 20
_MIN_SHARE = 0.6
_MAX_CALLS = 16


class LanguageNotice:
    """Looks at the first texts of the first calls of an encoder."""

    def __init__(self, folder: Path | None) -> None:
        """Prepares; the folder of a model is not read before there are enough texts."""
        self._folder = folder
        is_able = folder is not None and has_module("pycld2")  # Of the extra corpus.
        self._num_calls = 0 if is_able else _MAX_CALLS
        self._told: set[str] = set()
        self._not_usable: Mapping[str, ModelLanguage] | None = None

    def watch(self, texts: Iterable[str]) -> Iterable[str]:
        """Returns the texts, of which it has seen the first."""
        if self._num_calls >= _MAX_CALLS:
            return texts
        stream = iter(texts)
        first = list(islice(stream, _NUM_TEXTS))
        self._look_at([text for text in first if len(text) >= _MIN_CHARACTERS])
        return chain(first, stream)

    def _look_at(self, texts: Sequence[str]) -> None:
        if len(texts) < _MIN_TEXTS:
            return
        self._num_calls += 1
        lang, num_texts = Counter(map(guess_language, texts)).most_common(1)[0]
        if num_texts < _MIN_SHARE * len(texts) or lang in self._told:
            return
        # No cached_property: its lock, in Python 3.11, stays locked in a process that is forked.
        if self._not_usable is None:
            self._not_usable = self._find_not_usable()
        if (language := self._not_usable.get(lang)) is not None:
            self._told.add(lang)
            _LOGGER.warning(
                "the text seems to be in %s, where this model found only %.0f of 100 "
                "translations in its tests, so many results will be wrong; see labse languages",
                language.name,
                100 * min(language.scores.values()),
            )

    def _find_not_usable(self) -> Mapping[str, ModelLanguage]:
        rows = () if self._folder is None else read_languages(self._folder)
        return {row.lang: row for row in rows if row.verdict == "not usable"}
