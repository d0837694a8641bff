"""The language of a page, from its text.

Takes: the blocks of the pages of a site. Gives: a tag for each page, and the share of its text that
    is in it.
Source: both `html lang` and addresses lie (docs/web.md): they only settle what text cannot tell.
    pycld2 says what each block is in; two identifiers that agree say it of the page.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from labse.cleaning.langid import guess_language, identify_languages, is_same
from labse.cleaning.pair_scores import weighted_length
from labse.corpus.languages import canonical_tag
from labse.corpus.records import UNKNOWN_LANG
from labse.errors import UsageError

__all__ = ["choose_language", "declared_tag", "find_block_languages", "find_page_languages"]

_MAX_SAMPLES = 8  # Blocks that both identifiers look at: the longest, which are no menus.
_MIN_LENGTH = 25  # Of a block that is identified, in letters of English.
_SAMPLE_CHARACTERS = 300
_MIN_SECOND_SHARE = 0.15
_MIN_PROB = 0.9
_CODE_TAGS = frozenset(("pre",))


def find_page_languages(
    pages: Sequence[tuple[Sequence[str], Sequence[str], str]],
) -> list[str]:
    """Returns the language of most of the text of each page, `und` where that cannot be told.

    Args:
        pages: blocks, their tags (programs, in `pre`, are left out if there is anything else) and
            the language that the page declares. It counts among languages that text cannot tell
            apart, such as Danish and Bokmål, and where the text tells nothing.

    Raises:
        ResourceError: pycld2 or py3langid is not installed.
    """
    samples = [_choose_samples(blocks, tags) for blocks, tags, _ in pages]
    guesses = iter(identify_languages([sample for page in samples for sample in page]))
    langs = []
    for page, (_, _, declared) in zip(samples, pages, strict=True):
        weights: Counter[str] = Counter()
        for sample in page:
            guess = next(guesses)
            if guess.lang == UNKNOWN_LANG == guess.cld2_lang and guess.langid_prob >= _MIN_PROB:
                weights[guess.langid_lang] += len(sample) // 2  # One is sure, one does not tell.
            else:
                weights[guess.lang] += len(sample)
        weights.pop(UNKNOWN_LANG, 0)
        lang = max(sorted(weights), key=weights.__getitem__) if weights else declared
        langs.append(declared if is_same(lang, declared) else lang)
    return langs


def find_block_languages(blocks: Sequence[str], tags: Sequence[str]) -> list[str]:
    """Returns what pycld2 takes each block for; empty for short blocks and programs."""
    return [
        guess_language(block[:_SAMPLE_CHARACTERS])
        if weighted_length(block) >= _MIN_LENGTH and tag not in _CODE_TAGS
        else ""
        for block, tag in zip(blocks, tags, strict=True)
    ]


def choose_language(
    lang: str, shares: Mapping[str, float], fallback: str, plausible: Sequence[str]
) -> tuple[str, float]:
    """Returns the language of a page among the others of its site, and its share.

    A page that is half translated is a page of the language it is translated into: text of the
    site's main language is found on pages of all others, and not the other way round.

    Args:
        lang: the language of most of its text.
        shares: of its text by language, without the frame of the site.
        fallback: the main language of the site.
        plausible: languages that the page or other pages of the site are in.
    """
    others = {
        other: share
        for other, share in shares.items()
        if not is_same(other, fallback) and any(is_same(other, name) for name in plausible)
    }
    if lang == UNKNOWN_LANG and shares:
        # Too little text for two identifiers to agree; the site's languages are the likely ones.
        best = max(sorted(shares), key=shares.__getitem__)
        chosen = next((name for name in plausible if is_same(best, name)), UNKNOWN_LANG)
        return chosen, shares[best] if chosen != UNKNOWN_LANG else 0.0
    if is_same(lang, fallback) and others:
        best = max(sorted(others), key=others.__getitem__)
        if others[best] >= _MIN_SECOND_SHARE:
            chosen = next(name for name in plausible if is_same(best, name))
            return chosen, others[best]
    return lang, sum(share for other, share in shares.items() if is_same(other, lang))


def _choose_samples(blocks: Sequence[str], tags: Sequence[str]) -> list[str]:
    """Returns the longest blocks, each cut, and short ones joined if there are few long ones."""
    prose = [block for block, tag in zip(blocks, tags, strict=True) if tag not in _CODE_TAGS]
    blocks = prose or blocks
    by_length = sorted(range(len(blocks)), key=lambda place: (-len(blocks[place]), place))
    chosen = [
        place for place in by_length[:_MAX_SAMPLES] if weighted_length(blocks[place]) >= _MIN_LENGTH
    ]
    samples = [blocks[place][:_SAMPLE_CHARACTERS] for place in sorted(chosen)]
    if len(samples) < _MAX_SAMPLES // 2:
        rest = " ".join(blocks[place] for place in sorted(set(by_length[:200]) - set(chosen)))
        samples += [rest[:_SAMPLE_CHARACTERS]] if rest else []
    return samples


def declared_tag(code: str) -> str:
    """Returns the tag of a code in a page, `und` if labse does not know it."""
    try:
        return canonical_tag(code.strip().replace("_", "-")) if code.strip() else UNKNOWN_LANG
    except UsageError:
        return UNKNOWN_LANG
