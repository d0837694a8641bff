"""Test sets of aligned lines, read from the files that their authors publish.

Takes: the folder of LASER's Tatoeba sets (`tatoeba.XXX-eng.XXX` and `.eng`, one line a sentence);
a folder of files that say the same in many languages (`deu.txt`, `eng.txt` and so on).
Gives: the sentences of each language, and the groups in which the paper reports Tatoeba.
Source: Artetxe & Schwenk 2019 (arXiv 1812.10464), the Tatoeba sets; Feng et al. 2020 (arXiv
2007.01852), their groups; FLORES and TICO-19 (Anastasopoulos et al. 2020, arXiv 2007.01788), the
layout of the folder.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from labse.corpus.languages import canonical_tag
from labse.errors import LabseError, UsageError
from labse.files.text import as_list, read_lines

__all__ = [
    "TATOEBA_GROUPS",
    "AlignedLines",
    "TatoebaSet",
    "read_aligned",
    "read_aligned_pair",
    "read_tatoeba",
]

_FILE_NAME = re.compile(r"tatoeba\.(\w+)-eng\.(\w+)")

# m-USE's languages: Chidambaram et al. 2018 (arXiv 1810.12836).
_GROUP_14 = "fra spa deu cmn ara ita jpn kor nld pol por tha tur rus"
# XTREME's languages: Hu et al. 2020 (arXiv 2003.11080), Tatoeba.
_GROUP_36 = (
    "ara heb vie ind jav tgl eus mal tam tel afr nld deu ell ben hin mar urd pes fra ita por spa "
    "bul rus jpn kat kor tha swh cmn kaz tur est fin hun"
)
# LASER's 112 sets: Artetxe & Schwenk 2019 (arXiv 1812.10464).
_GROUP_112 = (
    "afr amh ang ara arq arz ast awa aze bel ben ber bos bre bul cat cbk ceb ces cha cmn cor csb "
    "cym dan deu dsb dtp ell epo est eus fao fin fra fry gla gle glg gsw heb hin hrv hsb hun hye "
    "ido ile ina ind isl ita jav jpn kab kat kaz khm kor kur kzj lat lfn lit lvs mal mar max mhr "
    "mkd mon nds nld nno nob nov oci orv pam pes pms pol por ron rus slk slv spa sqi srp swe swg "
    "swh tam tat tel tgl tha tuk tur tzl uig ukr urd uzb vie war wuu xho yid yue zsm"
)
# The paper reports 82 languages and does not list them. LASER's 112 less these 29 leave 83: the
# group keeps the paper's name and has 83 members.
_NOT_IN_82 = (
    "ang arq arz ast awa ceb cha csb cym dsb fao fry gla gsw hsb jav max mon nno nov orv pam pms "
    "swg tuk tzl war xho yid"
)

TATOEBA_GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "14": tuple(sorted(_GROUP_14.split())),
        "36": tuple(sorted(_GROUP_36.split())),
        "82": tuple(sorted(set(_GROUP_112.split()) - set(_NOT_IN_82.split()))),
        "112": tuple(sorted(_GROUP_112.split())),
    }
)
"""The groups of Feng et al. 2020, in Tatoeba's codes; "82" has 83 members."""


@dataclass(frozen=True, slots=True)
class TatoebaSet:
    """Sentences of one language, aligned with their English translations.

    Attributes:
        lang: Tatoeba's own code, such as `cmn`.
        sentences: at least one.
        english: their translations, as many.
    """

    lang: str
    sentences: tuple[str, ...]
    english: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuses an empty or unaligned set."""
        if len(self.sentences) != len(self.english):
            raise ValueError(
                f"{self.lang}: {len(self.sentences)} sentences, {len(self.english)} in English"
            )
        if not self.sentences:
            raise ValueError(f"{self.lang}: no sentences")


def read_tatoeba(folder: str | Path, langs: str | Sequence[str] | None = None) -> list[TatoebaSet]:
    """Reads the test sets in `folder`, sorted by code.

    Args:
        folder: LASER's `data/tatoeba/v1`.
        langs: only these, by Tatoeba's code or any that `canonical_tag` knows (`zh` finds `cmn`);
            None reads all.

    Raises:
        UsageError: a language without a set here.
        LabseError: no folder, no set, half of a set missing, unequal line counts, an empty set.
    """
    folder = Path(folder)
    available = _find_sets(folder)
    codes = (
        sorted(available)
        if langs is None
        else _select_sets(as_list(langs), sorted(available), folder)
    )
    return [_read_set(folder, code) for code in codes]


def _find_sets(folder: Path) -> set[str]:
    if not folder.is_dir():
        raise LabseError(f"{folder}: no such folder; it should hold tatoeba.XXX-eng.XXX files")
    matches = (_FILE_NAME.fullmatch(path.name) for path in folder.iterdir())
    codes = {match[1] for match in matches if match and match[2] in (match[1], "eng")}
    if not codes:
        raise LabseError(f"{folder}: holds no tatoeba.XXX-eng.XXX files")
    return codes


def _select_sets(langs: Sequence[str], available: Sequence[str], folder: Path) -> list[str]:
    if not langs:
        raise UsageError("langs is empty; name at least one language, or none to read all")
    by_tag = {_tag_or_code(code): code for code in reversed(available)}
    selected: set[str] = set()
    for lang in langs:
        code = lang if lang in available else by_tag.get(canonical_tag(lang))
        if code is None:
            raise UsageError(f"{folder}: no set for {lang!r}; it has {' '.join(available)}")
        selected.add(code)
    return sorted(selected)


def _tag_or_code(code: str) -> str:
    try:
        return canonical_tag(code)
    except UsageError:
        return code


def _read_set(folder: Path, code: str) -> TatoebaSet:
    paths = [folder / f"tatoeba.{code}-eng.{side}" for side in (code, "eng")]
    for path, other in zip(paths, reversed(paths), strict=True):
        if not path.is_file():
            raise LabseError(f"{path}: missing, while {other.name} is there; fetch both again")
    sentences, english = _read_equal_lines(paths)
    return TatoebaSet(code, sentences, english)


# ---- a folder of many languages --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AlignedLines:
    """The lines of one language; line i of every language of a folder says the same.

    Attributes:
        lang: code of the file, such as `pt_BR`.
        sentences: its lines, at least one.
    """

    lang: str
    sentences: tuple[str, ...]


def read_aligned(
    folder: str | Path, langs: str | Sequence[str] | None = None, *, pattern: str = "*.txt"
) -> list[AlignedLines]:
    """Reads the files of a folder that match `pattern`, in the order of their names.

    Args:
        folder: one file a language; what stands before the first dot of the name is its code.
        langs: only these, by the code of the file or any other that `canonical_tag` knows, in
            this order; None reads all.
        pattern: names of the files, such as `*.devtest`.

    Raises:
        UsageError: a language without a file, or fewer than two languages.
        LabseError: no such folder, no such files, a name that is no language, unequal line counts
            or no lines.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise LabseError(f"{folder}: no such folder; it should hold deu.txt, eng.txt and so on")
    paths = {_code(path): path for path in sorted(folder.glob(pattern)) if path.is_file()}
    if not paths:
        raise LabseError(f"{folder}: holds no files {pattern}; choose others with --files")
    by_tag = {_tag(code, path): code for code, path in reversed(paths.items())}
    codes = (
        list(paths) if langs is None else [_select(lang, by_tag, paths) for lang in as_list(langs)]
    )
    if len(set(codes)) < 2 or len(set(codes)) < len(codes):
        raise UsageError(f"{folder}: give two or more different languages, not {' '.join(codes)}")
    sentences = _read_equal_lines([paths[code] for code in codes])
    return list(map(AlignedLines, codes, sentences))


def read_aligned_pair(source: str | Path, target: str | Path) -> tuple[list[str], list[str]]:
    """Reads two files of equally many lines.

    Raises:
        LabseError: a file is missing or empty, or the counts differ.
    """
    sides = _read_equal_lines([Path(source), Path(target)])
    return list(sides[0]), list(sides[1])


def _code(path: Path) -> str:
    return path.name.partition(".")[0]


def _tag(code: str, path: Path) -> str:
    try:
        return canonical_tag(code)
    except UsageError as error:
        raise LabseError(
            f"{path}: the name must begin with a language and a dot: {error}"
        ) from None


def _select(lang: str, by_tag: dict[str, str], paths: dict[str, Path]) -> str:
    if lang in paths:
        return lang
    code = by_tag.get(canonical_tag(lang))
    if code is None:
        raise UsageError(f"no file for {lang!r}; there are {' '.join(paths)}")
    return code


def _read_equal_lines(paths: Sequence[Path]) -> list[tuple[str, ...]]:
    """Reads files that must have equally many lines, and at least one."""
    files = [tuple(read_lines(path)) for path in paths]
    for path, lines in zip(paths, files, strict=True):
        if len(lines) != len(files[0]):
            raise LabseError(
                f"{paths[0]} has {len(files[0])} lines, {path.name} has {len(lines)}; "
                "they must be aligned line by line"
            )
    if not files[0]:
        raise LabseError(f"{paths[0]}: no lines")
    return files
