"""BUCC's files: two corpora with ids, and the gold pairs hidden in them.

Takes: `fr-en/fr-en.training.fr`, `.en` and `.gold`, likewise `test` and `sample`; a line is an id,
a tab and a sentence, in gold the ids of a source and a target.
Gives: distinct sentences of each side and the gold pairs among them.
Source: Zweigenbaum et al. 2017 (W17-2512); the task's page, "Shared task data contents".
"""

from dataclasses import dataclass
from pathlib import Path

from labse.errors import LabseError, UsageError
from labse.files.text import read_lines

__all__ = ["BuccSplit", "find_bucc_pairs", "has_bucc_split", "read_bucc_split"]


@dataclass(frozen=True, slots=True)
class BuccSplit:
    """One split of one pair of languages.

    A sentence that stands on many lines is one sentence: which of its ids a system names says
    nothing about its vectors.

    Attributes:
        lang_pair: `fr-en`.
        split: `training`, `test` or `sample`.
        source: distinct sentences, in the order of their first lines.
        target: distinct target sentences, likewise.
        gold: source and target numbers of the translations.
        num_lines: numbers of lines of both files.
    """

    lang_pair: str
    split: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    gold: frozenset[tuple[int, int]]
    num_lines: tuple[int, int]


def find_bucc_pairs(folder: str | Path) -> list[str]:
    """Returns the pairs of languages that have a folder or files here, sorted.

    Raises:
        LabseError: no such folder, or none in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise LabseError(
            f"{folder}: no such folder; it should hold fr-en/fr-en.training.fr and so on"
        )
    names = {path.name.partition(".")[0] for path in folder.iterdir()}
    pairs = sorted(name for name in names if name.count("-") == 1 and name.endswith("-en"))
    if not pairs:
        raise LabseError(f"{folder}: holds no fr-en/fr-en.training.fr or the like")
    return pairs


def has_bucc_split(folder: str | Path, lang_pair: str, split: str) -> bool:
    """Tells whether the gold pairs of a split are there: the official test set comes without."""
    return _path(Path(folder), lang_pair, split, "gold").is_file()


def read_bucc_split(folder: str | Path, lang_pair: str, split: str) -> BuccSplit:
    """Reads one split.

    Args:
        folder: holds the folder `fr-en`, or its files.

    Raises:
        UsageError: `lang_pair` is no pair.
        LabseError: a file is missing; a line is not id, tab, sentence; an id comes twice; the
            gold file is empty or names an id that does not exist.
    """
    source_lang, dash, target_lang = lang_pair.partition("-")
    if not (source_lang and dash and target_lang):
        raise UsageError(f"{lang_pair}: give a pair of languages such as fr-en")
    ids: list[dict[str, int]] = []
    sides: list[tuple[str, ...]] = []
    for lang in (source_lang, target_lang):
        rows, sentences = _read_side(_path(Path(folder), lang_pair, split, lang))
        ids.append(rows)
        sides.append(sentences)
    gold = _read_gold(_path(Path(folder), lang_pair, split, "gold"), ids[0], ids[1])
    return BuccSplit(lang_pair, split, sides[0], sides[1], gold, (len(ids[0]), len(ids[1])))


def _path(folder: Path, lang_pair: str, split: str, suffix: str) -> Path:
    name = f"{lang_pair}.{split}.{suffix}"
    inner = folder / lang_pair
    return inner / name if inner.is_dir() else folder / name


def _read_side(path: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """Returns the number of the sentence of each id, and the distinct sentences."""
    rows: dict[str, int] = {}
    sentences: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), start=1):
        identifier, tab, sentence = line.partition("\t")
        if not (identifier.strip() and tab and sentence.strip()):
            raise LabseError(f"{path}, line {number}: expected an id, a tab and a sentence")
        if identifier in rows:
            raise LabseError(f"{path}, line {number}: the id {identifier!r} comes twice")
        rows[identifier] = sentences.setdefault(sentence, len(sentences))
    if not rows:
        raise LabseError(f"{path}: no lines")
    return rows, tuple(sentences)


def _read_gold(
    path: Path, source_rows: dict[str, int], target_rows: dict[str, int]
) -> frozenset[tuple[int, int]]:
    gold: set[tuple[int, int]] = set()
    for number, line in enumerate(read_lines(path), start=1):
        names = line.strip().split("\t")
        if len(names) != 2:
            raise LabseError(f"{path}, line {number}: expected two ids with a tab between")
        for name, rows, side in zip(
            names, (source_rows, target_rows), ("source", "target"), strict=True
        ):
            if name not in rows:
                raise LabseError(f"{path}, line {number}: no {side} sentence has the id {name!r}")
        gold.add((source_rows[names[0]], target_rows[names[1]]))
    if not gold:
        raise LabseError(f"{path}: holds no pairs")
    return frozenset(gold)
