"""Sentence boundaries: ours, sentencex and ICU on text whose lines were joined again.

Use: python benchmarks/sentence_splitting.py NAME=FOLDER ... [--lines 1000]
FOLDER holds text files of one sentence or paragraph a line, named by language (de.txt) or as
LASER's Tatoeba sets (tatoeba.deu-eng.deu). Ten lines at a time are joined with a space (without, in
Chinese and Japanese); a boundary counts as found if the next line begins where a splitter begins a
sentence. Lines without a mark at their end are left out, but in Thai, which has none: where they
end no splitter can know. A line may hold several sentences, so precision is a lower bound.
Needs the packages sentencex and icu4py. Prints a table in Markdown; F1 is over all boundaries of a
file, the means are over languages.
"""

import argparse
import itertools
import re
import statistics
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import sentencex
from icu4py.breakers import SentenceBreaker

from labse.corpus.languages import Language, find_language
from labse.corpus.sentence_splitting import split_sentences
from labse.errors import UsageError

Splitter = Callable[[str, Language], Iterable[str]]
_GROUP = 10
_UNSPACED = ("zho", "zho-Hant", "jpn", "yue", "wuu")
_NO_MARKS = ("tha",)
_CLOSERS = "\"'”’»›)]}」』】）"
_COMMAS = ",،、၊፣，;；"
_SPELLING = re.compile(r"_(?:1901|1996|2006|monotonic|polytonic)$")


def ours(text: str, language: Language) -> Iterable[str]:
    return split_sentences(text, language.tag)


def with_sentencex(text: str, language: Language) -> Iterable[str]:
    return list(sentencex.segment(code(language), text))


def with_icu(text: str, language: Language) -> Iterable[str]:
    return list(SentenceBreaker(text, code(language)))


def code(language: Language) -> str:
    return language.iso639_1 or language.tag.partition("-")[0]


def read_files(folder: Path) -> Iterator[tuple[Language, list[str]]]:
    for path in sorted(folder.iterdir()):
        name = path.stem if path.suffix == ".txt" else path.suffix[1:]
        if ".eng" in path.name and not path.name.endswith((".fra-eng.eng", "eng.txt")):
            continue  # Tatoeba has English once a language.
        try:
            language = find_language(_SPELLING.sub("", name).replace("cmn_", "zh-"))
        except UsageError:
            continue
        lines = [line.strip() for line in path.read_text("utf-8").split("\n")]
        yield language, [line for line in lines if line and is_whole(line, language)]


def is_whole(line: str, language: Language) -> bool:
    last = line.rstrip(_CLOSERS + " ")[-1:]
    is_mark = last not in _COMMAS and unicodedata.category(last or "a") == "Po"
    return language.tag in _NO_MARKS or is_mark


def f1(lines: Sequence[str], language: Language, split: Splitter) -> float:
    glue = "" if language.tag in _UNSPACED else " "
    num_found = num_given = num_right = 0
    for start in range(0, len(lines), _GROUP):
        group = lines[start : start + _GROUP]
        text = glue.join(group)
        ends = itertools.accumulate(len(line) + len(glue) for line in group[:-1])
        right, given = {*ends}, {*starts(text, split(text, language))}
        num_found += len(right & given)
        num_given += len(given)
        num_right += len(right)
    return 2 * num_found / max(num_given + num_right, 1)


def starts(text: str, sentences: Iterable[str]) -> Iterator[int]:
    place = 0
    for sentence in sentences:
        stripped = sentence.strip()
        if not stripped:
            continue
        place = text.index(stripped, place)
        if place:
            yield place
        place += len(stripped)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", metavar="NAME=FOLDER")
    parser.add_argument("--lines", type=int, default=1000, help="at most, of each file")
    arguments = parser.parse_args()
    sides: dict[str, Splitter] = {"labse": ours, "sentencex": with_sentencex, "icu": with_icu}
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for item in arguments.folders:
        name, _, folder = item.partition("=")
        for language, lines in read_files(Path(folder)):
            if len(lines) >= 2 * _GROUP and "-" not in language.tag.replace("zho-Hant", ""):
                scores.setdefault(language.tag, {})[name] = {
                    side: round(f1(lines[: arguments.lines], language, split), 3)
                    for side, split in sides.items()
                }

    names = [item.partition("=")[0] for item in arguments.folders]
    print("| language |", " | ".join(f"{name}: {' / '.join(sides)}" for name in names), "|")
    print("|---" * (len(names) + 1) + "|")
    for tag in sorted(scores):
        cells = (
            " / ".join(f"{scores[tag][name][side]:.3f}" for side in sides)
            if name in scores[tag]
            else ""
            for name in names
        )
        print(f"| {find_language(tag).name} ({tag}) |", " | ".join(cells), "|")
    means = []
    for name in names:
        rows = [row[name] for row in scores.values() if name in row]
        mean = " / ".join(f"{statistics.mean(row[side] for row in rows):.3f}" for side in sides)
        means.append(f"{mean} ({len(rows)} languages)")
    print("| **mean** |", " | ".join(means), "|")


if __name__ == "__main__":
    main()
