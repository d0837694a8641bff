"""Which documents belong together, and where their alignments go.

Takes: two folders of documents, or two lists of them. Gives: a job for each pair of documents.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labse.alignment.formats import BeadFormat
from labse.errors import LabseError, UsageError
from labse.files.atomic import MANIFEST_NAME
from labse.files.stage import JOURNAL_NAME
from labse.files.text import read_lines

__all__ = ["AlignmentJob", "pair_folders", "pair_lists"]


@dataclass(frozen=True, slots=True)
class AlignmentJob:
    """Two documents, their gold alignment if there is one, and the file to write if there is."""

    source: Path
    target: Path
    gold: Path | None
    out: Path | None


def pair_folders(
    source: Path, target: Path, gold: Path | None, out: Path | None, bead_format: BeadFormat
) -> list[AlignmentJob]:
    """Pairs the files of two folders by name, or by name without suffix (`a.de`, `a.en`).

    Raises:
        LabseError: a file without counterpart, or no file at all.
        UsageError: two files of a folder have one name.
    """
    names = {folder: _list_stems(folder) for folder in (source, target, gold) if folder}
    for empty in (folder for folder, files in names.items() if not files):
        raise LabseError(f"{empty}: holds no file; there is nothing to align")
    for files in names.values():
        for other, other_files in names.items():
            if missing := sorted(files.keys() - other_files.keys()):
                raise LabseError(
                    f"{other}: no counterpart of {files[missing[0]]} ({len(missing)} such files); "
                    "documents go together by their names without suffix"
                )
    stems = sorted(names[source])
    sides = ([names[folder][stem] for stem in stems] for folder in (source, target, gold) if folder)
    return _build_jobs([f"{stem}.{bead_format}" for stem in stems], out, *sides)


def _list_stems(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UsageError(f"{folder}: not a folder; give folders or files for all documents")
    stems: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if (
            path.name.startswith(".")
            or path.name in (MANIFEST_NAME, JOURNAL_NAME)
            or not path.is_file()
        ):
            continue
        name = path.stem if path.suffix in (".gz", ".zst", ".bz2") else path.name
        stem = name.rpartition(".")[0] or name
        if stem in stems:
            raise UsageError(f"{stems[stem]} and {path} have one name without suffix; rename one")
        stems[stem] = path
    return stems


def pair_lists(
    source: Path, target: Path, gold: Path | None, out: Path | None, bead_format: BeadFormat
) -> list[AlignmentJob]:
    """Pairs the files that two lists name, line by line; relative names start at the list's folder.

    The alignment of line 7 is `000007-NAME`, NAME that of the source without suffix.

    Raises:
        LabseError: lists of different lengths, an empty line, or a list that cannot be read.
    """
    lists = {path: _read_list(path) for path in (source, target, gold) if path}
    for path, names in lists.items():
        if len(names) != len(lists[source]):
            raise LabseError(
                f"{source} names {len(lists[source])} documents and {path} {len(names)}; "
                "line i of one must be the counterpart of line i of the other"
            )
    stems = (path.name.split(".")[0] for path in lists[source])
    outputs = [f"{number:06d}-{stem}.{bead_format}" for number, stem in enumerate(stems, start=1)]
    return _build_jobs(outputs, out, *(lists[path] for path in (source, target, gold) if path))


def _build_jobs(
    names: Sequence[str],
    out: Path | None,
    source: Sequence[Path],
    target: Sequence[Path],
    gold: Sequence[Path] | None = None,
) -> list[AlignmentJob]:
    return [
        AlignmentJob(source[n], target[n], gold[n] if gold else None, out / name if out else None)
        for n, name in enumerate(names)
    ]


def _read_list(path: Path) -> list[Path]:
    names: list[Path] = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            raise LabseError(f"{path}, line {number}: blank; each line names a document")
        names.append(path.parent / line)
    if not names:
        raise LabseError(f"{path}: empty; each line names a document")
    return names
