"""Sentences that differ from a translation in one fact: a number, a name, a negation.

Takes: sentences of one language. Gives: near-misses of each, with their kind.
Source: Chen et al. 2023 (arXiv 2306.12907), section 3: causality (negation), entity and number
replacement. Theirs use taggers and WordNet for English; these are rules of spelling for eight
languages, so the numbers are not comparable with theirs.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from labse.corpus.languages import canonical_tag

__all__ = ["NEGATION_LANGUAGES", "NearMiss", "NearMissKind", "build_near_misses"]

NearMissKind: TypeAlias = Literal["number", "entity", "negation"]

_DIGITS = re.compile(r"\d+")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
# In these a capital inside a sentence marks a name; German has it on every noun.
_ENTITY_LANGUAGES = frozenset(["eng", "fra", "spa", "por", "ita", "nld", "rus", "ukr"])
# A pronoun, not a name.
_NOT_ENTITIES = frozenset({"I", "I'm", "I'll", "I've", "I'd"})

_Swaps: TypeAlias = tuple[tuple[str, str], ...]
_ENGLISH: _Swaps = (
    (
        r"\b(is|are|was|were|can|could|will|would|should|must|may|might|do|does|did|has|have|had)"
        r" not\b",
        r"\1",
    ),
    (r"\b(is|are|was|were|could|would|should|must|do|does|did)n['’]t\b", r"\1"),
    (r"\bcan(?:no|['’])t\b", "can"),
    (r"\bwon['’]t\b", "will"),
    (r"\bnever\b", "always"),
    (r"\b(is|are|was|were|can|could|will|would|should|must|may|might)\b", r"\1 not"),
    (r"\balways\b", "never"),
)


def _swaps(verbs: str, *between: tuple[str, str], before: str = "", after: str = "") -> _Swaps:
    """Takes the negation of a verb away, or puts it there."""
    negated = rf"\b{before}({verbs}){after}\b"
    return (negated, r"\1"), *between, (rf"\b({verbs})\b", rf"{before}\1{after}")


_NEGATIONS: Mapping[str, _Swaps] = MappingProxyType(
    {
        "eng": _ENGLISH,
        "deu": _swaps(
            "ist|sind|war|waren|kann|können|wird|werden|muss|müssen|hat|haben",
            (r"\bkein(e|en|em|er|es)?\b", r"ein\1"),
            after=" nicht",
        ),
        "fra": (
            (r"\b(?:ne |n['’])(\w+) pas\b", r"\1"),
            (r"\b(est|a|était|avait)\b", r"n’\1 pas"),
            (r"\b(sont|ont|peut|peuvent|doit|doivent|sera|seront)\b", r"ne \1 pas"),
        ),
        "spa": _swaps("es|son|está|están|era|puede|pueden|debe|deben|ha|han|hay|fue", before="no "),
        "por": _swaps("é|são|está|estão|era|pode|podem|deve|devem|há|foi|tem", before="não "),
        "ita": _swaps("è|sono|era|può|possono|deve|devono|ha|hanno", before="non "),
        "nld": _swaps("is|zijn|was|waren|kan|kunnen|wordt|worden|moet|moeten", after=" niet"),
        "rus": (
            (r"\bне (\w+)", r"\1"),
            (
                r"\b(был|была|было|были|может|могут|будет|будут|должен|должны|является|являются)\b",
                r"не \1",
            ),
        ),
    }
)

NEGATION_LANGUAGES: tuple[str, ...] = tuple(_NEGATIONS)
"""Languages that have negation swaps, as canonical tags; number swaps need digits only."""


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A sentence that says something else than the sentence at `index`."""

    index: int
    kind: NearMissKind
    text: str


def build_near_misses(
    sentences: Sequence[str], lang: str, *, per_kind: int, seed: int
) -> list[NearMiss]:
    """Makes near-misses of each sentence: up to `per_kind` numbers and entities, one negation.

    Deterministic: the same sentences, language and seed give the same near-misses.

    Raises:
        UsageError: an unknown language code.
        ValueError: `per_kind` below 1.
    """
    if per_kind < 1:
        raise ValueError(f"per_kind must be at least 1, not {per_kind}")
    tag = canonical_tag(lang)
    generator = random.Random(seed)
    entities = _entities(sentences) if tag in _ENTITY_LANGUAGES else []
    near_misses: list[NearMiss] = []
    for index, sentence in enumerate(sentences):
        made: dict[NearMissKind, list[str]] = {
            "number": [_swap_number(sentence, generator) for _ in range(per_kind)],
            "entity": [_swap_entity(sentence, entities, generator) for _ in range(per_kind)],
            "negation": [_swap_negation(sentence, _NEGATIONS.get(tag, ()))],
        }
        for kind, texts in made.items():
            for text in dict.fromkeys(texts):
                if text != sentence:
                    near_misses.append(NearMiss(index, kind, text))
    return near_misses


def _swap_number(sentence: str, generator: random.Random) -> str:
    """Replaces one number by another of as many digits, in the same script."""
    places = list(_DIGITS.finditer(sentence))
    if not places:
        return sentence
    place = generator.choice(places)
    digits = place.group()
    zero = ord(digits[0]) - int(digits[0])
    for _ in range(8):
        first = generator.randint(1, 9)
        rest = [generator.randint(0, 9) for _ in digits[1:]]
        drawn = "".join(chr(zero + digit) for digit in (first, *rest))
        if drawn != digits:
            return sentence[: place.start()] + drawn + sentence[place.end() :]
    return sentence


def _entities(sentences: Sequence[str]) -> list[str]:
    found = {match.group() for text in sentences for match in _entity_places(text)}
    return sorted(found)


def _entity_places(sentence: str) -> list[re.Match[str]]:
    """Finds capitalised words that follow a word in small letters: no start of a sentence."""
    places = []
    for match in _WORD.finditer(sentence):
        word, before = match.group(), sentence[: match.start()].rstrip(" ")
        if word[0].isupper() and before and before[-1].islower() and word not in _NOT_ENTITIES:
            places.append(match)
    return places


def _swap_entity(sentence: str, entities: Sequence[str], generator: random.Random) -> str:
    places = _entity_places(sentence) if len(entities) > 1 else []
    if not places:
        return sentence
    place = generator.choice(places)
    others = generator.sample(entities, 2)
    other = others[0] if others[0] != place.group() else others[1]
    return sentence[: place.start()] + other + sentence[place.end() :]


def _swap_negation(sentence: str, swaps: _Swaps) -> str:
    """Applies the first rule that fits: those that take a negation away come first."""
    for pattern, replacement in swaps:
        text = re.sub(pattern, replacement, sentence, count=1)
        if text != sentence:
            return text
    return sentence
