"""A folder of files that say the same in many languages, line by line.

Takes: `deu.txt`, `eng.txt` and so on, of equally many lines. Gives: the lines of each language.
Source: the layout of FLORES and TICO-19 (Anastasopoulos et al. 2020, arXiv 2007.01788).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labse.corpus.languages import canonical_tag
from labse.errors import LabseError, UsageError
from labse.files.text import read_lines

__all__ = ["AlignedLines", "read_aligned", "read_aligned_pair"]


@dataclass(frozen=True, slots=True)
class AlignedLines:
    """The lines of one language; line i of every language of a folder says the same.

    Attributes:
        lang: as the file is called, such as `pt_BR`.
        sentences: at least one.
    """

    lang: str
    sentences: tuple[str, ...]


def read_aligned(
    folder: str | Path, langs: Sequence[str] | None = None, *, pattern: str = "*.txt"
) -> list[AlignedLines]:
    """Reads the files of a folder that match `pattern`, in the order of their names.

    Args:
        folder: one file a language; what stands before the first dot of the name is its code.
        langs: only these, by the code of the file or any other that `canonical_tag` knows, in
            this order; None reads all.
        pattern: such as `*.devtest`.

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
    codes = list(paths) if langs is None else [_select(lang, by_tag, paths) for lang in langs]
    if len(set(codes)) < 2 or len(set(codes)) < len(codes):
        raise UsageError(f"{folder}: give two or more different languages, not {' '.join(codes)}")
    return _check_counts([(paths[code], _read(paths[code], code)) for code in codes])


def read_aligned_pair(source: str | Path, target: str | Path) -> tuple[list[str], list[str]]:
    """Reads two files of equally many lines.

    Raises:
        LabseError: a file is missing or empty, or the counts differ.
    """
    sides = [list(read_lines(path)) for path in (source, target)]
    if len(sides[0]) != len(sides[1]):
        raise LabseError(
            f"{source} has {len(sides[0])} lines, {target} has {len(sides[1])}; "
            "the two must be aligned line by line"
        )
    if not sides[0]:
        raise LabseError(f"{source}: no lines")
    return sides[0], sides[1]


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


def _read(path: Path, code: str) -> AlignedLines:
    return AlignedLines(code, tuple(read_lines(path)))


def _check_counts(files: Sequence[tuple[Path, AlignedLines]]) -> list[AlignedLines]:
    first_path, first = files[0]
    for path, lines in files:
        if len(lines.sentences) != len(first.sentences):
            raise LabseError(
                f"{first_path} has {len(first.sentences)} lines, {path.name} has "
                f"{len(lines.sentences)}; all must be aligned line by line"
            )
    if not first.sentences:
        raise LabseError(f"{first_path}: no lines")
    return [lines for _, lines in files]
